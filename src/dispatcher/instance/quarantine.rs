//! Quarantine of an instance, of which Redis has the truth: noted for logs, metrics and the phase, and ended when the
//! process of the instance was restarted.

use super::state::Instance;
use crate::{comfy::PromptStatus, dispatcher::shared::lock, fleet::Quarantine};
use std::sync::Mutex;
use uuid::Uuid;

/// The quarantine as last read.
#[derive(Debug, Default)]
pub(crate) struct KnownQuarantine {
    read: Mutex<Option<Quarantine>>,
    /// The last mark that was tried, by its prompt.
    mark: Mutex<Option<(Uuid, Mark)>>,
}

/// Mark of the process that met the fault: a restart removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Left,
    /// It could not be stored, so its absence proves nothing.
    Refused,
}

impl KnownQuarantine {
    pub(crate) fn get(&self) -> Option<Quarantine> {
        lock(&self.read).clone()
    }

    /// Records what Redis has. Returns true if it changed.
    pub(crate) fn set(&self, read: Option<Quarantine>) -> bool {
        let mut known = lock(&self.read);
        let has_changed = *known != read;
        *known = read;
        has_changed
    }

    fn mark(&self, prompt: Uuid) -> Option<Mark> {
        lock(&self.mark).filter(|(of, _)| *of == prompt).map(|(_, mark)| mark)
    }
}

/// Ends the quarantine if the process was restarted.
pub(crate) async fn end_after_restart(instance: &Instance) {
    let Some(quarantine) = instance.quarantine.get() else { return };
    if !instance.health().is_alive() || !instance.clock.may_act() || !was_restarted(instance, quarantine.prompt()).await
    {
        return;
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

/// Whether the process has lost both its mark and, from its history, the prompt that met the fault. Leaves the mark while the
/// prompt is there. A missing prompt alone proves nothing, because any client may clear the history; a missing mark alone
/// neither, because another process in the same folder may have been restarted.
async fn was_restarted(instance: &Instance, prompt: Uuid) -> bool {
    let name = format!("quarantine-{prompt}.txt");
    if !matches!(instance.client.has_mark(&name).await, Ok(false)) {
        return false;
    }
    let mark = instance.quarantine.mark(prompt);
    match instance.client.status(prompt).await {
        Ok(PromptStatus::Unknown) => mark != Some(Mark::Refused),
        Ok(PromptStatus::Pending | PromptStatus::Running | PromptStatus::Ended(_)) => {
            let mark = match instance.client.leave_mark(&name).await {
                Ok(()) => Mark::Left,
                Err(error) => {
                    tracing::debug!(instance = %instance.target.id, %error, "mark not stored; a restart is not noticed");
                    Mark::Refused
                }
            };
            *lock(&instance.quarantine.mark) = Some((prompt, mark));
            false
        }
        Err(_) => false,
    }
}
