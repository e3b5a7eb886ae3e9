//! The noun of the house: a task, its attempts, how an attempt may end. Pure values; imports no room of ours.
//!
//! Look first at [`Task`] (what a read gives), [`NewTask`] (what an enqueue takes) and [`FailureKind::retryable`].

mod view;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{fmt, str::FromStr, sync::Arc};
use uuid::Uuid;

pub(crate) use view::rfc3339;
pub use view::{Links, ResultView, TaskView};

/// What names a task to users: a lowercase hyphenated UUID (v7; v8 when made from an `Idempotency-Key`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Uuid);

impl TaskId {
    /// Makes a new id, ordered by time.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Makes the id that `seed` (a SHA-256 of user and idempotency key) always leads to.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(Uuid::new_v8(bytes))
    }

    /// The id ComfyUI gets for one attempt: UUIDv5(task, attempt), so that two attempts are never mistaken for one
    /// another and every dispatcher computes the same (protocol §17.1).
    pub fn prompt_id(self, attempt: Attempt) -> Uuid {
        Uuid::new_v5(&self.0, &attempt.get().to_be_bytes())
    }
}

impl Default for TaskId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl FromStr for TaskId {
    type Err = NotAnId;

    /// Accepts the canonical 36-character form only, in lower case: nothing else ever becomes part of a Redis key.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        canonical_uuid(text).map(Self)
    }
}

/// What names a stored file to users: a random (v4) UUID, because a file's link needs no login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileId(Uuid);

impl FileId {
    /// Makes a new unguessable id.
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

impl Default for FileId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl FromStr for FileId {
    type Err = NotAnId;

    /// Accepts the canonical 36-character lower-case form only.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        canonical_uuid(text).map(Self)
    }
}

fn canonical_uuid(text: &str) -> Result<Uuid, NotAnId> {
    let uuid = Uuid::try_parse(text).map_err(|_| NotAnId)?;
    let mut buffer = Uuid::encode_buffer();
    if uuid.as_hyphenated().encode_lower(&mut buffer) != text {
        return Err(NotAnId);
    }
    Ok(uuid)
}

/// The text is not an id of ours; the answer to a user is 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct NotAnId;

/// One try at a task, numbered from 1, never reused: the fencing token of its writes. 0 = not tried yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(u32);

impl Attempt {
    /// Wraps a number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One ComfyUI process: `host:port` (`[v6]:port`). Only made from a validated fleet config or read back from Redis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// Wraps a text that is known to be an instance's id.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a task stands, in full (queue.md §3.2). Redis holds the [`TaskState::as_str`] word in the field `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Waits for a time: a retry's pause.
    Delayed,
    /// Waits for a free slot.
    Waiting,
    /// Given to an instance; the prompt has not begun.
    Claimed,
    /// The instance executes the prompt.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly, for good.
    Failed,
    /// Ended by its owner.
    Cancelled,
}

impl TaskState {
    /// The word in Redis.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// What users see.
    pub const fn status(self) -> Status {
        match self {
            Self::Delayed | Self::Waiting | Self::Claimed => Status::Pending,
            Self::Running => Status::Running,
            Self::Completed => Status::Completed,
            Self::Failed => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }

    /// Whether nothing can change any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl FromStr for TaskState {
    type Err = NotAnId;

    fn from_str(word: &str) -> Result<Self, NotAnId> {
        Ok(match word {
            "delayed" => Self::Delayed,
            "waiting" => Self::Waiting,
            "claimed" => Self::Claimed,
            "running" => Self::Running,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => return Err(NotAnId),
        })
    }
}

/// The `status` of the API: `pending` → `running` → `completed` | `failed` | `cancelled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not begun.
    Pending,
    /// An instance executes it.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended by its owner.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word of the API and of the index key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which lane a task waits in. On the wire `"high"`, `"normal"` (default), `"low"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Served first.
    High,
    /// The default.
    #[default]
    Normal,
    /// Served when nothing else waits, or when it has waited for long (queue.md §3.8).
    Low,
}

impl Priority {
    /// Every priority, the most urgent first; the index is the lane's number.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The lane's number: 0 is served first.
    pub const fn lane(self) -> u8 {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }

