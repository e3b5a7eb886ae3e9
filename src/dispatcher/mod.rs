//! Drives ComfyUI: one actor per leased instance; any number of dispatchers share the fleet.
//!
//! A process leases its fair share of instances ([`roster`]), and for each of them an actor ([`actor`]) keeps the lease
//! ([`keeper`]), checks the health ([`watcher`]), listens to the socket ([`listener`], [`previews`]), claims tasks ([`claimer`]) and runs
//! attempts ([`attempt`]), which the trace of their task tells ([`spans`]). What was given up and comes all the same is dropped ([`strays`]). Decisions are pure: [`share`],
//! [`owners_first`], [`health`], [`pace`].
//!
//! Invariant: every write of an attempt goes through a fenced verb of the queue; nothing is submitted, interrupted or deleted
//! at an instance unless the lease was fresh a moment ago ([`lease_clock`]).
//!
//! # What an instance may rely on, and a task
//!
//! * A prompt that may still run somewhere is never submitted again while its instance answers. An instance that is cut off for longer
//!   than `--gone-after` counts as dead: its tasks run elsewhere, and should it come back with its queue within an hour, what was given up is
//!   dropped from it.
//! * An instance that answers its checks but fails three runs in a row is paused for 1 s, then 2, 4 … 60 s (`phase` `suspect`, `lastError`
//!   says why) until a run ends well.
//! * An output that breaks off is fetched again; one that trickles (below 64 KiB/s over six HTTP timeouts) is given up.
//! * A file is given to an instance once per start, as `fleet/<hash>`; one that is gone from it is sent again.
//! * A model or node that an instance gets later is known at its next start or within some minutes; tasks that waited for it join it within seconds.
//! * ComfyUI 0.3 and later work; where `/api/jobs` exists it is used.
//!
//! # Where ComfyUI's habits are met
//!
//! Points of the protocol's §17; tests of the same numbers are in `tests/it/dispatcher`:
//! 1 own prompt ids: `TaskId::prompt_id` · 2 recorded before POST, never sent twice blindly: [`submit`] · 3 registered before
//! POST: `Instance::spawn` · 4 REST is the truth: [`follow`] · 5 verdict from history: `comfy/history` · 6 forgotten prompts:
//! [`follow`], [`attempt`] · 7 partly accepted: `comfy/submit` · 8 sanitised: `graph/`, and a body of our own: `comfy/submit` ·
//! 9 prefixes and nonces: `Workflow::isolate` · 10 outputs at once: [`early`], [`shelf`], [`collect`] · 11 depth: `--slots` · 12 cancel until gone:
//! [`clear`] · 13 one socket, always drained: [`listener`], `comfy/socket` · 14 watchdogs: [`watchdog`], [`health`] ·
//! 15 tolerant parsing: `comfy/lenient` · 16 progress: `comfy/frame`, `comfy::Tracker` · 17 uploads by content: [`inputs`] ·
//! 18 what it can run, asked once per start: [`catalog`]; no `Origin`: `comfy/http` · 19 probe: `comfy/probe` · 20 history cleared, 21 out of memory: `AttemptContext::take_outcome` ·
//! 22 instances reachable by dispatchers only: `deploy/README.md`.

mod actor;
mod attach;
mod attempt;
mod catalog;
mod claimer;
mod clear;
mod collect;
mod early;
mod find;
mod follow;
mod health;
mod inputs;
mod instance;
mod joining;
mod keeper;
mod lease_clock;
mod listener;
mod lost_files;
mod owners_first;
mod pace;
mod previews;
mod roster;
mod scene;
mod share;
mod shelf;
mod spans;
mod strays;
mod submit;
mod unfit;
mod uploads;
mod watchdog;
mod watcher;

use crate::{
    process::Readiness,
    queue::{News, Queue, Retention},
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

/// What a dispatcher works with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Redis.
    pub queue: Queue,
    /// Bytes.
    pub store: Store,
    /// Its settings.
    pub settings: DispatcherSettings,
    /// Largest output, bytes.
    pub file_bytes_max: u64,
    /// How long files are kept.
    pub retention: Retention,
    /// Longest wait for outputs that are being stored, at a stop.
    pub drain_timeout: Duration,
}

