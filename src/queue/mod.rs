//! Redis: keys, scripts, the queue's verbs, leases, feed, janitor. The only user of fred.
//!
//! The task hash is the truth; every other key is an index of it, and the sweep can rebuild it. One script of `lua/` is one
//! transition: checks first, writes last, safe to send twice, times from Redis. Each script has one caller, the verb of that
//! name: look in `tasks` (api), `attempts`, `outputs` and `leases` (dispatcher), `instances`, `files`, `janitor`.
//!
//! Invariant: a task's state changes only inside `lua/`; every write of an attempt carries (instance, token, attempt).
//!
//! # Durability
//!
//! A 200 says that Redis has a write, and `--durability` says how sure that is:
//!
//! | `--durability` | a 200 means | Redis is killed | the primary is lost with its disk |
//! |---|---|---|---|
//! | `local` | Redis has it | with `appendfsync everysec` up to 2 s of accepted tasks are forgotten; with `always` none | what the replica has not got is lost |
//! | `fsync` | its disk has it (`appendfsync always`, or WAITAOF of Redis 7.2 and later) | nothing is forgotten | what the replica has not got is lost |
//! | `replica` | a replica has it (WAIT) | nothing is forgotten, by the replica | nothing is lost |
//!
//! A write that could not be made so sure is a 503, and may be said again with the same `Idempotency-Key`. No script is ever half
//! applied. Whatever was forgotten, no task ends in an impossible state and no instance gets stuck: a dispatcher says again what it
//! knows of its prompts.
//!
//! At the start a server is refused that is older than 7.0, a replica, or evicts keys (`maxmemory-policy` other than `noeviction` with a `maxmemory`), and
//! for `fsync` one that cannot; without an append-only file there is a warning. Sentinel and cluster addresses work: one namespace is one slot.
//!
//! # Keys
//!
//! All after the root `{<namespace>}:` (spelled in `lua/lib/base.lua`):
//!
//! | key | type | content |
//! |---|---|---|
//! | `task:<id>` | HASH | the task |
//! | `payload:<id>` | STRING | what it runs, zstd of JSON, until it is collected |
//! | `jobs`, group `dispatch` | STREAM | ledger: an entry per waiting or running task, pending = claimed, consumer = instance |
//! | `wait:<class>:<lane>` | ZSET | waiting ids by fair-queue tag; the only class is `default` |
//! | `fair:<class>:<lane>` | HASH | `served` (virtual time), `owner:<owner>` (where its last task ends) |
//! | `delayed`, `start-by`, `expiry` | ZSET | ids by the time something is due |
//! | `narrowed` | ZSET | live ids that not every instance can run, by the time from which they were |
//! | `speeds`, `speeds-used` | HASH, ZSET | mean run of a workflow's hash and of all; hashes by last use |
//! | `index:<status or all>[:<owner>]` | ZSET | ids by created time |
//! | `errors:<type>` | ZSET | failed ids by created time |
//! | `flow:<status>:<workflow>`, `flows` | ZSET, SET | ids made from a published workflow by created time; which have some |
//! | `batch:<begin of the ids>` | ZSET | the tasks of a batch by created time |
//! | `workflow:<name>` | HASH | `latest`, `digest`; of each version kept `head:<n>` (JSON), `graph:<n>` (zstd of JSON), `time:<n>`, `files:<n>` |
//! | `workflows`, `workflows-gone` | ZSET | names published, names deleted with their last version |
//! | `owners` | SET | who has tasks |
//! | `instance:<id>` | HASH | lease (`token dispatcher expires ttl`), last claim, `report` |
//! | `in-flight:<id>` | HASH | task → attempt: its length is the slots taken |
//! | `cancelled:<id>` | SET | of them ended by others, to be interrupted and released |
//! | `strays:<id>` | ZSET | prompts given up that may still come to it, by time |
//! | `leases`, `dispatchers` | ZSET | instance, dispatcher by deadline |
//! | `disabled` | SET | instances switched off |
//! | `catalog:<hash>` | STRING | what instances of one kind can run, zstd of JSON; their reports name it |
//! | `config` | HASH | `document`, `version` of the fleet |
//! | `file:<id>`, `files:<kind or all>` | HASH, ZSET | stored files |
//! | `content:<sha256>`, `object:<id>` | STRING, HASH | the object in the store with these bytes; how many files need it |
//! | `totals` | HASH | bytes by kind of file, objects and their bytes |
//! | `uses:<file>`, `held:<file>` | SET | live tasks, published versions (`name@3`) that need a file |
//! | `made:<task>`, `orphans` | SET, ZSET | a task's outputs; objects to delete |
//! | `given-up`, `given-up:<task>` | SET | tasks, and very many files of their earlier attempts, to be dropped |
//! | `throughput`, `login:<scope>`, `duty:<name>`, `meta` | | completions by second, failed logins, who has a duty, Redis' run id |
//! | `preview:<task>`, `preview-wanted:<task>` | STRING | the latest picture of a running task, while somebody looks |
//! | `events` | channel | what happened |

mod answers;
mod attempts;
mod batches;
mod call;
mod catalogs;
mod durable;
mod error;
mod exam;
mod feed;
mod files;
mod flows;
mod hash;
mod instances;
mod intake;
mod janitor;
mod joining;
mod keys;
mod leases;
mod link;
mod logins;
mod outputs;
mod payloads;
mod previews;
mod retry;
mod scripts;
mod server;
mod strays;
mod tasks;
mod wakeups;

