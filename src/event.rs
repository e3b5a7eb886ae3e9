//! Events about tasks, instances and the config, published by the scripts and forwarded to WebSockets.
//!
//! Each message on the channels `{ns}:events` and `{ns}:control` (a part of it, for dispatchers) is one JSON object. An
//! event about a task carries the task's version, raised in the same script: an event with a lower version than one
//! already seen is stale and dropped.

use crate::{
    fleet::InstanceStatus,
    task::{Attempt, Failure, InstanceId, Output, OutputWarning, Progress, TaskId},
};
use serde::{Deserialize, Serialize};

/// A message of the channel: `{"task":{…}}`, `{"instance":{…}}`, `{"config":{"version":7}}` or `{"catalogs":{"wanted":true}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A task changed.
    Task(TaskEvent),
    /// An instance changed (alive, busy, enabled, phase).
    Instance(Box<InstanceStatus>),
    /// The fleet config has a new version to be read.
    Config {
        /// The new version.
        version: u64,
    },
    /// An api process asks the dispatchers to read the catalogs of the instances again. Changes no state.
    Catalogs {
        /// Always true.
        wanted: bool,
    },
}

/// Event about a task: `{"id","owner","version","attempt","instance"?,"change":{"kind":…}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Id of the task.
    pub id: TaskId,
    /// Owner of the task.
    pub owner: String,
    /// The task's version after the change.
    pub version: u64,
    /// The attempt concerned.
    pub attempt: Attempt,
    /// Number of revivals of the task at the time. Events of an earlier life are stale.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revived: u32,
    /// The instance of that attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// The change.
    pub change: TaskChange,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A change of a task, tagged by `kind`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TaskChange {
    /// The task waits: it was accepted, retried, or released.
    Pending,
    /// The task had ended and waits again, because its owner revived it.
    Revived,
    /// An instance was chosen; execution has not started.
    Claimed,
    /// Execution started.
    Started,
    /// Execution progressed: `{"kind":"progress","progress":50,"currentNode":"3","nodesDone":1,"nodesTotal":4}`.
    Progress(Progress),
    /// A node produced outputs during the run: `{"kind":"output","outputs":[…]}`.
    Output {
        /// New outputs of one node.
        outputs: Vec<Output>,
    },
    /// The task succeeded: `{"kind":"completed","outputs":[…]}`.
    Completed {
        /// All outputs.
        outputs: Vec<Output>,
        /// Number of outputs dropped from their end, if the event was made from an entry of a list.
        #[serde(skip)]
        outputs_dropped: usize,
        /// Warnings about the outputs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<OutputWarning>,
    },
    /// The task failed: `{"kind":"failed","failure":{…}}`.
    Failed {
        /// The failure.
        failure: Failure,
    },
    /// The task was cancelled by its owner.
    Cancelled,
}

impl TaskChange {
    /// Whether the change is final.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled)
    }
}
