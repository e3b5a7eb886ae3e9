//! Reads the instance's WebSocket: passes events to the runs, and detects a crash sooner than any health check.

use super::{previews, state::Instance};
use crate::{backoff::Backoff, comfy::PromptEvent, dispatcher::shared::lock};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// First and longest delay between two connection attempts.
const DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Share by which a delay varies, so that dispatchers do not connect together.
const JITTER: f64 = 0.25;

/// Keeps one socket open: replaces a closed one, and a silent one when an attempt asks for it.
pub(crate) async fn run(instance: Arc<Instance>) {
    let mut delays = Backoff::new(DELAYS.0, DELAYS.1).with_jitter(JITTER);
    loop {
        let timeout = instance.shared.parts.settings.http_timeout;
        match instance.client.connect(&instance.client_id, timeout).await {
            Ok(mut socket) => {
                delays.reset();
                let mut was_greeted = false;
                let _previews =
                    AbortOnDropHandle::new(tokio::spawn(previews::run(instance.clone(), socket.previews())));
                // A new connection may mean a restart: models may have changed, uploaded inputs may be gone.
                instance.invalidate_catalog();
                instance.input_cache.forget_all();
                instance.wake.health_check.notify_one();
                loop {
                    tokio::select! {
                        event = socket.next() => match event {
                            Some(event) => {
                                if was_greeted {
                                    *lock(&instance.activity.last_event) = Some(Instant::now());
                                }
                                was_greeted = true;
                                route(&instance, event);
                            }
                            None => break,
                        },
                        () = instance.wake.socket.notified() => break,
                    }
                }
                // From now on another process may answer.
                instance.catalog.invalidate();
                // The old socket must be closed completely before a new one uses the same client id (protocol §5).
                socket.close().await;
                instance.wake.health_check.notify_one();
            }
            Err(error) => {
                tracing::debug!(instance = %instance.target.id, %error, "websocket connection failed; retrying");
            }
        }
        delays.pause().await;
    }
}

fn route(instance: &Instance, event: PromptEvent) {
    let prompt = match &event {
        PromptEvent::QueueRemaining(_) => return,
        PromptEvent::Started(prompt) | PromptEvent::Ended(prompt) => *prompt,
        PromptEvent::Cached { prompt, .. }
        | PromptEvent::Executing { prompt, .. }
        | PromptEvent::Progress { prompt, .. }
        | PromptEvent::Picture { prompt, .. }
        | PromptEvent::Failed { prompt, .. }
        | PromptEvent::Executed { prompt, .. } => *prompt,
    };
    instance.runs.route(prompt, event);
}
