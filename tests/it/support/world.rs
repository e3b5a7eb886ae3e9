//! A queue in a namespace of its own whose scripts read the time from a key, so that tests control the clock.

use super::{TestRedis, raw::RawRedis};
use serde_json::value::RawValue;
use shuzhiren::{
    queue::{Acquired, Claim, Claimed, Enqueued, Lease, Queue, QueueLimits, Scripts, Token, Verb},
    settings::{Durability, RedisSettings, Secret},
    task::{Failure, FailureKind, InstanceId, NewTask, Outcome, Payload, Priority, Task, TaskFacts, TaskId},
};
use std::{
    cell::RefCell,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Initial time of every world's clock.
pub const EPOCH_MS: u64 = 1_700_000_000_000;
/// Time that worlds keep ended tasks.
pub const KEEP: Duration = Duration::from_secs(3_600);
/// Lease duration of worlds.
pub const TTL: Duration = Duration::from_secs(15);

const CLOCK: &str = "  local time = redis.call('TIME')\n  return time[1] * 1000 + math.floor(time[2] / 1000)\n";
const TEST_CLOCK: &str = "  return tonumber(redis.call('GET', root .. 'test-clock'))\n";

/// A queue in a namespace of its own.
pub struct World {
    pub queue: Queue,
    pub scripts: Scripts,
    pub settings: RedisSettings,
    pub socket: PathBuf,
    now_ms: AtomicU64,
    raw: RefCell<RawRedis>,
}

impl World {
    pub async fn new(redis: &TestRedis) -> Self {
        Self::broken(redis, |_, text| text.to_owned()).await
    }

    /// Creates a world whose scripts are passed through `edit`.
    pub async fn broken(redis: &TestRedis, edit: impl Fn(Verb, &str) -> String) -> Self {
        Self::with(redis, QueueLimits { waiting_max: 0, keep_tasks: KEEP }, edit).await
    }

    pub async fn with(redis: &TestRedis, limits: QueueLimits, edit: impl Fn(Verb, &str) -> String) -> Self {
        Self::at(redis.url(), redis, limits, edit).await
    }

    /// Creates a world that connects to another URL than the socket's.
    pub async fn at(url: String, redis: &TestRedis, limits: QueueLimits, edit: impl Fn(Verb, &str) -> String) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let namespace = format!("world-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let settings = RedisSettings {
            redis_url: Some(Secret::new(url)),
            redis_url_file: None,
            redis_ca: None,
            namespace,
            durability: Durability::Local,
            durability_replicas: 1,
        };
        static SCRIPTS: OnceLock<Scripts> = OnceLock::new();
        let scripts = SCRIPTS.get_or_init(|| {
            Scripts::embedded().edited(|verb, text| {
                assert!(text.contains(CLOCK), "{}: the clock is not where it was", verb.name());
                text.replace(CLOCK, TEST_CLOCK)
            })
        });
        let scripts = scripts.edited(edit);
        let mut raw = RawRedis::connect(&redis.socket());
        raw.run(&["SET", &format!("{{{}}}:test-clock", settings.namespace), &EPOCH_MS.to_string()]);
        let queue = Queue::connect_with(&settings, limits, scripts.clone()).await.unwrap();
        Self {
            queue,
            scripts,
            settings,
            socket: redis.socket(),
            now_ms: AtomicU64::new(EPOCH_MS),
            raw: RefCell::new(raw),
        }
    }

    /// Advances the clock.
    pub fn advance(&self, time: Duration) {
        let now = self.now_ms.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
        let now = now + u64::try_from(time.as_millis()).unwrap();
        self.redis(&["SET", &self.key("test-clock"), &now.to_string()]);
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    pub fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.settings.namespace)
    }

    /// Runs a raw command.
    pub fn redis(&self, words: &[&str]) -> super::raw::Reply {
        self.raw.borrow_mut().run(words)
    }

    /// Runs a raw command and returns its reply, also an error reply.
    pub fn try_redis(&self, words: &[&str]) -> super::raw::Reply {
        self.raw.borrow_mut().call(words)
    }

    /// Makes an emptied Redis hold this world's installation again, as if its data had been restored.
    pub fn restore_installation(&self) {
        let id = self.queue.installation();
        self.redis(&["HSET", &self.key("meta"), "installation", id]);
        self.redis(&["SET", &self.key(&format!("installation:{id}")), ""]);
        self.redis(&["SET", &self.key("test-clock"), &self.now_ms().to_string()]);
    }

    /// Returns the text of a script with the test clock, unedited.
    pub fn script(&self, verb: Verb) -> String {
        verb.text().replace(CLOCK, TEST_CLOCK)
    }

    /// Returns the text of a script as this world runs it.
    pub fn edited_script(&self, wanted: Verb) -> String {
        let found = RefCell::new(String::new());
        let _same = self.scripts.edited(|verb, text| {
            if verb == wanted {
                text.clone_into(&mut found.borrow_mut());
            }
            text.to_owned()
        });
        found.into_inner()
    }

    /// Returns a field of a task's hash.
    pub fn field(&self, task: TaskId, name: &str) -> String {
        self.redis(&["HGET", &self.key(&format!("task:{task}")), name]).text()
    }

    /// Enqueues a default task.
    pub async fn enqueue(&self) -> TaskId {
        self.create(&new_task()).await.id
    }

    pub async fn create(&self, new: &NewTask) -> Task {
        match self.queue.enqueue(new).await.unwrap() {
            Enqueued::Created(task) => *task,
            other => panic!("not created: {other:?}"),
        }
    }

    /// Leases a free instance.
    pub async fn lease(&self, instance: &str) -> Lease {
        let lease = Lease { instance: InstanceId::new(instance), token: Token::new() };
        match self.queue.acquire(&lease.instance, "dispatcher-1", &lease.token, TTL).await.unwrap() {
            Acquired::Ours(_) => lease,
            held => panic!("not ours: {held:?}"),
        }
    }

    /// Claims a task, with one slot.
    pub async fn claim(&self, lease: &Lease) -> Option<Claim> {
        self.claim_with_slots(lease, 1).await
    }

    pub async fn claim_with_slots(&self, lease: &Lease, slots: u32) -> Option<Claim> {
        match self.queue.claim(lease, &uuid::Uuid::new_v4().to_string(), slots, 32).await.unwrap() {
            Claimed::Task(claim) => Some(*claim),
            Claimed::Nothing => None,
        }
    }

    pub async fn task(&self, id: TaskId) -> Task {
        self.queue.task(id).await.unwrap().unwrap_or_else(|| panic!("no task {id}"))
    }
}

/// Returns a default task, owned by alice.
pub fn new_task() -> NewTask {
    let workflow = r#"{"3":{"class_type":"KSampler","inputs":{"seed":18446744073709551615,"cfg":1e-7}}}"#;
    NewTask {
        id: TaskId::new(),
        owner: "alice".to_owned(),
        is_unlisted: false,
        priority: Priority::Normal,
        fingerprint: "f".to_owned(),
        max_attempts: 3,
        start_by_ms: None,
        payload: Payload {
            workflow: RawValue::from_string(workflow.to_owned()).unwrap(),
            params: RawValue::from_string("{}".to_owned()).unwrap(),
            original: None,
            files: Vec::new(),
            is_editor: false,
            png_info: None,
        },
        keys: None,
        facts: TaskFacts { nodes_total: 1, ..TaskFacts::default() },
    }
}

pub fn completed() -> Outcome {
    Outcome::Completed(Vec::new())
}

pub fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed { failure: Failure::new(kind, "it \"broke\"\nbadly"), outputs: Vec::new() }
}
