//! Drives ComfyUI: one actor per leased instance; any number of dispatchers share the fleet.
//!
//! A process leases its fair share of the instances ([`roster`](leasing::roster)). For each of them an actor ([`actor`](instance::actor)) renews the lease
//! ([`lease_renewal`](leasing::lease_renewal)), checks the health ([`health_check`](instance::state::health_check)), reads the socket ([`socket_events`](instance::state::socket_events), [`previews`](instance::previews)), claims tasks ([`claimer`](instance::state::claimer)), runs
//! attempts ([`run`](attempt::run)) and traces them ([`spans`](attempt::run::spans)). Prompts that arrive after their attempt has ended are cancelled
//! ([`orphan_prompts`](instance::state::orphan_prompts)). Decisions are pure: [`fair_share`](leasing::fair_share), [`takeover_grace`](leasing::takeover_grace), [`health`](instance::state::health), [`min_speed`](attempt::run::outputs::min_speed).
//!
//! Invariants: every write of an attempt goes through a fenced verb of the queue. Nothing is submitted, interrupted or deleted
//! at an instance unless the lease was valid a moment ago ([`lease_clock`](leasing::lease_clock)).
//!
//! # Guarantees
//!
//! * A prompt that may still run somewhere is never submitted again while its instance answers. An instance that does not answer
//!   for longer than `--gone-after` counts as dead: its tasks run elsewhere. If it comes back with its queue within an hour, the
//!   prompts of those tasks are cancelled.
//! * An instance that answers its checks but fails three runs in a row is paused for 1 s, then 2, 4 … 60 s, until a run succeeds
//!   (`phase` is `suspect`, `lastError` has the reason).
//! * A download of an output that breaks off is retried; one below 64 KiB/s over six HTTP timeouts fails.
//! * An input file is uploaded once per start of an instance, as `fleet/<hash>`, and again if the instance has lost it.
//! * A model or node that is added to an instance is known after its next start or within minutes; waiting tasks that need it can
//!   run there within seconds from then.
//! * ComfyUI 0.3 and later are supported; `/api/jobs` is used where it exists.
//!
//! # Handling of ComfyUI's behaviour
//!
//! Points of the protocol's §17; tests of the same numbers are in `tests/it/dispatcher`:
//! 1 own prompt ids: `TaskId::prompt_id` · 2 recorded before POST, never posted twice blindly: [`submit`](attempt::submit) · 3 registered before
//! POST: `Instance::spawn` · 4 REST is the truth: [`follow`](attempt::follow) · 5 verdict from history: `comfy/history` · 6 lost prompts:
//! [`follow`](attempt::follow), [`run`](attempt::run) · 7 partly accepted: `comfy/submit` · 8 sanitised: `graph/`, and a body of our own: `comfy/submit` ·
//! 9 prefixes and nonces: `Workflow::isolate` · 10 outputs at once: [`early_outputs`](attempt::outputs::early_outputs), [`store_output`](attempt::run::outputs::store_output), [`final_outputs`](attempt::run::outputs::final_outputs) · 11 depth: `--slots` ·
//! 12 cancel until gone: [`cancel_prompt`](attempt::run::cancel_prompt) · 13 one socket, always drained: [`socket_events`](instance::state::socket_events), `comfy/socket` · 14 watchdogs: [`watchdog`](attempt::watchdog), [`health`](instance::state::health) ·
//! 15 tolerant parsing: `comfy/python_json` · 16 progress: `comfy/socket/frame`, `comfy::ProgressTracker` · 17 uploads by content: [`inputs`](attempt::run::inputs) ·
//! 18 catalog, read once per start: [`catalog`](instance::state::catalog); no `Origin`: `comfy/http` · 19 probe: `comfy/system_stats` · 20 history cleared, 21 out of memory: `AttemptContext::take_outcome` ·
//! 22 instances reachable by dispatchers only: `deploy/README.md`.

mod attempt;
mod instance;
mod leasing;
mod orphan_files;

use crate::{
    process::Readiness,
    queue::{FeedItem, Queue, Retention},
    settings::DispatcherSettings,
    store::Store,
    task::InstanceId,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Dependencies and settings of a dispatcher.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Redis.
    pub queue: Queue,
    /// Object store.
    pub store: Store,
    /// Settings.
    pub settings: DispatcherSettings,
    /// Largest output, bytes.
    pub file_bytes_max: u64,
    /// Retention of files and tasks.
    pub retention: Retention,
    /// Longest wait at a stop for outputs that are being stored.
    pub drain_timeout: Duration,
}

