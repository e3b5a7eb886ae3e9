//! Arguments and results of the queue's verbs. Pure values.

use crate::{
    fleet::FleetConfig,
    task::{
        Attempt, FailureKind, FileId, InstanceId, OutputWarning, Payload, Status, Task, TaskId, TaskState, WorkflowName,
    },
};
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// Secret of a lease: 128 random bits, hex. The dispatcher makes it before it asks, so that a repeated request is
/// recognised as the same one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// Makes a token of 128 random bits.
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// Returns the token's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

/// The right to act for one instance until a deadline.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The instance.
    pub instance: InstanceId,
    /// Fencing token of every write.
    pub token: Token,
}

/// Tasks in flight on an instance, according to Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Slots in use: task → attempt.
    pub tasks: Vec<(TaskId, Attempt)>,
    /// The subset that was cancelled: interrupt each, then release it.
    pub cancelled: Vec<TaskId>,
}

/// Answer of [`super::Queue::acquire`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// The lease is ours. Re-attach to the tasks in flight.
    Ours(InFlight),
    /// Another dispatcher holds the lease; the remaining time.
    Held(Duration),
}

/// Answer of [`super::Queue::renew`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewed {
    /// Still ours.
    Ours(InFlight),
    /// Another dispatcher took the lease: drop everything of this instance.
    Lost,
}

/// A task given to an instance.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The task.
    pub task: TaskId,
    /// Number of this attempt.
    pub attempt: Attempt,
    /// Workflow, parameters and files to run.
    pub payload: Payload,
    /// Time limit of the run, from the task's facts.
    pub timeout: Option<Duration>,
    /// Highest attempt number allowed. If `attempt` equals it, this is the last try.
    pub max_attempts: u32,
    /// Owner of the task and of its outputs.
    pub owner: String,
    /// Time from the moment it was queued (accepted, or returned by its last attempt) to this claim, by Redis' clock.
    pub waited: Duration,
    /// Name of the published workflow that it runs.
    pub workflow_name: Option<WorkflowName>,
    /// Run times of the nodes of this workflow, as [`SettleFacts::node_times`] had them; empty before its first run.
    pub node_times: String,
    /// Keys for API nodes, encrypted.
    pub keys: Option<String>,
}

/// Facts that the call that ends an attempt records besides its outcome.
#[derive(Debug, Clone, Copy, Default)]
pub struct SettleFacts<'a> {
    /// Whether a failure ends the task even if its kind is retried.
    pub is_final: bool,
    /// Warnings about the outputs, if the task ends.
    pub warnings: &'a [OutputWarning],
    /// Run times of the nodes, kept for the next claim of a task with the same workflow hash; empty = none.
    pub node_times: &'a str,
}

/// Answer of [`super::Queue::claim`].
#[derive(Debug, Clone)]
pub enum Claimed {
    /// A task to run.
    Task(Box<Claim>),
    /// No task for this instance now.
    Nothing,
}

/// Answer of [`super::Queue::enqueue`].
#[derive(Debug, Clone)]
pub enum Enqueued {
    /// Accepted at the configured durability.
    Created(Box<Task>),
    /// The same request was accepted before.
    Replayed(Box<Task>),
    /// The id exists with another fingerprint (same Idempotency-Key, other body).
    Conflict,
    /// The queue is full; retry after this time.
    Full(Duration),
    /// The payloads of the waiting tasks would exceed this quota of bytes.
    OverQuota(super::QuotaExceeded),
    /// A file of the payload does not exist or was deleted.
    NoSuchFile(FileId),
}

/// Answer of [`super::Queue::cancel`].
#[derive(Debug, Clone)]
pub enum Cancelled {
    /// Cancelled, by this call or an earlier one. `cancel_pending` is set while an instance has not confirmed yet.
    Cancelled(Box<Task>),
    /// The task had ended otherwise before; unchanged.
    AlreadyEnded(Box<Task>),
    /// No such task.
    NotFound,
}

/// Answer of [`super::Queue::revive`].
#[derive(Debug, Clone)]
pub enum Revived {
    /// The task waits again. If an earlier call revived it, it may already be running.
    Revived(Box<Task>),
    /// No such task.
    NotFound,
    /// The task completed; only failed and cancelled tasks can be revived.
    Completed,
    /// The task has not ended yet.
    NotEnded(Status),
    /// The task has ended, but its instance has not confirmed yet that the prompt is gone.
    Stopping,
    /// The task's payload is no longer stored.
    PayloadGone,
    /// The task had keys for API nodes, which are gone since it ended, and the call gives none.
    KeysGone,
    /// A file that the task needs was deleted.
    NoSuchFile(FileId),
    /// The queue is full; retry after this time.
    Full(Duration),
    /// The payloads of the waiting tasks would exceed this quota of bytes.
    OverQuota(super::QuotaExceeded),
}

