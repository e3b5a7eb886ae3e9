//! Quarantine of an instance, of which Redis has the truth: noted for logs, metrics and the phase, and ended when the
//! process of the instance was restarted.

use super::state::Instance;
use crate::{comfy::PromptStatus, dispatcher::shared::lock, fleet::Quarantine};
use std::sync::Mutex;

/// The quarantine as last read.
#[derive(Debug, Default)]
pub(crate) struct KnownQuarantine(Mutex<Option<Quarantine>>);

impl KnownQuarantine {
    pub(crate) fn get(&self) -> Option<Quarantine> {
        lock(&self.0).clone()
    }

    /// Records what Redis has. Returns true if it changed.
    pub(crate) fn set(&self, read: Option<Quarantine>) -> bool {
        let mut known = lock(&self.0);
        let has_changed = *known != read;
        *known = read;
        has_changed
    }
}

/// Ends the quarantine if the process was restarted: its history has lost the prompt that met the fault.
pub(crate) async fn end_after_restart(instance: &Instance) {
    let Some(quarantine) = instance.quarantine.get() else { return };
    if !instance.health().is_alive() || !instance.clock.may_act() {
        return;
    }
    match instance.client.status(quarantine.prompt()).await {
        Ok(PromptStatus::Unknown) => {}
        // The same process answers, or none does.
        Ok(PromptStatus::Pending | PromptStatus::Running | PromptStatus::Ended(_)) | Err(_) => return,
    }
    match instance.queue().end_quarantine(&instance.target.id, Some(&instance.lease)).await {
        Ok(_) => {
            tracing::info!(instance = %instance.target.id, "instance was restarted; quarantine ended");
            instance.quarantine.set(None);
            instance.wake.claimer.notify_one();
        }
        Err(error) => {
            tracing::debug!(instance = %instance.target.id, %error, "quarantine not ended; retrying at the next check");
        }
    }
}
