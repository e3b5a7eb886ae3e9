//! Redis: keys, scripts, the queue's verbs, leases, feed, janitor. The only user of fred.
//!
//! Invariant: a task's state changes only inside `lua/`; every write of an attempt carries (instance, token, attempt).

mod error;

pub use error::Error;

use crate::{
    event::Event,
    fleet::{Counts, FleetConfig, InstanceReport, InstanceStatus},
    settings::RedisSettings,
    task::{Attempt, FileId, InstanceId, NewTask, Outcome, Payload, Progress, Status, Task, TaskId, TaskState},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a verb gives, or why it did not happen.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The queue: cheap to clone, shared by a whole process.
#[derive(Debug, Clone)]
pub struct Queue {}

/// A secret made by an acquirer before it asks (128 random bits, hex), so that asking twice is the same request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

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

/// Answer of [`Queue::acquire`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// The lease is ours; re-attach to what is in flight.
    Ours(InFlight),
    /// Somebody holds it for about so long.
    Held(Duration),
}

/// Answer of [`Queue::renew`].
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
}

/// Answer of [`Queue::claim`].
#[derive(Debug, Clone)]
pub enum Claimed {
    /// Run this.
    Task(Box<Claim>),
    /// Nothing for this instance now.
    Nothing,
}

/// Answer of [`Queue::enqueue`].
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

/// Answer of [`Queue::cancel`].
#[derive(Debug, Clone)]
pub enum Cancelled {
    /// Ended now, by this call or an earlier cancel; `cancel_pending` tells whether an instance must still confirm.
    Cancelled(Box<Task>),
    /// Ended otherwise before; unchanged.
    AlreadyEnded(Box<Task>),
    /// No such task.
    NotFound,
}

/// Answer of a fenced write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Done, by this call or by an earlier identical one.
    Done,
    /// The attempt ended here, and the task waits to be tried again ([`Queue::settle`] only).
    Retrying,
    /// The task had ended otherwise (cancelled, timed out); the slot is free.
    AlreadyEnded(TaskState),
    /// The task is not this attempt's any more; drop it. The lease may still be ours.
    NotThisAttempt,
    /// The lease was lost: drop everything of this instance.
    Fenced,
}

/// Who may see which tasks of [`Queue::list`].
#[derive(Debug, Clone, Default)]
pub struct TaskQuery {
    /// Only of this owner.
    pub owner: Option<String>,
    /// Only these; empty = all.
    pub statuses: Vec<Status>,
    /// Skip.
    pub offset: u64,
    /// At most, 1–200.
    pub limit: u64,
    /// Go on after this position instead of `offset` (from an earlier page's [`TaskPage::next_cursor`]).
    pub cursor: Option<TaskCursor>,
}

/// Place in the list: created ms and id of the last item seen. Wire form `<created_ms>-<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskCursor {
    /// Created.
    pub created_ms: u64,
    /// Id.
    pub id: TaskId,
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

/// A stored file as its registry entry in Redis; the bytes are in the store under `id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileRecord {
    /// Its id.
    pub id: FileId,
    /// `upload` or `output`.
    pub kind: FileKind,
    /// Display name, cleaned.
    pub filename: String,
    /// From our own table.
    pub content_type: String,
    /// Bytes.
    pub size_bytes: u64,
    /// Lowercase hex.
    pub sha256: String,
    /// Whose.
    pub owner: String,
    /// The task that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// Unix ms of Redis; filled by [`Queue::add_file`].
    #[serde(default)]
    pub created_ms: u64,
}

/// Where a file came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// From a user.
    Upload,
    /// From an instance.
    Output,
}

/// Answer of [`Queue::delete_file`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileDeleted {
    /// The entry is gone; now delete the bytes.
    Deleted(FileRecord),
    /// A waiting or running task needs it.
    InUse,
    /// No such file.
    NotFound,
}

/// Answer of [`Queue::put_config`].
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

impl Queue {
    /// Connects, waits for nothing longer than the connection timeout, checks the server (version ≥ 7.0, `noeviction`,
    /// AOF, role) and loads the scripts.
    pub async fn connect(_settings: &RedisSettings, _limits: QueueLimits) -> Result<Self> {
        todo!("helper queue")
    }

    /// Whether Redis answers a PING within a second.
    pub async fn ping(&self) -> Result<()> {
        todo!("helper queue")
    }

    // ---- api ----

