//! Listens to the instance's WebSocket: hints for the attempts, and the quickest news of a crash.

use super::{
    instance::{Instance, lock},
    jitter, previews,
};
use crate::comfy::Sign;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// First and longest pause between two tries to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Keeps one socket open. A closed one is replaced; a mute one, too, when an attempt asks for it.
pub(super) async fn run(instance: Arc<Instance>) {
    let mut pause = PAUSES.0;
    loop {
        let timeout = instance.shared.parts.settings.http_timeout;
        match instance.client.connect(&instance.client_id, timeout).await {
            Ok(mut socket) => {
                pause = PAUSES.0;
                let mut was_greeted = false;
                let _previews =
                    AbortOnDropHandle::new(tokio::spawn(previews::run(instance.clone(), socket.previews())));
                // A new socket is also how a restart shows: what the instance can run may have changed, what it was given be gone.
                instance.doubt_catalog();
                instance.uploads.forget_all();
                loop {
                    tokio::select! {
                        sign = socket.next() => match sign {
                            Some(sign) => {
                                if was_greeted {
                                    *lock(&instance.last_event) = Some(Instant::now());
                                }
                                was_greeted = true;
                                hear(&instance, sign);
                            }
                            None => break,
                        },
                        () = instance.reconnect.notified() => break,
                    }
                }
                // Whatever answers from now on may be another process.
                instance.catalog.doubt();
                // The old socket must be closed in full before a new one may use the same client id (protocol §5).
                socket.close().await;
                instance.check_now.notify_one();
            }
            Err(error) => {
                tracing::debug!(instance = %instance.target.id, %error, "no socket");
                pause = (pause * 2).min(PAUSES.1);
            }
        }
        tokio::time::sleep(pause + jitter(pause / 4)).await;
    }
}

fn hear(instance: &Instance, sign: Sign) {
    let prompt = match &sign {
        Sign::QueueRemaining(_) => return,
        Sign::Started(prompt) | Sign::Ended(prompt) => *prompt,
        Sign::Cached { prompt, .. }
        | Sign::Executing { prompt, .. }
        | Sign::Progress { prompt, .. }
        | Sign::Executed { prompt, .. } => *prompt,
    };
    instance.route(prompt, sign);
}
