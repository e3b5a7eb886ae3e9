//! Redis: keys, scripts, the queue's verbs, leases, feed, janitor. The only user of fred.
//!
//! The task hash is the truth; every other key is an index of it that the sweep can rebuild. One script of `lua/` is
//! one transition: checks first, writes last, safe to send twice, times from Redis. Each script has one caller, a
//! method of [`Queue`].
//!
//! | verbs and data | module |
//! |---|---|
//! | enqueue (group commit), read, list, cancel, revive, count; batches, payloads, previews | `tasks` |
//! | leases, claims and the writes of attempts, early outputs, eligibility, orphan prompts | `dispatch` |
//! | the feed of events, wakeups of claimers | `events` |
//! | stored files, and which objects may be deleted | `files` |
//! | published workflows | `workflows` |
//! | fleet config, disabled instances, reports; node catalogs | `fleet`, `catalogs` |
//! | due retries, `startBy`, retention, repair of the indexes | `janitor` |
//! | counts of failed logins | `logins` |
//! | connections, script calls, scripts, keys, durability, checks of the server | `redis` |
//! | arguments and results of the verbs; errors | `results`, `error` |
//!
//! Invariant: a task's state changes only inside `lua/`; every write of an attempt carries (instance, token, attempt).
//!
//! # Durability
//!
//! A 200 means that Redis has the write. `--durability` sets what must have stored it:
//!
//! | `--durability` | a 200 means | Redis is killed | the primary is lost with its disk |
//! |---|---|---|---|
//! | `local` | Redis has it | with `appendfsync everysec` up to 2 s of accepted tasks are lost; with `always` none | writes not yet replicated are lost |
//! | `fsync` | its disk has it (`appendfsync always`, or WAITAOF of Redis 7.2 and later) | nothing is lost | writes not yet replicated are lost |
//! | `replica` | `--durability-replicas` replicas have it (WAIT) | nothing is lost if one of them takes over | the same |
//!
//! Nothing is lost if the number is that of all replicas, also those with `replica-priority 0`: WAIT does not say which of
//! them confirmed. With a smaller one a failover may promote one that did not, and the write is lost; the check of the
//! server warns. While fewer are connected than must confirm, writes get 503 `not_confirmed` and
//! claimed tasks wait.
//!
//! A server whose replicas did not confirm within half a second is asked before it is written to: a primary that was
//! replaced while it was paused accepts nothing when it goes on. A claim is confirmed too, before its prompt is submitted
//! (`check_claim.lua`): a dispatcher cut off with the old primary submits nothing that the new one gives to another
//! instance. With `fsync` on a Redis that syncs once a second claims are not confirmed: one lost with its dispatcher and
//! that second may run again.
//!
//! A write that was not confirmed in time is a 503; the client repeats it with the same `Idempotency-Key`. No script is
//! ever applied in part. If Redis loses writes, no task ends in an impossible state and no instance gets stuck:
//! dispatchers report their prompts again. A read or an event may show a write that is not confirmed yet: after a failover
//! a task that was seen completed may be running again for some seconds, and then completes with the same result.
//!
//! At start, a server is refused if it is older than 7.0, is a replica, evicts keys (`maxmemory-policy` other than
//! `noeviction` with a `maxmemory`), or cannot give the durability asked for. A missing append-only file is a warning.
//! Sentinel and cluster addresses work: one namespace is one slot. WAIT, WAITAOF and CONFIG go to the node that owns it;
//! with `fsync` every node of a cluster is checked. A Redis (not Valkey) with `appendfsync everysec` confirms `fsync` only
//! after about a second: it works and is warned about. The check is repeated every 30 s, and after a refusal.
//!
//! # Connections
//!
//! Each connection has a supervisor (`redis/supervisor`). It asks with a PING after 2 s without an answer, and gives up a
//! connection whose oldest command has no answer for 5 s: fred reconnects it, with a new discovery; if that has no answer
//! within 2.5 s, a new client takes its place. ASK is not followed: a script must not run at the node to which the slot moves.
//!
//! # The fence
//!
//! A process keeps the id of its installation (`meta`), and each of its script calls names it. A Redis that was emptied
//! or replaced refuses them with [`Error::Lost`], so that no task waits for ever in an empty system; a cluster node that
//! has only a part of the keys of our slot, which is being moved, answers TRYAGAIN. Both end when the data is back.
//!
//! # Keys
//!
//! All keys begin with the root `{<namespace>}:` (spelled in `lua/lib/base.lua`). Their names are older than some words
//! of the code: `flow` = published workflow, `narrowed` = tasks restricted to some instances, `strays` = orphan
//! prompts, `speeds` = run times, `given-up` = outputs of abandoned attempts, `duty` = election.
//!
//! | key | type | content |
//! |---|---|---|
//! | `task:<id>` | HASH | the task |
//! | `payload:<id>` | STRING | workflow, params and files of the task, zstd of JSON; deleted with the task |
//! | `jobs` | STREAM | the last wake-ups of dispatchers: `added` = number of tasks that wait since |
//! | `wait:<class>:<lane>` | ZSET | waiting ids by fair-queue tag; the only class is `default` |
//! | `fair:<class>:<lane>` | HASH | `served` (virtual time), `owner:<owner>` (end tag of the owner's last task) |
//! | `delayed`, `start-by`, `expiry` | ZSET | ids by due time: of the retry, of `startBy`, of deletion |
//! | `narrowed` | ZSET | live ids restricted to some instances, by the time of the restriction |
//! | `speeds`, `speeds-used` | HASH, ZSET | mean run time by workflow hash, and of all runs; hashes by last use |
//! | `speeds-at:<workflow hash>` | HASH | mean run time by instance, at most 65; `nodes` = run times of its nodes |
//! | `faulty:<workflow hash>` | STRING | a task of it met a machine's fault in the last hour: `1` = and is the cause, else `0` |
//! | `index:<status or all>[:<owner>]` | ZSET | ids by created time |
//! | `errors:<type>` | ZSET | failed ids by created time |
//! | `flow:<status>:<workflow>`, `flows` | ZSET, SET | ids made from a published workflow by created time; workflows that have tasks |
//! | `batch:<common prefix of the ids>` | ZSET | tasks of a batch by created time |
//! | `workflow:<name>` | HASH | `latest`, `digest`; for each version kept `head:<n>` (JSON), `graph:<n>` (zstd of JSON), `editor:<n>` (the same, as the editor saved it), `time:<n>`, `files:<n>` |
//! | `workflows`, `workflows-gone` | ZSET | names published; names deleted, with their last version |
//! | `owners` | SET | owners that have tasks |
//! | `instance:<id>` | HASH | lease (`token dispatcher expires ttl`), last claim, `report` |
//! | `in-flight:<id>` | HASH | task → attempt; its length is the number of slots in use |
//! | `cancelled:<id>` | SET | tasks in flight that ended elsewhere, to be interrupted and released |
//! | `strays:<id>` | ZSET | orphan prompts that may still reach the instance, by time |
//! | `leases`, `dispatchers` | ZSET | instance, dispatcher by deadline |
//! | `disabled` | SET | disabled instances |
//! | `catalog:<hash>` | STRING | node catalog of instances of one kind, or names of the files of one, zstd of JSON; their reports name it |
//! | `config` | HASH | `document`, `version` of the fleet |
//! | `file:<id>`, `files:<kind or all>` | HASH, ZSET | stored files |
//! | `content:<sha256>`, `object:<id>` | STRING, HASH | object in the store with these bytes; number of files that need it |
//! | `totals` | HASH | bytes by kind of file; objects and their bytes |
//! | `upload-bytes` | HASH | bytes of uploads by owner |
//! | `upload-names` | HASH | `owner`, line break, `filename` → ids of the latest uploads of that name, the latest first |
//! | `payload-bytes` | HASH | bytes of large payloads of pending and running tasks: `task:<id>`, `owner-of:<id>`, `owner:<owner>`, `all` |
//! | `uses:<file>`, `held:<file>` | SET | live tasks, published versions (`name@3`) that need a file |
//! | `made:<task>`, `orphans` | SET, ZSET | outputs of a task; objects to delete |
//! | `given-up`, `given-up:<task>` | SET | tasks, and the many files of their abandoned attempts, to be deleted |
//! | `throughput`, `login:<scope>`, `duty:<name>`, `meta` | | completions by second; failed logins; elected process; Redis' run id, installation, mark of confirmed writes |
//! | `installation:<id>` | STRING | time from which tasks may be claimed; every script refuses if it is not there |
//! | `preview:<task>`, `preview-wanted:<task>` | STRING | latest preview of a running task; mark that a client watches |
//! | `events` | channel | all events |
//! | `control` | channel | events on which dispatchers act: cancels of tasks in flight, config, switches of instances |