    /// Accepts a task, at most once per id. One round trip (plus WAIT at durability `replica`).
    pub async fn enqueue(&self, _new: &NewTask) -> Result<Enqueued> {
        todo!("helper queue")
    }

    /// Reads a task.
    pub async fn task(&self, _id: TaskId) -> Result<Option<Task>> {
        todo!("helper queue")
    }

    /// Reads several tasks at once, in the order asked (at most 1,000).
    pub async fn tasks(&self, _ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
        todo!("helper queue")
    }

    /// Reads the versions and states of several tasks in one round trip: the WebSocket tier's positioning.
    pub async fn versions(&self, _ids: &[TaskId]) -> Result<Vec<Option<(u64, TaskState)>>> {
        todo!("helper queue")
    }

    /// Reads graph, params and files of a task.
    pub async fn payload(&self, _id: TaskId) -> Result<Option<Payload>> {
        todo!("helper queue")
    }

    /// Rank in its lane (0 = next) of a waiting task.
    pub async fn position(&self, _task: &Task) -> Result<Option<u64>> {
        todo!("helper queue")
    }

    /// One page, total exact, at any offset.
    pub async fn list(&self, _query: &TaskQuery) -> Result<TaskPage> {
        todo!("helper queue")
    }

    /// Cancels in every state; final at once.
    pub async fn cancel(&self, _id: TaskId) -> Result<Cancelled> {
        todo!("helper queue")
    }

    /// Counts of one instant.
    pub async fn counts(&self) -> Result<Counts> {
        todo!("helper queue")
    }

    /// Counts one failed login under `scope` (user or address) and gives the count within `window`.
    pub async fn count_login_failure(&self, _scope: &str, _window: Duration) -> Result<u64> {
        todo!("helper queue")
    }

    /// Failed logins under `scope` within its window, and how long until it is forgotten.
    pub async fn login_failures(&self, _scope: &str) -> Result<(u64, Duration)> {
        todo!("helper queue")
    }

    // ---- files ----

    /// Registers a stored file.
    pub async fn add_file(&self, _record: &FileRecord) -> Result<()> {
        todo!("helper queue")
    }

    /// Reads a registration.
    pub async fn file(&self, _id: FileId) -> Result<Option<FileRecord>> {
        todo!("helper queue")
    }

    /// One page, newest first, with the total.
    pub async fn files(&self, _kind: Option<FileKind>, _offset: u64, _limit: u64) -> Result<(u64, Vec<FileRecord>)> {
        todo!("helper queue")
    }

    /// Removes a registration unless a pending or running task needs the file.
    pub async fn delete_file(&self, _id: FileId) -> Result<FileDeleted> {
        todo!("helper queue")
    }

    // ---- fleet ----

    /// The config in force; the default (no servers, version 0) when none was ever set.
    pub async fn config(&self) -> Result<FleetConfig> {
        todo!("helper queue")
    }

    /// Replaces the config if its version is still `expected` (`None` = whatever it is); announces it.
    pub async fn put_config(&self, _config: &FleetConfig, _expected: Option<u64>) -> Result<ConfigWritten> {
        todo!("helper queue")
    }

    /// Switches an instance on or off; announces it. Survives restarts.
    pub async fn set_enabled(&self, _instance: &InstanceId, _enabled: bool) -> Result<()> {
        todo!("helper queue")
    }

    /// What is known of each, in the order asked; `None` = never seen.
    pub async fn instances(&self, _ids: &[InstanceId]) -> Result<Vec<Option<InstanceStatus>>> {
        todo!("helper queue")
    }

    // ---- dispatcher ----

    /// Takes the lease of an instance if it is free or has run out; the same token again gives the same answer.
    pub async fn acquire(
        &self,
        _instance: &InstanceId,
        _dispatcher: &str,
        _token: &Token,
        _ttl: Duration,
    ) -> Result<Acquired> {
        todo!("helper queue")
    }

    /// Prolongs a lease and tells what is in flight.
    pub async fn renew(&self, _lease: &Lease, _ttl: Duration) -> Result<Renewed> {
        todo!("helper queue")
    }

    /// Gives a lease back at once; what is in flight stays for the next owner.
    pub async fn yield_lease(&self, _lease: &Lease) -> Result<()> {
        todo!("helper queue")
    }

    /// Leases of all instances: (instance, owner, remaining; zero = free or run out).
    pub async fn leases(&self) -> Result<Vec<(InstanceId, String, Duration)>> {
        todo!("helper queue")
    }

