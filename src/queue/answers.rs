//! What the verbs take and give. Pure values.

use crate::{
    fleet::FleetConfig,
    task::{Attempt, FailureKind, FileId, FlowName, InstanceId, Payload, Status, Task, TaskId, TaskState},
};
use std::{fmt, str::FromStr, time::Duration};

/// A secret made by an acquirer before it asks (128 random bits, hex), so that asking twice is the same request.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// 128 random bits.
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

/// The right to act for one instance until it runs out.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The instance.
    pub instance: InstanceId,
    /// What every write is fenced by.
    pub token: Token,
}

/// What is in flight on an instance according to Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Slots taken: task → attempt.
    pub tasks: Vec<(TaskId, Attempt)>,
    /// Of them cancelled by their owner: interrupt, then release.
    pub cancelled: Vec<TaskId>,
}

/// Answer of [`super::Queue::acquire`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// The lease is ours; re-attach to what is in flight.
    Ours(InFlight),
    /// Somebody holds it for about so long.
    Held(Duration),
}

/// Answer of [`super::Queue::renew`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewed {
    /// Still ours.
    Ours(InFlight),
    /// Taken: drop everything of this instance.
    Lost,
}

/// A task given to an instance.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The task.
    pub task: TaskId,
    /// This attempt.
    pub attempt: Attempt,
    /// What to run.
    pub payload: Payload,
    /// Longest run, from the task's facts.
    pub timeout: Option<Duration>,
    /// `max_attempts` of the task: with `attempt` tells whether this is the last try.
    pub max_attempts: u32,
    /// Whose it is: owns what it makes.
    pub owner: String,
    /// From being accepted to this claim, by Redis' clock.
    pub waited: Duration,
}

/// Answer of [`super::Queue::claim`].
#[derive(Debug, Clone)]
pub enum Claimed {
    /// Run this.
    Task(Box<Claim>),
    /// Nothing for this instance now.
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
    /// Too many wait; try again after this.
    Full(Duration),
    /// A file of the payload does not exist (any more).
    NoSuchFile(FileId),
}

/// Answer of [`super::Queue::cancel`].
#[derive(Debug, Clone)]
pub enum Cancelled {
    /// Ended now, by this call or an earlier cancel; `cancel_pending` tells whether an instance must still confirm.
    Cancelled(Box<Task>),
    /// Ended otherwise before; unchanged.
    AlreadyEnded(Box<Task>),
    /// No such task.
    NotFound,
}

/// Answer of [`super::Queue::revive`].
#[derive(Debug, Clone)]
pub enum Revived {
    /// It lives again: waits, or (an earlier call did it) may run by now.
    Revived(Box<Task>),
    /// No such task.
    NotFound,
    /// Nothing to be made up for.
    Completed,
    /// It has not ended yet.
    NotEnded(Status),
    /// It has ended, but its instance has not confirmed yet that the prompt is gone.
    Stopping,
    /// What it should run is not kept any more.
    PayloadGone,
    /// A file that it needs has been deleted.
    NoSuchFile(FileId),
    /// Too many wait; try again after this.
    Full(Duration),
}

/// Answer of a fenced write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Done, by this call or by an earlier identical one.
    Done,
    /// The attempt ended here, and the task waits to be tried again ([`super::Queue::settle`] only).
    Retrying,
    /// The task had ended otherwise (cancelled, timed out). To [`super::Queue::settle`](super::Queue::settle) and
    /// [`super::Queue::requeue`](super::Queue::requeue) it also says that the slot is free; to a start or a progress that the prompt
    /// must be interrupted and then [released](super::Queue::release).
    AlreadyEnded(TaskState),
    /// The task is not this attempt's any more; drop it. The lease may still be ours.
    NotThisAttempt,
    /// The lease was lost: drop everything of this instance.
    Fenced,
}

/// Which tasks [`super::Queue::list`] gives.
#[derive(Debug, Clone, Default)]
pub struct TaskQuery {
    /// Only of this owner.
    pub owner: Option<String>,
    /// Empty = all.
    pub statuses: Vec<Status>,
    /// Only failed ones with these kinds of failure, of all owners; replaces `owner` and `statuses`. Empty = all.
    pub failures: Vec<FailureKind>,
    /// Only those made from this published workflow, of all owners; replaces `owner`.
    pub flow: Option<FlowName>,
    /// Skip.
    pub offset: u64,
    /// At most, 1–200.
    pub limit: u64,
    /// Go on after this position instead of `offset` (from an earlier page's [`TaskPage::next_cursor`]).
    pub cursor: Option<TaskCursor>,
}

/// Place in the list: the last item seen. Wire form `<created_ms>-<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskCursor {
    /// Created.
    pub created_ms: u64,
    /// Id.
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

/// One page, newest first.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// Of all pages.
    pub total: u64,
    /// This page.
    pub items: Vec<Task>,
    /// Where the next page begins; `None` = this was the last.
    pub next_cursor: Option<TaskCursor>,
}

/// Answer of [`super::Queue::prospects`]: what stands between a task and its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prospects {
    /// Rank in its lane (0 = next); `None` when it is in no lane.
    pub position: Option<u64>,
    /// Tasks of more urgent lanes.
    pub urgent: u64,
    /// Dispatchers that live.
    pub dispatchers: u64,
    /// Instances that somebody looks after.
    pub leases: u64,
    /// No task is given to anybody for so long: Redis was away, and the owners must tell first what runs.
    pub claims_rest: Duration,
    /// Mean of the recent runs of its workflow.
    pub run_ms: Option<u64>,
    /// Mean of the recent runs of all tasks.
    pub any_run_ms: Option<u64>,
}

/// Answer of [`super::Queue::put_config`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigWritten {
    /// In force, with its new version.
    Written(FleetConfig),
    /// Somebody else wrote since; this is the version now.
    Outdated(u64),
}

/// What limits and lifetimes the scripts apply; from the settings.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Pending tasks of all users; 0 = no limit.
    pub waiting_max: u64,
    /// How long ended tasks are kept.
    pub keep_tasks: Duration,
}