mod catalogs;
pub(super) mod compression;
mod dispatch;
mod error;
mod events;
mod files;
mod fleet;
mod janitor;
mod logins;
mod redis;
mod tasks;
mod verb_types;
mod workflows;

pub use dispatch::{
    attempts::ProgressOf,
    early_outputs::OutputsAdded,
    eligibility::RestrictedTasks,
    leases::{Leases, Restricted, Work},
    node_faults::NodeFault,
};
pub use error::Error;
pub use events::{
    feed::{Feed, FeedItem},
    wakeups::Wakeups,
};
pub use files::{FileDeleted, FileKind, FileRecord, QuotaExceeded, Retention, SharedObject, Trimmed, UploadQuota};
pub use redis::{
    diagnose::{Diagnosis, diagnose},
    scripts::{Scripts, Verb},
    server_check::ServerIssue,
};
pub use tasks::batches::{BatchEnqueued, BatchOverview, PackedTask};
pub use verb_types::{
    Acquired, Cancelled, Claim, Claimed, ConfigWritten, Enqueued, InFlight, Lease, QueueLimits, Renewed, Revived,
    SettleFacts, TaskCursor, TaskPage, TaskQuery, Token, WaitFacts, Written,
};
pub use workflows::{
    NewWorkflow, StoredWorkflow, WORKFLOW_LIMITS, WorkflowFound, WorkflowHead, WorkflowLimits, WorkflowRow,
    WorkflowWritten,
};

