//! Cancels a prompt at its instance until it is gone.

use crate::{
    backoff::Backoff,
    clock::since_boot,
    comfy::{Error, PromptStatus},
    dispatcher::instance::state::Instance,
};
use std::time::Duration;
use uuid::Uuid;

/// First and longest delay between two cancel requests.
const CANCEL_DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Time limit of an interrupt; afterwards the instance counts as stuck.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Health error of an instance that does not interrupt a prompt.
pub(crate) const IGNORES_INTERRUPT: &str =
    "a prompt does not react to its interrupt: restart the instance if this lasts";

/// Sends cancel requests until the prompt has left the instance. A single interrupt can be lost, and a node may ignore
/// it. An instance that keeps the prompt longer than [`INTERRUPT_TIMEOUT`] is marked as stuck and gets no new tasks
/// meanwhile.
pub(crate) async fn cancel_prompt(instance: &Instance, prompt: Uuid) {
    let started = tokio::time::Instant::now();
    let mut delays = Backoff::new(CANCEL_DELAYS.0, CANCEL_DELAYS.1);
    let mut is_reported = false;
    loop {
        if instance.clock.may_act() {
            match cancel_and_look(instance, prompt).await {
                // Ended, even if the history does not say how.
                Ok(PromptStatus::Unknown | PromptStatus::Ended(_)) | Err(Error::Unreadable(_) | Error::TooLong(_)) => {
                    return;
                }
                Ok(PromptStatus::Pending | PromptStatus::Running) => {}
                // An instance that is down executes nothing; the prompt is cancelled when the instance is back.
                Err(_) if !instance.health().is_alive() => return instance.remember_orphan(prompt).await,
                Err(error) => {
                    tracing::debug!(instance = %instance.target.id, %prompt, %error, "cancel request failed; retrying");
                }
            }
        }
        if !is_reported && started.elapsed() > INTERRUPT_TIMEOUT {
            is_reported = true;
            instance.health().stuck(IGNORES_INTERRUPT, since_boot());
            instance.wake.health_check.notify_one();
        }
        delays.pause().await;
    }
}

async fn cancel_and_look(instance: &Instance, prompt: Uuid) -> Result<PromptStatus, Error> {
    instance.client.cancel(prompt).await?;
    instance.client.status(prompt).await
}