/// Answer of a fenced write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Written, by this call or by an earlier identical one.
    Done,
    /// The attempt ended and the task waits for its next attempt ([`super::Queue::settle`] only).
    Retrying,
    /// The task had ended otherwise (cancelled, timed out). After [`super::Queue::settle`] and
    /// [`super::Queue::requeue`] the slot is free; after a start or a progress, interrupt the prompt and then call
    /// [`super::Queue::release`].
    AlreadyEnded(TaskState),
    /// The task no longer belongs to this attempt; drop it. The lease may still be ours.
    NotThisAttempt,
    /// The lease was lost: drop everything of this instance.
    Fenced,
}

/// Filter and page of [`super::Queue::list`].
#[derive(Debug, Clone, Default)]
pub struct TaskQuery {
    /// Only tasks of this owner.
    pub owner: Option<String>,
    /// Only tasks in these statuses; empty = all.
    pub statuses: Vec<Status>,
    /// Only tasks that failed with one of these kinds, of all owners; replaces `owner` and `statuses`. Empty = all.
    pub failures: Vec<FailureKind>,
    /// Only tasks made from this published workflow, of all owners; replaces `owner`.
    pub workflow: Option<WorkflowName>,
    /// Number of tasks to skip.
    pub offset: u64,
    /// Page size, 1–200.
    pub limit: u64,
    /// Position to continue after, instead of `offset` (an earlier page's [`TaskPage::next_cursor`]).
    pub cursor: Option<TaskCursor>,
}

/// Position in the list: the last item seen. Wire form `<created_ms>-<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskCursor {
    /// Creation time of the item, Unix ms.
    pub created_ms: u64,
    /// Id of the item.
    pub id: TaskId,
}

impl fmt::Display for TaskCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.created_ms, self.id)
    }
}

impl FromStr for TaskCursor {
    type Err = crate::task::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (created, id) = text.split_once('-').ok_or(crate::task::NotAnId)?;
        let is_number = !created.is_empty() && created.len() <= 15 && created.bytes().all(|byte| byte.is_ascii_digit());
        let created_ms = is_number.then(|| created.parse().ok()).flatten().ok_or(crate::task::NotAnId)?;
        Ok(Self { created_ms, id: id.parse()? })
    }
}

/// A page of tasks, newest first.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// Number of tasks on all pages.
    pub total: u64,
    /// Tasks of this page.
    pub items: Vec<Task>,
    /// Cursor of the next page; `None` on the last page.
    pub next_cursor: Option<TaskCursor>,
}

/// Answer of [`super::Queue::wait_facts`]: the inputs of a start-time estimate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitFacts {
    /// Rank of the task in its lane (0 = next); `None` when it is in no lane.
    pub position: Option<u64>,
    /// Number of tasks waiting in more urgent lanes.
    pub urgent: u64,
    /// Number of live dispatchers.
    pub dispatchers: u64,
    /// Number of instances under a valid lease.
    pub leases: u64,
    /// Whether claims pause because all memory of Redis is in use.
    pub memory_spent: bool,
    /// Time until claims resume. Claims pause after a Redis restart until the lease owners have reported what runs.
    pub claims_pause: Duration,
    /// Mean duration of the recent runs of this task's workflow, ms.
    pub run_ms: Option<u64>,
    /// Mean duration of the recent runs of all tasks, ms.
    pub any_run_ms: Option<u64>,
    /// Mean duration of the recent runs of this task's workflow on each instance, ms.
    pub run_ms_on: BTreeMap<String, u64>,
}

/// Answer of [`super::Queue::put_config`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigWritten {
    /// The config in force, with its new version.
    Written(FleetConfig),
    /// The config was changed since the expected version; this is the current version.
    Outdated(u64),
}

/// Limits and lifetimes that the scripts apply, from the settings.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Maximum number of pending tasks of all users; 0 = no limit.
    pub waiting_max: u64,
    /// Retention time of ended tasks.
    pub keep_tasks: Duration,
}