/// State shared by all actors of a process.
#[derive(Debug)]
struct Shared {
    parts: Parts,
    /// Unique name of this process, random at every start.
    name: String,
    /// Wakes idle claimers, one per added task.
    work: Notify,
    /// The leased instances of this process, for events about them.
    actors: Mutex<HashMap<InstanceId, Weak<instance::state::Instance>>>,
    /// Wakes the roster: the config changed.
    config_changed: Notify,
}

/// Number of unreferenced objects deleted per batch.
const OBJECTS_PER_BATCH: u64 = 100;
/// Interval between two collections of unreferenced objects.
const OBJECTS_INTERVAL: Duration = Duration::from_secs(5);

/// Dispatches until `stop`, then hands over every instance and returns. Running prompts continue at their instances.
pub async fn run(parts: Parts, readiness: Readiness, stop: CancellationToken) {
    let shared = Arc::new(Shared {
        parts,
        name: uuid::Uuid::new_v4().simple().to_string(),
        work: Notify::new(),
        actors: Mutex::new(HashMap::new()),
        config_changed: Notify::new(),
    });
    // The services outlive the actors, which need cancels and wake-ups until the end of the hand-over.
    let services = CancellationToken::new();
    let tracker = TaskTracker::new();
    tracker.spawn(services.clone().run_until_cancelled_owned(wake_claimers(shared.clone())));
    tracker.spawn(services.clone().run_until_cancelled_owned(follow_events(shared.clone())));
    tracker.spawn(services.clone().run_until_cancelled_owned(delete_unreferenced(shared.clone())));
    let lost_files = orphan_files::run(shared.parts.queue.clone(), shared.parts.store.clone(), shared.name.clone());
    tracker.spawn(services.clone().run_until_cancelled_owned(lost_files));
    let janitor = shared.parts.queue.clone();
    let janitor_stop = services.clone();
    let retention = shared.parts.retention;
    tracker.spawn(async move { janitor.run_janitor(retention, janitor_stop).await });
    tracing::info!(dispatcher = shared.name, "dispatcher started");
    leasing::roster::run(shared.clone(), readiness, stop).await;
    services.cancel();
    tracker.close();
    tracker.wait().await;
    tracing::info!(dispatcher = shared.name, "dispatcher stopped; all instances handed over");
}

impl Shared {
    /// Returns the state of an instance that this process leases.
    fn instance(&self, id: &InstanceId) -> Option<Arc<instance::state::Instance>> {
        instance::state::lock(&self.actors).get(id).and_then(Weak::upgrade)
    }

    /// Renews all leases after a gap in the events: a Redis that lost its last writes must learn the attempts in flight again
    /// before tasks are claimed.
    fn renew_all(&self) {
        for instance in instance::state::lock(&self.actors).values().filter_map(Weak::upgrade) {
            instance.wake.renewal.notify_one();
        }
    }
}

async fn wake_claimers(shared: Arc<Shared>) {
    loop {
        match shared.parts.queue.wakeups().await {
            Ok(mut wakeups) => loop {
                for _ in 0..wakeups.next().await {
                    shared.work.notify_one();
                }
            },
            Err(error) => {
                tracing::warn!(%error, "wake-up subscription failed; claimers poll meanwhile");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn follow_events(shared: Arc<Shared>) {
    use crate::event::{Event, TaskChange};
    loop {
        match shared.parts.queue.feed().await {
            Ok(mut feed) => loop {
                match feed.next().await {
                    FeedItem::Event(event) => match *event {
                        Event::Task(task) => {
                            if let (TaskChange::Cancelled, Some(id)) = (&task.change, &task.instance)
                                && let Some(instance) = shared.instance(id)
                            {
                                instance.runs.cancel_task(task.id);
                            }
                        }
                        Event::Config { .. } => shared.config_changed.notify_one(),
                        Event::Instance(status) => {
                            if let Some(instance) = shared.instance(&status.id) {
                                instance.set_enabled(status.enabled);
                            }
                        }
                    },
                    FeedItem::Gap => {
                        shared.renew_all();
                        shared.config_changed.notify_one();
                    }
                }
            },
            Err(error) => {
                tracing::warn!(%error, "event subscription failed; cancels wait for the next lease renewal");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn delete_unreferenced(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(OBJECTS_INTERVAL).await;
        while let Ok(objects) = shared.parts.queue.take_orphan_objects(OBJECTS_PER_BATCH).await {
            let is_last = (objects.len() as u64) < OBJECTS_PER_BATCH;
            for object in objects {
                if let Err(error) = shared.parts.store.delete(object).await {
                    tracing::warn!(%object, %error, "unreferenced object not deleted");
                }
            }
            if is_last {
                break;
            }
        }
    }
}

/// Returns a random delay of at most `max`, so that processes that start together do not poll together.
fn jitter(max: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(0);
    max.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