    /// The priority of a lane number, if there is such a lane.
    pub fn from_lane(lane: u8) -> Option<Self> {
        Self::ALL.get(usize::from(lane)).copied()
    }
}

/// Why an attempt or a task failed. The wire word (`error.type`) is the snake_case name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The instance refused the graph (400 of POST /prompt). The task's fault: final.
    InvalidWorkflow,
    /// A node raised. Deterministic: final.
    NodeError,
    /// The instance ran out of memory. Worth another instance.
    OutOfMemory,
    /// The instance could not be reached, answered 5xx, or timed out.
    InstanceUnreachable,
    /// The prompt vanished from a living instance: restarted, or its queue was cleared by somebody.
    PromptLost,
    /// Somebody else interrupted the prompt.
    Interrupted,
    /// An uploaded input is missing, or the instance refused to take it.
    InputUnavailable,
    /// The instance said success, but an output file could not be fetched.
    OutputUnavailable,
    /// Our store refused an output (disk full).
    StorageFailed,
    /// An output is larger, or outputs are more, than allowed. Final.
    OutputTooLarge,
    /// The prompt gave no sign of life for `STALL_TIMEOUT`.
    Stalled,
    /// The run took longer than the task's `timeoutMs`. Final.
    RunTimeout,
    /// The task had not begun by its `startBy`. Final.
    StartTimeout,
    /// Instances died under the task too often. Final.
    Poison,
}

impl FailureKind {
    /// Every kind, for documents and metrics.
    pub const ALL: [Self; 14] = [
        Self::InvalidWorkflow,
        Self::NodeError,
        Self::OutOfMemory,
        Self::InstanceUnreachable,
        Self::PromptLost,
        Self::Interrupted,
        Self::InputUnavailable,
        Self::OutputUnavailable,
        Self::StorageFailed,
        Self::OutputTooLarge,
        Self::Stalled,
        Self::RunTimeout,
        Self::StartTimeout,
        Self::Poison,
    ];

    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidWorkflow => "invalid_workflow",
            Self::NodeError => "node_error",
            Self::OutOfMemory => "out_of_memory",
            Self::InstanceUnreachable => "instance_unreachable",
            Self::PromptLost => "prompt_lost",
            Self::Interrupted => "interrupted",
            Self::InputUnavailable => "input_unavailable",
            Self::OutputUnavailable => "output_unavailable",
            Self::StorageFailed => "storage_failed",
            Self::OutputTooLarge => "output_too_large",
            Self::Stalled => "stalled",
            Self::RunTimeout => "run_timeout",
            Self::StartTimeout => "start_timeout",
            Self::Poison => "poison",
        }
    }

    /// Whether another attempt may help.
    pub const fn retryable(self) -> bool {
        match self {
            Self::OutOfMemory
            | Self::InstanceUnreachable
            | Self::PromptLost
            | Self::Interrupted
            | Self::OutputUnavailable
            | Self::StorageFailed
            | Self::Stalled => true,
            Self::InvalidWorkflow
            | Self::NodeError
            | Self::InputUnavailable
            | Self::OutputTooLarge
            | Self::RunTimeout
            | Self::StartTimeout
            | Self::Poison => false,
        }
    }
}

/// A failure as stored, published and shown: `{"type","message","nodeId"?,"nodeType"?,"exceptionType"?,"traceback"?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What went wrong.
    #[serde(rename = "type")]
    pub kind: FailureKind,
    /// One sentence for people; at most [`Failure::MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
    /// The node that raised or was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_type: Option<String>,
    /// Python's name of the exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception_type: Option<String>,
    /// Python's traceback, one entry per frame; at most 32 lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traceback: Vec<String>,
}

impl Failure {
    /// The longest message kept.
    pub const MESSAGE_BYTES_MAX: usize = 2_000;

    /// A failure without a node.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if message.len() > Self::MESSAGE_BYTES_MAX {
            let mut end = Self::MESSAGE_BYTES_MAX;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
        }
        Self { kind, message, node_id: None, node_type: None, exception_type: None, traceback: Vec::new() }
    }
}