use crate::settings::RedisSettings;
use fred::types::{FromValue, Value};
use redis::{
    durability::Durable,
    installation::Installation,
    keys::Root,
    link::Link,
    memory::Memory,
    recheck::Fitness,
    script_call::{Reply, ScriptCaller, switch, with_timeout},
    server_check::Demand,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tasks::enqueue_batcher::EnqueueBatcher;
use tokio_util::task::AbortOnDropHandle;

/// Result of a verb.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Limits of the bytes of payloads; 0 = no limit.
#[derive(Debug, Default)]
pub(crate) struct PayloadQuota {
    user: AtomicU64,
    all: AtomicU64,
}

impl PayloadQuota {
    /// Returns the arguments of the scripts.
    pub(crate) fn args(&self) -> [Value; 2] {
        [&self.user, &self.all].map(|limit| redis::script_call::number(limit.load(Ordering::Relaxed)))
    }

    /// Reads the quota that a script names.
    pub(crate) fn exceeded(&self, reply: &mut Reply) -> Result<QuotaExceeded> {
        Ok(match reply.parse::<String>()?.as_str() {
            "user" => QuotaExceeded::User(self.user.load(Ordering::Relaxed)),
            _ => QuotaExceeded::All(self.all.load(Ordering::Relaxed)),
        })
    }
}

/// The queue. Cheap to clone; one is shared by a whole process.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    caller: ScriptCaller,
    durable: Option<Arc<Durable>>,
    batcher: EnqueueBatcher,
    link: Link,
    limits: QueueLimits,
    payload_quota: Arc<PayloadQuota>,
    installation: Arc<Installation>,
    memory: Arc<Memory>,
    fitness: Arc<Fitness>,
    _watchers: [AbortOnDropHandle<()>; 2],
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({})", self.root().as_str())
    }
}

impl Queue {
    /// Connects within the connection timeout, and checks the server (version ≥ 7.0, `noeviction`, AOF, role).
    ///
    /// # Errors
    /// [`Error::Unusable`] if a retry would not help: a bad URL or password, or a server that cannot hold a queue.
    pub async fn connect(settings: &RedisSettings, limits: QueueLimits) -> Result<Self> {
        Self::connect_with(settings, limits, Scripts::embedded()).await
    }

    /// Connects with other scripts, for tests that break a script or control the clock.
    pub async fn connect_with(settings: &RedisSettings, limits: QueueLimits, scripts: Scripts) -> Result<Self> {
        Box::pin(Self::connect_to(settings, limits, scripts)).await.map_err(redis::denied::at_start)
    }