pub use answers::{
    Acquired, Cancelled, Claim, Claimed, ConfigWritten, Enqueued, InFlight, Lease, Prospects, QueueLimits, Renewed,
    Revived, TaskCursor, TaskPage, TaskQuery, Token, Written,
};
pub use batches::{BatchEnqueued, BatchStand, PackedTask};
pub use error::Error;
pub use exam::{Exam, examine};
pub use feed::{Feed, News};
pub use files::{FileDeleted, FileKind, FileRecord, Retention};
pub use flows::{FLOW_LIMITS, Flow, FlowFound, FlowHead, FlowLimits, FlowRow, FlowWritten, NewFlow};
pub use joining::Narrowed;
pub use outputs::Told;
pub use scripts::{Scripts, Verb};
pub use server::Remark;
pub use wakeups::Wakeups;

use crate::settings::RedisSettings;
use call::{Caller, Reply, within};
use durable::Durable;
use fred::{
    clients::Pool,
    interfaces::{ClientLike, EventInterface},
    types::{Value, config::Config},
};
use intake::Intake;
use keys::Root;
use std::{fmt, sync::Arc, time::Duration};
use tokio_util::task::AbortOnDropHandle;

/// What a verb gives, or why it did not happen.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The queue: cheap to clone, shared by a whole process.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    caller: Caller,
    durable: Option<Arc<Durable>>,
    intake: Intake,
    redis: Config,
    limits: QueueLimits,
    installation: String,
    _watcher: AbortOnDropHandle<()>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({})", self.root().as_str())
    }
}

impl Queue {
    /// Connects, waits for nothing longer than the connection timeout, checks the server (version ≥ 7.0, `noeviction`,
    /// AOF, role) and loads the scripts.
    ///
    /// # Errors
    /// [`Error::Unusable`] when trying again would not help: the URL, the password, a server that cannot hold a queue.
    pub async fn connect(settings: &RedisSettings, limits: QueueLimits) -> Result<Self> {
        Self::connect_with(settings, limits, Scripts::embedded()).await
    }

    /// The same with other scripts: for tests that break one on purpose or own the clock.
    pub async fn connect_with(settings: &RedisSettings, limits: QueueLimits, scripts: Scripts) -> Result<Self> {
        let root = Root::new(&settings.namespace)?;
        let redis = link::config(settings)?;
        let pool = link::pool(&redis).await?;
        let caller = Caller { pool, scripts, root };
        let confirm = server::check(&caller, settings.durability).await?;
        let durable = Durable::connect(&redis, confirm).await?.map(Arc::new);
        let intake = Intake::start(caller.clone(), durable.clone(), limits.waiting_max);
        let reconnected = caller.pool.next().reconnect_rx();
        let mut booted = caller.call(Verb::Boot, vec![Token::new().as_str().into()]).await?;
        let installation = booted.parse()?;
        let watcher = AbortOnDropHandle::new(tokio::spawn(watch(caller.clone(), settings.durability, reconnected)));
        Ok(Self { inner: Arc::new(Inner { caller, durable, intake, redis, limits, installation, _watcher: watcher }) })
    }

    /// A random name of this namespace, the same for every process and over restarts: two systems that drive the same ComfyUI
    /// must not use the same client ids there.
    pub fn installation(&self) -> &str {
        &self.inner.installation
    }

    /// Pending tasks of all users that are allowed; 0 = no limit.
    pub fn waiting_max(&self) -> u64 {
        self.limits().waiting_max
    }

    /// Whether Redis answers a PING within a second.
    pub async fn ping(&self) -> Result<()> {
        let ping = self.pool().next_connected().ping::<Value>(None);
        match tokio::time::timeout(Duration::from_secs(1), within(ping)).await {
            Ok(answer) => answer.map(drop),
            Err(_elapsed) => Err(Error::Unavailable("no answer to PING within a second".to_owned())),
        }
    }

    async fn call(&self, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        self.inner.caller.call(verb, args).await
    }

    /// A write that is answered to users: done when it is as safe as the settings ask.
    async fn call_durably(&self, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        match &self.inner.durable {
            Some(durable) => durable.call(&self.inner.caller, verb, args).await,
            None => self.call(verb, args).await,
        }
    }

    fn intake(&self) -> &Intake {
        &self.inner.intake
    }

    fn pool(&self) -> &Pool {
        &self.inner.caller.pool
    }

    fn root(&self) -> &Root {
        &self.inner.caller.root
    }

    fn redis(&self) -> &Config {
        &self.inner.redis
    }

    fn limits(&self) -> &QueueLimits {
        &self.inner.limits
    }
}

/// After every reconnect: the server may be another process (leases get fresh deadlines) or another server altogether.
async fn watch(
    caller: Caller,
    durability: crate::settings::Durability,
    mut reconnected: tokio::sync::broadcast::Receiver<fred::types::config::Server>,
) {
    use tokio::sync::broadcast::error::RecvError;
    while !matches!(reconnected.recv().await, Err(RecvError::Closed)) {
        match caller.call(Verb::Boot, vec![Token::new().as_str().into()]).await {
            Ok(reply) if reply.tag() == "booted" => {
                tracing::warn!("redis is a new process: leases were prolonged, claims rest for a moment");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "redis is back, but does not answer yet"),
        }
        if let Err(error) = server::check(&caller, durability).await {
            tracing::error!(%error, "redis after the reconnect");
        }
    }
}
