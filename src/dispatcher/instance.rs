//! What the parts of an actor share: one leased instance.

use super::{Shared, catalog::Known, health::Health, lease_clock::LeaseClock, strays::Strays, uploads::Uploads};
use crate::{
    clock::since_boot,
    comfy::{self, Client, Sign},
    fleet::{HealthCheck, Target},
    queue::{InFlight, Lease, Queue},
    task::{Attempt, TaskId},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// Signs that may wait for a slow attempt; beyond it they are dropped, for polling tells the truth anyway.
const SIGNS_MAX: usize = 256;

/// A fresh lease and what came with it.
pub(super) struct Leased {
    pub(super) lease: Lease,
    /// When it was asked for, since boot.
    pub(super) sent: Duration,
    pub(super) in_flight: InFlight,
    /// The operator's switch.
    pub(super) is_on: bool,
}

/// What the parts of an actor share.
pub(super) struct Instance {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Target,
    pub(super) lease: Lease,
    pub(super) clock: LeaseClock,
    pub(super) client: Client,
    /// The WebSocket's client id: the same for every owner of this instance, so that a new one hears running prompts.
    pub(super) client_id: String,
    /// Ends at once, touching nothing: the lease is lost.
    pub(super) lost: CancellationToken,
    /// Ends in order: no new claims, outputs stored, lease given back.
    pub(super) stop: CancellationToken,
    /// Looks again at what may be claimed: a slot came free, the health or a switch changed.
    pub(super) changed: Notify,
    /// Checks the health now.
    pub(super) check_now: Notify,
    /// Renews the lease now: Redis was away.
    pub(super) renew_now: Notify,
    /// Asks again what the instance can run.
    pub(super) catalog_due: Notify,
    /// What the instance can run is known, or is something else now.
    pub(super) catalog_known: Notify,
    /// Opens a new socket: the present one seems mute.
    pub(super) reconnect: Notify,
    /// When the socket last told anything beyond its greeting.
    pub(super) heard: Mutex<Option<tokio::time::Instant>>,
    /// Attempts that store outputs: their prompt has left the instance.
    pub(super) collecting: AtomicU32,
    /// POSTs under way: a hand-over waits for their answers.
    pub(super) posting: AtomicU32,
    /// When the last prompt here ended, for the idle gap.
    pub(super) idle_since: Mutex<Option<tokio::time::Instant>>,
    /// When this owner took the lease: it submits nothing during the first HTTP timeout of a takeover.
    pub(super) quarantine_until: tokio::time::Instant,
    server_enabled: AtomicBool,
    switched_on: AtomicBool,
    retired: AtomicBool,
    checks: Mutex<HealthCheck>,
    health: Mutex<Health>,
    /// What it can run.
    pub(super) catalog: Known,
    runs: Mutex<HashMap<(TaskId, Attempt), Running>>,
    /// What it was given since it started.
    pub(super) uploads: Uploads,
    pub(super) strays: Strays,
    pub(super) tracker: TaskTracker,
}

struct Running {
    prompt: Uuid,
    signs: mpsc::Sender<Sign>,
    cancelled: CancellationToken,
}

/// How a run ended, for its actor.
pub(super) enum RunEnd {
    /// Its slot is free, or another process will see to it.
    Ended,
    /// Drop everything of this instance.
    LeaseLost,
}

/// What a fresh attempt hears from its instance.
pub(super) struct Ears {
    /// Signs of its prompt.
    pub(super) signs: mpsc::Receiver<Sign>,
    /// The task was cancelled.
    pub(super) cancelled: CancellationToken,
}

impl Instance {
    /// An instance with a fresh lease; nothing runs yet.
    pub(super) fn new(
        shared: Arc<Shared>,
        target: Target,
        checks: HealthCheck,
        leased: Leased,
    ) -> Result<Self, comfy::Error> {
        let Leased { lease, sent, in_flight, is_on } = leased;
        let settings = &shared.parts.settings;
        let quarantine = if in_flight.tasks.is_empty() { Duration::ZERO } else { settings.http_timeout };
        Ok(Self {
            client: Client::new(&target, settings.http_timeout)?,
            client_id: client_id(&shared, &target),
            clock: LeaseClock::new(settings.lease_ttl, sent),
            lost: CancellationToken::new(),
            stop: CancellationToken::new(),
            changed: Notify::new(),
            check_now: Notify::new(),
            renew_now: Notify::new(),
            catalog_due: Notify::new(),
            catalog_known: Notify::new(),
            catalog: Known::default(),
            reconnect: Notify::new(),
            heard: Mutex::new(None),
            collecting: AtomicU32::new(0),
            posting: AtomicU32::new(0),
            idle_since: Mutex::new(None),
            quarantine_until: tokio::time::Instant::now() + quarantine,
            server_enabled: AtomicBool::new(target.server_enabled),
            switched_on: AtomicBool::new(is_on),
            retired: AtomicBool::new(false),
            checks: Mutex::new(checks),
            health: Mutex::new(Health::default()),
            runs: Mutex::new(HashMap::new()),
            uploads: Uploads::default(),
            strays: Strays::default(),
            tracker: TaskTracker::new(),
            shared,
            target,
            lease,
        })
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.shared.parts.queue
    }

    /// Switched on everywhere, and still in the config.
    pub(super) fn is_enabled(&self) -> bool {
        self.server_enabled.load(Ordering::Relaxed)
            && self.switched_on.load(Ordering::Relaxed)
            && !self.retired.load(Ordering::Relaxed)
    }

    /// The operator's switch of the instance itself.
    pub(super) fn switch(&self, on: bool) {
        if self.switched_on.swap(on, Ordering::Relaxed) != on {
            self.switch_changed();
        }
    }

    /// The server's switch.
    pub(super) fn set_server_enabled(&self, enabled: bool) {
        if self.server_enabled.swap(enabled, Ordering::Relaxed) != enabled {
            self.switch_changed();
        }
        self.retired.store(false, Ordering::Relaxed);
    }

    /// It has left the config.
    pub(super) fn retire(&self) {
        if !self.retired.swap(true, Ordering::Relaxed) {
            self.check_now.notify_one();
        }
        if self.runs().is_empty() {
            self.stop.cancel();
        }
    }

    pub(super) fn set_checks(&self, checks: HealthCheck) {
        let mut current = lock(&self.checks);
        if *current != checks {
            *current = checks;
            self.check_now.notify_one();
        }
    }

    fn switch_changed(&self) {
        self.changed.notify_one();
        self.check_now.notify_one();
    }

    pub(super) fn checks(&self) -> HealthCheck {
        *lock(&self.checks)
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<(TaskId, Attempt), Running>> {
        lock(&self.runs)
    }

    /// Whether a task may be claimed now.
    pub(super) fn may_claim(&self) -> bool {
        self.is_enabled() && !self.stop.is_cancelled() && self.clock.may_act() && self.health().may_claim(since_boot())
    }

    /// Attempts whose prompt is, or will be, at the instance.
    pub(super) fn occupied(&self) -> u32 {
        u32::try_from(self.runs().len()).unwrap_or(u32::MAX).saturating_sub(self.collecting.load(Ordering::Relaxed))
    }

    pub(super) fn has_run(&self, task: TaskId, attempt: Attempt) -> bool {
        self.runs().contains_key(&(task, attempt))
    }

    /// Whether an attempt here goes by this prompt.
    pub(super) fn has_prompt(&self, prompt: Uuid) -> bool {
        self.runs().values().any(|running| running.prompt == prompt)
    }

    /// The task whose attempt here goes by this prompt.
    pub(super) fn task_of(&self, prompt: Uuid) -> Option<TaskId> {
        self.runs().iter().find(|(_, running)| running.prompt == prompt).map(|((task, _), _)| *task)
    }

    pub(super) fn run_ids(&self) -> Vec<(TaskId, Attempt)> {
        self.runs().keys().copied().collect()
    }

    /// The task was cancelled: ends every attempt at it here.
    pub(super) fn cancel(&self, task: TaskId) {
        self.runs().iter().filter(|((id, _), _)| *id == task).for_each(|(_, running)| running.cancelled.cancel());
    }

    /// This attempt is not in flight any more.
    pub(super) fn drop_run(&self, task: TaskId, attempt: Attempt) {
        if let Some(running) = self.runs().get(&(task, attempt)) {
            running.cancelled.cancel();
        }
    }

    /// Runs an attempt's future under this actor, unless it runs already. Registered before it is polled: signs may
    /// come sooner than the answer to its POST.
    pub(super) fn spawn<F>(
        self: &Arc<Self>,
        task: TaskId,
        attempt: Attempt,
        prompt: Uuid,
        run: impl FnOnce(Arc<Self>, Ears) -> F,
    ) where
        F: Future<Output = RunEnd> + Send + 'static,
    {
        let (signs, heard) = mpsc::channel(SIGNS_MAX);
        let cancelled = CancellationToken::new();
        {
            let mut runs = self.runs();
            if runs.contains_key(&(task, attempt)) {
                return;
            }
            runs.insert((task, attempt), Running { prompt, signs, cancelled: cancelled.clone() });
        }
        let run = Box::pin(run(self.clone(), Ears { signs: heard, cancelled }));
        let instance = self.clone();
        self.tracker.spawn(async move {
            let end = instance.lost.run_until_cancelled(run).await;
            instance.runs().remove(&(task, attempt));
            if matches!(end, Some(RunEnd::LeaseLost)) {
                instance.lost.cancel();
            }
            instance.changed.notify_one();
        });
    }

    /// Gives a sign to the attempt it is about.
    pub(super) fn route(&self, prompt: Uuid, sign: Sign) {
        if let Some(running) = self.runs().values().find(|running| running.prompt == prompt) {
            // Full or gone: the attempt polls anyway.
            let _dropped = running.signs.try_send(sign);
        }
    }

    /// It can run this now; tells the others.
    pub(super) fn set_catalog(&self, hash: String) {
        if self.catalog.learn(hash) {
            self.check_now.notify_one();
            self.catalog_known.notify_one();
        }
    }

    /// It may be another process since: what it can run must be asked again.
    pub(super) fn doubt_catalog(&self) {
        self.catalog.doubt();
        self.catalog_due.notify_one();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is consistent after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn client_id(shared: &Shared, target: &Target) -> String {
    let name = format!("{}/{}", shared.parts.queue.installation(), target.id);
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}
