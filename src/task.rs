//! The noun of the house: a task, its attempts, how an attempt may end. Pure values; imports no room of ours.
//!
//! Look first at [`Task`] (what a read gives), [`NewTask`] (what an enqueue takes) and [`FailureKind::retryable`].

mod batch;
mod failure;
mod flow;
mod id;
mod link;
mod output;
mod request;
mod state;
mod view;

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

pub use batch::BatchId;
pub use failure::{Failure, FailureKind};
pub use flow::{BatchPlace, FlowName, FlowVersion, NotAName};
pub use id::{Attempt, FileId, InstanceId, NotAnId, ObjectId, TaskId};
pub use link::{LinkRefused, Links};
pub use output::{Output, OutputKind, Progress};
pub use request::{FileInput, NewTask, Payload, TaskFacts, Warning};
pub use state::{Priority, Status, TaskState};
pub(crate) use view::rfc3339;
pub use view::{OutputView, ResolvedView, ResultView, TaskView};

/// One earlier or current try: `{"attempt","instanceId","startedAt","endedAt"?,"outcome"?,"error"?}` (ms in Redis, RFC 3339
/// shown).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// Which.
    pub attempt: Attempt,
    /// Where.
    pub instance_id: InstanceId,
    /// Claimed at, Unix ms.
    pub started_ms: u64,
    /// Ended at, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// `completed`, `cancelled`, `released` or a failure kind's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why it failed, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<AttemptError>,
}

/// Why an attempt failed, in short: `{"type","message"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// What went wrong.
    #[serde(rename = "type")]
    pub kind: FailureKind,
    /// At most 300 bytes of the failure's message.
    pub message: String,
}

/// A task as read from Redis at one instant. Times are Unix ms of Redis.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Whose.
    pub owner: String,
    /// Where it stands.
    pub state: TaskState,
    /// Its lane.
    pub priority: Priority,
    /// The current or last attempt; 0 before the first claim.
    pub attempt: Attempt,
    /// How often it may be tried.
    pub max_attempts: u32,
    /// Raised by every change: what orders events.
    pub version: u64,
    /// The instance of the current or last attempt.
    pub instance: Option<InstanceId>,
    /// Accepted.
    pub created_ms: u64,
    /// Last change.
    pub updated_ms: u64,
    /// Execution of the current attempt began.
    pub started_ms: Option<u64>,
    /// Ended.
    pub finished_ms: Option<u64>,
    /// When a delayed task comes back.
    pub retry_at_ms: Option<u64>,
    /// Must have begun by.
    pub start_by_ms: Option<u64>,
    /// Last progress of the current attempt.
    pub progress: Progress,
    /// Outputs of a completed task; of any other what it has made so far, or left.
    pub outputs: Vec<Output>,
    /// Why it failed, or why the last attempt did while it waits for the next.
    pub failure: Option<Failure>,
    /// Of its outputs those whose files have been deleted since it ended.
    pub gone: BTreeSet<FileId>,
    /// Fixed facts.
    pub facts: TaskFacts,
    /// Tries so far, oldest first; at most 20 kept.
    pub attempts: Vec<AttemptRecord>,
    /// Instances where an attempt failed: others are asked first.
    pub avoids: Vec<InstanceId>,
    /// How often it was given another life after it had ended.
    pub revived: u32,
    /// A cancelled task whose instance has not yet confirmed that the prompt is gone.
    pub cancel_pending: bool,
}

/// How an attempt ended, as the dispatcher tells the queue.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Outputs are stored.
    Completed(Vec<Output>),
    /// Final when the kind is not retryable or no attempt is left.
    Failed {
        /// Why.
        failure: Failure,
        /// Outputs that exist all the same.
        outputs: Vec<Output>,
    },
}