    async fn connect_to(settings: &RedisSettings, limits: QueueLimits, scripts: Scripts) -> Result<Self> {
        let root = Root::new(&settings.namespace)?;
        let mut config = redis::address::config(settings)?;
        redis::credentials::settle_sentinels(&mut config).await;
        let link = Link::new(config, &root);
        let pool = Arc::new(link.command_pool().await?);
        let mut caller = ScriptCaller { pool, scripts, root, installation: None, refused: Arc::default() };
        let demand = Demand::from(settings);
        let (confirm, recheck) = redis::server_check::check(&caller, demand).await?;
        let client = caller.pool.next().client();
        redis::cluster_check::check(link.config(), &client, caller.root.slot(), demand).await?;
        let changes = caller.pool.all().map(redis::connection::Connection::changes).collect();
        let mut booted =
            caller.call(Verb::CheckRedisRestart, vec![Token::new().as_str().into(), switch(false)]).await?;
        let installation = Arc::new(Installation::new(&caller.root, booted.parse()?));
        caller.installation = Some(Arc::clone(&installation));
        if let Some(denied) = redis::denied::denied_commands(&caller).await? {
            return Err(Error::Refused(denied));
        }
        let fitness = Arc::clone(recheck.fitness());
        let durable = Durable::connect(&link, &caller, confirm, &fitness).await?.map(Arc::new);
        let payload_quota = Arc::<PayloadQuota>::default();
        let batcher = EnqueueBatcher::start(caller.clone(), durable.clone(), limits.waiting_max, payload_quota.clone());
        let memory = Arc::new(Memory::default());
        let watchers = [
            AbortOnDropHandle::new(tokio::spawn(recheck.watch(caller.clone(), demand, changes))),
            AbortOnDropHandle::new(tokio::spawn(redis::memory::watch(caller.clone(), Arc::clone(&memory)))),
        ];
        let inner = Inner {
            caller,
            durable,
            batcher,
            link,
            limits,
            payload_quota,
            installation,
            memory,
            fitness,
            _watchers: watchers,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the random name of this namespace, the same for every process and across restarts. Client ids contain it, so
    /// that two installations that drive the same ComfyUI do not collide.
    pub fn installation(&self) -> &str {
        self.inner.installation.id()
    }

    /// Returns the maximum number of pending tasks of all users; 0 = no limit.
    pub fn waiting_max(&self) -> u64 {
        self.limits().waiting_max
    }

    /// Sets the limits of the bytes of payloads that pending and running tasks may have together: of one user and of all
    /// users; 0 = no limit, as before this call.
    pub fn limit_payload_bytes(&self, user: u64, all: u64) {
        self.inner.payload_quota.user.store(user, Ordering::Relaxed);
        self.inner.payload_quota.all.store(all, Ordering::Relaxed);
    }

    /// Checks that Redis answers a PING within a second, holds our data, and denies us no command and no write.
    pub async fn ping(&self) -> Result<()> {
        let limit = Duration::from_secs(1);
        let answer = tokio::time::timeout(limit, with_timeout(self.inner.caller.pool.next().ping(limit))).await;
        match answer.unwrap_or_else(|_elapsed| Err(Error::Unavailable("PING is not answered".to_owned()))) {
            Ok(_) if self.inner.installation.is_lost() => Err(Error::Lost(String::new())),
            Ok(_) => self.check_rights().inspect_err(|_| self.inner.caller.refused.notify_one()),
            Err(silence @ Error::Unavailable(_)) => Err(self.link().refusal().unwrap_or(silence)),
            Err(error) => Err(error),
        }
    }

    /// Checks that Redis denies us no command and no write, as of the last check.
    pub fn check_rights(&self) -> Result<()> {
        self.inner.fitness.denied().map_or(Ok(()), |denied| Err(Error::Refused(denied)))
    }

    /// Whether Redis was changed so that it would be refused at a start: it may delete tasks, for example.
    pub fn is_unfit(&self) -> bool {
        self.inner.fitness.is_unfit()
    }

    /// Whether writes are refused because the replicas or the disk do not confirm them.
    pub fn is_unconfirmed(&self) -> bool {
        self.inner.fitness.is_unconfirmed()
    }

    fn fitness(&self) -> &Arc<Fitness> {
        &self.inner.fitness
    }

    /// Checks that something new may be accepted: tasks, files, published workflows.
    ///
    /// # Errors
    /// [`Error::MemoryFull`]: 90 % of Redis' `maxmemory` are in use.
    pub fn check_memory(&self) -> Result<()> {
        self.inner.memory.check()
    }

    /// Returns the connections to Redis whose answer is overdue, as `events-1: no answer for 7 s`.
    pub fn ill_connections(&self) -> Vec<String> {
        self.link().ill()
    }

    /// Returns the time since Redis answered anything.
    pub fn unanswered_for(&self) -> Duration {
        self.link().unanswered_for()
    }

    async fn call(&self, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        self.inner.caller.call(verb, args).await
    }

    /// Runs a script whose write a user gets confirmed. Returns once the write has the configured durability.
    async fn call_durably(&self, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        match &self.inner.durable {
            Some(durable) => durable.call(&self.inner.caller, verb, args).await,
            None => self.call(verb, args).await,
        }
    }

    /// The clients whose confirmation a claim needs before its prompt is submitted.
    fn claims_durably(&self) -> Option<&Durable> {
        self.inner.durable.as_deref().filter(|durable| durable.confirms_at_once())
    }

    fn batcher(&self) -> &EnqueueBatcher {
        &self.inner.batcher
    }

    /// Runs a command whose first argument is a key.
    async fn command<T: FromValue>(&self, name: &'static str, args: Vec<Value>) -> Result<T> {
        self.inner.caller.command(name, args).await
    }

    /// Sets a key that expires after this time.
    async fn set_for(&self, expires: Duration, key: String, value: Value) -> Result<()> {
        let ms = redis::script_call::ms(expires);
        self.command("SET", vec![key.into(), value, "PX".into(), ms]).await
    }

    fn root(&self) -> &Root {
        &self.inner.caller.root
    }

    fn link(&self) -> &Link {
        &self.inner.link
    }

    fn payload_quota(&self) -> &PayloadQuota {
        &self.inner.payload_quota
    }

    fn limits(&self) -> &QueueLimits {
        &self.inner.limits
    }
}
