//! Tasks, their attempts and outcomes. Pure values; imports no other module except leaves.
//!
//! Start with [`Task`] (returned by reads), [`NewTask`] (taken by an enqueue) and [`FailureKind::retryable`].

mod batch_id;
mod failure;
mod file_url;
mod id;
mod list_entry;
mod new_task;
mod output;
mod state;
mod view;
mod workflow_name;

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

pub use batch_id::{BatchId, BatchPlace};
pub use failure::{Failure, FailureKind};
pub use file_url::{LinkRefused, Links};
pub use id::{Attempt, FileId, InstanceId, NotAnId, ObjectId, TaskId};
pub use new_task::{FileInput, NewTask, Payload, TaskFacts, Warning, png_info};
pub use output::{Output, OutputKind, OutputWarning, Progress, Scalar};
pub use state::{Priority, Status, TaskState};
pub(crate) use view::rfc3339;
pub use view::{OutputView, ResolvedView, ResultView, TaskView, WarningView};
pub use workflow_name::{NotAName, WorkflowName, WorkflowVersion};

/// Record of an attempt: `{"attempt","instanceId","startedAt","endedAt"?,"outcome"?,"error"?}` (times are ms in Redis
/// and RFC 3339 in the API).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// Number of the attempt.
    pub attempt: Attempt,
    /// Instance of the attempt.
    pub instance_id: InstanceId,
    /// Time of the claim, Unix ms.
    pub started_ms: u64,
    /// End, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// `completed`, `cancelled`, `released` or the word of a failure kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Short form of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<AttemptError>,
}

/// Short form of an attempt's failure: `{"type","message"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptError {
    /// Kind of the failure.
    #[serde(rename = "type")]
    pub kind: FailureKind,
    /// At most 300 bytes of the failure's message.
    pub message: String,
}

/// A task as read from Redis at one instant. Times are Unix ms of Redis.
#[derive(Debug, Clone)]
pub struct Task {
    /// Id of the task.
    pub id: TaskId,
    /// User who submitted it.
    pub owner: String,
    /// Current state.
    pub state: TaskState,
    /// Priority, which selects the lane.
    pub priority: Priority,
    /// The current or last attempt; 0 before the first claim.
    pub attempt: Attempt,
    /// Maximum number of attempts.
    pub max_attempts: u32,
    /// Version, raised by every change; it orders events.
    pub version: u64,
    /// The instance of the current or last attempt.
    pub instance: Option<InstanceId>,
    /// Time of acceptance.
    pub created_ms: u64,
    /// Time of the last change.
    pub updated_ms: u64,
    /// Start of execution of the current attempt.
    pub started_ms: Option<u64>,
    /// Time of the end.
    pub finished_ms: Option<u64>,
    /// Time from which an ended task may be deleted.
    pub expires_ms: Option<u64>,
    /// Time at which a delayed task is queued again.
    pub retry_at_ms: Option<u64>,
    /// Latest start.
    pub start_by_ms: Option<u64>,
    /// Last progress of the current attempt.
    pub progress: Progress,
    /// Outputs of a completed task; of any other task, the outputs so far.
    pub outputs: Vec<Output>,
    /// Number of outputs that were dropped from the end of `outputs`, because the task was read for a list.
    pub outputs_dropped: usize,
    /// Warnings about the outputs of an ended task.
    pub output_warnings: Vec<OutputWarning>,
    /// Failure of the task, or of its last attempt while it waits for the next.
    pub failure: Option<Failure>,
    /// Output files deleted since the task ended.
    pub gone: BTreeSet<FileId>,
    /// Facts fixed at acceptance.
    pub facts: TaskFacts,
    /// Attempts so far, oldest first; at most 20 are kept.
    pub attempts: Vec<AttemptRecord>,
    /// Instances where an attempt failed; others are preferred.
    pub avoids: Vec<InstanceId>,
    /// Instances that it waits for, and until when: they have more memory, or it has not failed there yet.
    pub prefers: Option<(u64, Vec<InstanceId>)>,
    /// Number of times it was revived after it had ended.
    pub revived: u32,
    /// Time of the last revival.
    pub revived_ms: Option<u64>,
    /// Whether it is cancelled, but its instance has not yet confirmed that the prompt is gone.
    pub cancel_pending: bool,
}

/// Result of an attempt, as the dispatcher reports it to the queue.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Succeeded; all outputs are stored.
    Completed(Vec<Output>),
    /// Failed; final if the kind is not retryable or no attempt is left.
    Failed {
        /// The failure.
        failure: Failure,
        /// Outputs stored before the failure.
        outputs: Vec<Output>,
    },
}
