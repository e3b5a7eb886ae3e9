//! Quarantine of an instance whose machine seems broken, as Redis keeps it and as the API shows it.

use crate::task::{Attempt, Failure, TaskId, rfc3339};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Quarantine in Redis (`lua/lib/quarantine.lua`): `{"sinceMs","trialAtMs","trials","taskId","attempt","failure"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantine {
    /// Begin, Unix ms of Redis.
    pub since_ms: u64,
    /// Earliest time of the next trial, Unix ms of Redis.
    pub trial_at_ms: u64,
    /// Number of trials that failed, and of relapses.
    pub trials: u32,
    /// Task that met the last fault.
    pub task_id: TaskId,
    /// Its attempt.
    pub attempt: Attempt,
    /// The last fault.
    pub failure: Failure,
}

impl Quarantine {
    /// Returns the prompt that met the last fault. Its entry in the history of ComfyUI is kept: after a restart of the process
    /// it is gone.
    pub fn prompt(&self) -> Uuid {
        self.task_id.prompt_id(self.attempt)
    }

    /// Describes the reason in one line.
    pub fn reason(&self) -> String {
        let failure = &self.failure;
        let exception = failure.exception_type.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
        let place = match (&failure.node_type, &failure.node_id) {
            (Some(class), Some(node)) => format!(" (node {node}, {class})"),
            (Some(class), None) => format!(" ({class})"),
            (None, Some(node)) => format!(" (node {node})"),
            (None, None) => String::new(),
        };
        let message = failure.message.lines().next().unwrap_or_default();
        format!("{exception}{message}{place}")
    }
}

/// Quarantine of an instance as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineView {
    /// Begin.
    #[schema(format = DateTime)]
    pub since: String,
    /// Earliest time at which a task is tried on it.
    #[schema(format = DateTime)]
    pub next_trial_at: String,
    /// Number of trials that failed, and of relapses.
    pub failed_trials: u32,
    /// Message of the last fault.
    pub message: String,
    /// Python class of its exception.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception_type: Option<String>,
    /// Id of its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Class of its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_type: Option<String>,
    /// Its task.
    #[schema(format = Uuid)]
    pub task_id: String,
    /// The same as `next_trial_at`, Unix ms.
    #[serde(skip)]
    pub trial_at_ms: u64,
}

impl From<&Quarantine> for QuarantineView {
    fn from(quarantine: &Quarantine) -> Self {
        let failure = &quarantine.failure;
        Self {
            since: rfc3339(quarantine.since_ms),
            next_trial_at: rfc3339(quarantine.trial_at_ms),
            failed_trials: quarantine.trials,
            message: failure.message.clone(),
            exception_type: failure.exception_type.clone(),
            node_id: failure.node_id.clone(),
            node_type: failure.node_type.clone(),
            task_id: quarantine.task_id.to_string(),
            trial_at_ms: quarantine.trial_at_ms,
        }
    }
}

/// Absence of an instance, as the dispatcher that owns it sees it. Unix ms of its own clock: only shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Absence {
    /// First check that failed.
    pub since_ms: u64,
    /// Time at which its tasks are given to other instances.
    pub gone_at_ms: u64,
}