/// Shared by all actors of a process.
#[derive(Debug)]
struct Shared {
    parts: Parts,
    /// This process among the dispatchers: random, new at every start.
    name: String,
    /// Wakes idle claimers, one per task that was added.
    work: Notify,
    /// The actors of this process, for news about their instances.
    actors: Mutex<HashMap<InstanceId, Weak<instance::Instance>>>,
    /// The config changed: look at the roster now.
    config_changed: Notify,
}

/// Bytes that no file needs any more, deleted in one go.
const ORPHANS_PER_LOOK: u64 = 100;
/// Between two looks for them.
const ORPHANS_EVERY: Duration = Duration::from_secs(5);

/// Dispatches until `stop`; then hands every instance over and returns. Running prompts go on at their instances.
pub async fn run(parts: Parts, readiness: Readiness, stop: CancellationToken) {
    let shared = Arc::new(Shared {
        parts,
        name: uuid::Uuid::new_v4().simple().to_string(),
        work: Notify::new(),
        actors: Mutex::new(HashMap::new()),
        config_changed: Notify::new(),
    });
    // What serves the actors outlives them: a hand-over still needs its cancels and wake-ups answered.
    let services = CancellationToken::new();
    let tracker = TaskTracker::new();
    tracker.spawn(services.clone().run_until_cancelled_owned(wake_claimers(shared.clone())));
    tracker.spawn(services.clone().run_until_cancelled_owned(hear_news(shared.clone())));
    tracker.spawn(services.clone().run_until_cancelled_owned(delete_orphans(shared.clone())));
    let lost_files = lost_files::run(shared.parts.queue.clone(), shared.parts.store.clone(), shared.name.clone());
    tracker.spawn(services.clone().run_until_cancelled_owned(lost_files));
    let janitor = shared.parts.queue.clone();
    let janitor_stop = services.clone();
    let retention = shared.parts.retention;
    tracker.spawn(async move { janitor.run_janitor(retention, janitor_stop).await });
    tracing::info!(dispatcher = shared.name, "dispatcher started");
    roster::run(shared.clone(), readiness, stop).await;
    services.cancel();
    tracker.close();
    tracker.wait().await;
    tracing::info!(dispatcher = shared.name, "dispatcher stopped; its instances are free for others");
}

impl Shared {
    /// The actor that looks after an instance here.
    fn actor(&self, id: &InstanceId) -> Option<Arc<instance::Instance>> {
        instance::lock(&self.actors).get(id).and_then(Weak::upgrade)
    }

    /// Redis was away: what it forgot must be told before anybody may claim again.
    fn renew_all(&self) {
        for instance in instance::lock(&self.actors).values().filter_map(Weak::upgrade) {
            instance.renew_now.notify_one();
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
                tracing::warn!(%error, "no wake-ups from Redis yet; claimers poll");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn hear_news(shared: Arc<Shared>) {
    use crate::event::{Event, TaskChange};
    loop {
        match shared.parts.queue.feed().await {
            Ok(mut feed) => loop {
                match feed.next().await {
                    News::Event(event) => match *event {
                        Event::Task(task) => {
                            if let (TaskChange::Cancelled, Some(id)) = (&task.change, &task.instance)
                                && let Some(instance) = shared.actor(id)
                            {
                                instance.cancel(task.id);
                            }
                        }
                        Event::Config { .. } => shared.config_changed.notify_one(),
                        Event::Instance(status) => {
                            if let Some(instance) = shared.actor(&status.id) {
                                instance.set_enabled(status.enabled);
                            }
                        }
                    },
                    News::Gap => {
                        shared.renew_all();
                        shared.config_changed.notify_one();
                    }
                }
            },
            Err(error) => {
                tracing::warn!(%error, "no news from Redis yet; cancels wait for the next renewal");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn delete_orphans(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(ORPHANS_EVERY).await;
        while let Ok(objects) = shared.parts.queue.take_orphans(ORPHANS_PER_LOOK).await {
            let is_last = (objects.len() as u64) < ORPHANS_PER_LOOK;
            for object in objects {
                if let Err(error) = shared.parts.store.delete(object).await {
                    tracing::warn!(%object, %error, "bytes that nobody needs could not be deleted");
                }
            }
            if is_last {
                break;
            }
        }
    }
}

/// Up to `most`, at random, so that processes started together do not look together.
fn jitter(most: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(0);
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
