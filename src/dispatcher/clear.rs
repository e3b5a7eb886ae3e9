//! Gets a prompt out of its instance.

use super::instance::Instance;
use crate::{
    clock::since_boot,
    comfy::{Error, Sighting},
};
use std::time::Duration;
use uuid::Uuid;

/// Pauses between two requests to drop a prompt: first and longest.
const CANCEL_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A prompt that we interrupt must be gone within this, or the instance counts as stuck.
const OBEY_WITHIN: Duration = Duration::from_secs(10);

/// Asks the instance to drop the prompt until it is gone. An interrupt can be lost, and a node need not look at it; an
/// instance that keeps the prompt for long is marked as stuck and gets nothing new meanwhile.
pub(super) async fn clear(instance: &Instance, prompt: Uuid) {
    let begun = tokio::time::Instant::now();
    let mut pause = CANCEL_PAUSES.0;
    let mut is_reported = false;
    loop {
        if instance.clock.may_act() {
            match cancel_and_look(instance, prompt).await {
                Ok(Sighting::Unknown | Sighting::Ended(_)) => return,
                Ok(Sighting::Pending | Sighting::Running) => {}
                // An instance that is down has nothing running; it is asked again when it is back.
                Err(_) if !instance.health().is_alive() => return instance.remember_stray(prompt).await,
                Err(error) => {
                    tracing::debug!(instance = %instance.target.id, %error, "the prompt could not be dropped yet")
                }
            }
        }
        if !is_reported && begun.elapsed() > OBEY_WITHIN {
            is_reported = true;
            instance
                .health()
                .stuck("a prompt does not react to its interrupt: restart the instance if this lasts", since_boot());
            instance.check_now.notify_one();
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(CANCEL_PAUSES.1);
    }
}

async fn cancel_and_look(instance: &Instance, prompt: Uuid) -> Result<Sighting, Error> {
    instance.client.cancel(prompt).await?;
    instance.client.look(prompt).await
}