/// How far an attempt is. `percent` is of the whole graph, 0–99 while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// 0–100, never falls within an attempt.
    #[serde(rename = "progress")]
    pub percent: u8,
    /// The node that executes, by its id in the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_node: Option<String>,
    /// Nodes finished, cached ones included.
    pub nodes_done: u32,
    /// Nodes of the graph that will run.
    pub nodes_total: u32,
}

/// What a node made, as stored in Redis. Links are added when it is shown, see [`TaskView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The node.
    pub node_id: String,
    /// `image`, `video`, `audio`, `text`, `latent`, `model3d` or `file`.
    pub kind: OutputKind,
    /// The stored file; `None` for texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<FileId>,
    /// The instance's own file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// From our table by magic bytes and extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Lowercase hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The text of a text output; at most 64 KiB each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// ComfyUI keeps it only until its restart (`type` = `temp`): a preview rather than a result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporary: bool,
}

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// A still or animated picture.
    Image,
    /// A moving picture with a video container.
    Video,
    /// Sound.
    Audio,
    /// A string, no file.
    Text,
    /// ComfyUI's `.latent`.
    Latent,
    /// A 3D model.
    Model3d,
    /// Anything else with a file name.
    File,
}

/// An input that names a stored file; the dispatcher uploads it and writes the instance's name into the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileInput {
    /// The node.
    pub node_id: String,
    /// The input of that node.
    pub input: String,
    /// The stored file.
    pub file_id: FileId,
}

/// What a task runs: stored compressed beside the task, read by the claim and by `?include=workflow`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// The resolved graph, numbers as they came: `{node_id: {class_type, inputs, _meta?}}`.
    pub workflow: Box<RawValue>,
    /// As submitted, `{}` when absent.
    pub params: Box<RawValue>,
    /// Stored files the graph needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileInput>,
}

/// Something a submitter should know though the task was accepted: `{"code","message","param"?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// A stable machine word such as `param_unused`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// The parameter it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}

/// Everything about a task that is fixed when it is accepted and shown later; one JSON field of the task hash.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskFacts {
    /// The submitter's own object, echoed; at most 4 KiB of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// Seeds that we drew: `{"3.seed": 123}`, u64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<(String, u64)>,
    /// What the submitter should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Longest run of one attempt, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Nodes of the graph.
    pub nodes_total: u32,
}

/// What an enqueue takes.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Fresh, or made from the idempotency key.
    pub id: TaskId,
    /// Whose it is (`sub` of the token).
    pub owner: String,
    /// Its lane.
    pub priority: Priority,
    /// SHA-256 (hex) of the request that matters for idempotency: same key and other fingerprint is a conflict.
    pub fingerprint: String,
    /// How often it may be tried: 1–10.
    pub max_attempts: u32,
    /// Not begun by this Unix ms (Redis time): failed with `start_timeout`.
    pub start_by_ms: Option<u64>,
    /// Graph, params and files.
    pub payload: Payload,
    /// Fixed facts.
    pub facts: TaskFacts,
}

/// One earlier or current try: `{"attempt","instanceId","startedAt","endedAt"?,"outcome"?}` (ms in Redis, RFC 3339 shown).
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
    /// Outputs of a completed (or, in part, failed) task.
    pub outputs: Vec<Output>,
    /// Why it failed, or why the last attempt did while it waits for the next.
    pub failure: Option<Failure>,
    /// Fixed facts.
    pub facts: TaskFacts,
    /// Tries so far, oldest first; at most 20 kept.
    pub attempts: Vec<AttemptRecord>,
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

#[cfg(test)]
mod tests {
    use super::{Attempt, FailureKind, FileId, TaskId};

    #[test]
    fn only_the_canonical_form_is_an_id() {
        let id = TaskId::new().to_string();
        assert!(id.parse::<TaskId>().is_ok());
        for wrong in [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!("{id} "), String::new()] {
            assert!(wrong.parse::<TaskId>().is_err(), "{wrong}");
            assert!(wrong.parse::<FileId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_failure_kind_has_one_word() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn a_prompt_id_is_a_function_of_task_and_attempt() {
        let id = TaskId::new();
        assert_eq!(id.prompt_id(Attempt::new(1)), id.prompt_id(Attempt::new(1)));
        assert_ne!(id.prompt_id(Attempt::new(1)), id.prompt_id(Attempt::new(2)));
    }
}
