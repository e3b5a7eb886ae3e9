//! What happened to a task or an instance, as published by the scripts and forwarded to WebSockets.
//!
//! One JSON object per message on one channel (`{ns}:events`). A task's event carries the task's version, raised in the
//! same script: an event with a lower version than one already seen is stale and dropped.

use crate::{
    fleet::InstanceStatus,
    task::{Attempt, Failure, InstanceId, Output, Progress, TaskId},
};
use serde::{Deserialize, Serialize};

/// One message of the channel: `{"task":{…}}`, `{"instance":{…}}` or `{"config":{"version":7}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A task changed.
    Task(TaskEvent),
    /// An instance changed (alive, busy, enabled, phase).
    Instance(InstanceStatus),
    /// The fleet config has a new version; read it.
    Config {
        /// The new version.
        version: u64,
    },
}

/// `{"id","owner","version","attempt","instance"?,"change":{"kind":…}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskEvent {
    /// The task.
    pub id: TaskId,
    /// Whose it is.
    pub owner: String,
    /// The task's version after the change.
    pub version: u64,
    /// The attempt it is about.
    pub attempt: Attempt,
    /// Which of the task's lives it is about: how often it was revived. Nothing of an earlier life is news.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revived: u32,
    /// The instance of that attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// What changed.
    pub change: TaskChange,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What changed, tagged by `kind`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TaskChange {
    /// It waits: accepted, retried, or given back.
    Pending,
    /// It had ended, and waits again because its owner wanted another try.
    Revived,
    /// An instance was chosen; not begun.
    Claimed,
    /// Execution began.
    Started,
    /// It got further: `{"kind":"progress","progress":50,"currentNode":"3","nodesDone":1,"nodesTotal":4}`.
    Progress(Progress),
    /// It made something while it runs: `{"kind":"output","outputs":[…]}`.
    Output {
        /// Of one node; what was told before is not among them.
        outputs: Vec<Output>,
    },
    /// Ended well: `{"kind":"completed","outputs":[…]}`.
    Completed {
        /// What it made.
        outputs: Vec<Output>,
    },
    /// Ended badly: `{"kind":"failed","failure":{…}}`.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Ended by its owner.
    Cancelled,
}

impl TaskChange {
    /// Whether nothing follows.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled)
    }
}