    /// Heartbeat of a dispatcher; gives the ids of all live ones, for the fair share.
    pub async fn heartbeat(&self, _dispatcher: &str, _ttl: Duration) -> Result<Vec<String>> {
        todo!("helper queue")
    }

    /// Stores what the owner knows of its instance, and announces it when `announce`.
    pub async fn report(&self, _lease: &Lease, _report: &InstanceReport, _announce: bool) -> Result<Written> {
        todo!("helper queue")
    }

    /// Takes one task for the instance while fewer than `slots` are in flight. `nonce` is fresh per intent: sent twice, it
    /// claims once. Looks at the first `window` of the lane for one that does not exclude this instance.
    pub async fn claim(&self, _lease: &Lease, _nonce: &str, _slots: u32, _window: u32) -> Result<Claimed> {
        todo!("helper queue")
    }

    /// Reads again what an in-flight task runs: after a takeover.
    pub async fn reclaim_payload(&self, _task: TaskId, _attempt: Attempt) -> Result<Option<Claim>> {
        todo!("helper queue")
    }

    /// Execution began.
    pub async fn start(&self, _lease: &Lease, _task: TaskId, _attempt: Attempt) -> Result<Written> {
        todo!("helper queue")
    }

    /// It got further.
    pub async fn progress(
        &self,
        _lease: &Lease,
        _task: TaskId,
        _attempt: Attempt,
        _progress: &Progress,
    ) -> Result<Written> {
        todo!("helper queue")
    }

    /// The attempt ended (`finish.lua` or `nack.lua`): completed, failed for good, or to be tried again with backoff and jitter,
    /// avoiding this instance. Frees the slot.
    pub async fn settle(
        &self,
        _lease: &Lease,
        _task: TaskId,
        _attempt: Attempt,
        _outcome: &Outcome,
    ) -> Result<Written> {
        todo!("helper queue")
    }

    /// Gives a task back uncounted or (`lost`) counted as lost under its instance: it keeps its place. Poison after two losses.
    pub async fn requeue(
        &self,
        _lease: &Lease,
        _task: TaskId,
        _attempt: Attempt,
        _lost: bool,
        _reason: &str,
    ) -> Result<Written> {
        todo!("helper queue")
    }

    /// Frees the slot of a task that has ended or is owned elsewhere (after a cancel was carried out).
    pub async fn release(&self, _lease: &Lease, _task: TaskId) -> Result<Written> {
        todo!("helper queue")
    }

    /// After a failover that forgot the claim: takes the task back if it waits and nobody else has it.
    pub async fn reclaim(&self, _lease: &Lease, _task: TaskId, _attempt: Attempt) -> Result<Written> {
        todo!("helper queue")
    }

    /// A reader of the ledger on a connection of its own: wakes claimers without polling.
    pub async fn wakeups(&self) -> Result<Wakeups> {
        todo!("helper queue")
    }

    /// A subscription on a connection of its own.
    pub async fn feed(&self) -> Result<Feed> {
        todo!("helper queue")
    }

    /// The janitor: promotes, sweeps, collects, enforces `startBy`, takes instances without config; one process at a time does
    /// each duty. Returns when `stop` is cancelled.
    pub async fn run_janitor(&self, _stop: tokio_util::sync::CancellationToken) {
        todo!("helper queue")
    }

    /// Files of ended and collected tasks whose bytes may be deleted: at most `limit`, removed from the registry by this call.
    pub async fn take_orphans(&self, _limit: u64) -> Result<Vec<FileId>> {
        todo!("helper queue")
    }
}

/// See [`Queue::wakeups`].
#[derive(Debug)]
pub struct Wakeups {}

impl Wakeups {
    /// Waits until tasks were added (gives how many), or about two seconds (gives 0). Heals itself from every error.
    pub async fn next(&mut self) -> usize {
        todo!("helper queue")
    }
}

/// See [`Queue::feed`].
#[derive(Debug)]
pub struct Feed {}

/// What a [`Feed`] gives.
#[derive(Debug, Clone)]
pub enum News {
    /// Somebody published this.
    Event(Box<Event>),
    /// Messages may have been lost (reconnect, overflow): read the state again.
    Gap,
}

impl Feed {
    /// The next message. Never ends while the queue lives; reconnects and re-subscribes by itself.
    pub async fn next(&mut self) -> News {
        todo!("helper queue")
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
