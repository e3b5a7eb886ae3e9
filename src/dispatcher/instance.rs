//! State of one leased instance, shared by the parts of its actor.

use super::{
    Shared, catalog::KnownCatalog, health::Health, lease_clock::LeaseClock, strays::OrphanPrompts, uploads::InputCache,
};
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

/// Largest number of events that wait for a slow attempt. Further ones are dropped, because the attempt polls anyway.
const EVENTS_MAX: usize = 256;

/// A new lease, and the state read with it.
pub(super) struct Leased {
    pub(super) lease: Lease,
    /// Time of the request for the lease, since boot.
    pub(super) sent: Duration,
    pub(super) in_flight: InFlight,
    /// Whether the operator has enabled the instance.
    pub(super) is_on: bool,
}

/// State of one leased instance.
pub(super) struct Instance {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Target,
    pub(super) lease: Lease,
    pub(super) clock: LeaseClock,
    pub(super) client: Client,
    /// Client id of the WebSocket. Every owner of this instance uses the same, so that a new owner receives the events of
    /// running prompts.
    pub(super) client_id: String,
    /// Cancelled when the lease is lost: everything ends at once and leaves the instance alone.
    pub(super) lost: CancellationToken,
    /// Cancelled for an orderly end: no new claims, outputs stored, lease released.
    pub(super) stop: CancellationToken,
    /// Wakes the claimer: a slot became free, or the health or a switch changed.
    pub(super) changed: Notify,
    /// Wakes the health check.
    pub(super) check_now: Notify,
    /// Wakes the lease renewal: Redis was unavailable.
    pub(super) renew_now: Notify,
    /// Wakes the catalog reader.
    pub(super) catalog_due: Notify,
    /// Wakes the eligibility check: the catalog became known or changed.
    pub(super) catalog_known: Notify,
    /// Makes the listener replace its socket, which seems silent.
    pub(super) reconnect: Notify,
    /// Time of the last message from the socket, its greeting excluded.
    pub(super) last_event: Mutex<Option<tokio::time::Instant>>,
    /// Number of attempts that store outputs; their prompts have left the instance.
    pub(super) collecting: AtomicU32,
    /// Number of POSTs in progress; a hand-over waits for their answers.
    pub(super) posting: AtomicU32,
    /// End of the last prompt, for the idle-gap metric.
    pub(super) idle_since: Mutex<Option<tokio::time::Instant>>,
    /// End of the first HTTP timeout after a takeover, in which a POST of the former owner may still arrive.
    pub(super) quarantine_until: tokio::time::Instant,
    server_enabled: AtomicBool,
    switched_on: AtomicBool,
    retired: AtomicBool,
    checks: Mutex<HealthCheck>,
    health: Mutex<Health>,
    /// Models and nodes of the instance.
    pub(super) catalog: KnownCatalog,
    runs: Mutex<HashMap<(TaskId, Attempt), Running>>,
    /// Input files that the instance has received since its start.
    pub(super) uploads: InputCache,
    pub(super) orphans: OrphanPrompts,
    pub(super) tracker: TaskTracker,
}

struct Running {
    prompt: Uuid,
    events: mpsc::Sender<Sign>,
    cancelled: CancellationToken,
}

/// The end of a run, for its actor.
pub(super) enum RunEnd {
    /// The slot is free, or another process continues the attempt.
    Ended,
    /// The lease is lost: the actor must end.
    LeaseLost,
}

/// Signals from the instance to one attempt.
pub(super) struct AttemptSignals {
    /// Events of the prompt.
    pub(super) events: mpsc::Receiver<Sign>,
    /// Cancelled when the task is cancelled.
    pub(super) cancelled: CancellationToken,
}

impl Instance {
    /// State of a newly leased instance, without runs.
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
            catalog: KnownCatalog::default(),
            reconnect: Notify::new(),
            last_event: Mutex::new(None),
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
            uploads: InputCache::default(),
            orphans: OrphanPrompts::default(),
            tracker: TaskTracker::new(),
            shared,
            target,
            lease,
        })
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.shared.parts.queue
    }

    /// Whether the instance and its server are enabled, and the instance is in the config.
    pub(super) fn is_enabled(&self) -> bool {
        self.server_enabled.load(Ordering::Relaxed)
            && self.switched_on.load(Ordering::Relaxed)
            && !self.retired.load(Ordering::Relaxed)
    }

    /// Sets the operator's switch of the instance.
    pub(super) fn set_enabled(&self, enabled: bool) {
        if self.switched_on.swap(enabled, Ordering::Relaxed) != enabled {
            self.on_switch();
        }
    }

    /// Sets the switch of the instance's server.
    pub(super) fn set_server_enabled(&self, enabled: bool) {
        if self.server_enabled.swap(enabled, Ordering::Relaxed) != enabled {
            self.on_switch();
        }
        self.retired.store(false, Ordering::Relaxed);
    }

    /// Drains the instance because it has left the config.
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

    fn on_switch(&self) {
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

    /// Number of attempts whose prompt is, or will be, at the instance.
    pub(super) fn occupied(&self) -> u32 {
        u32::try_from(self.runs().len()).unwrap_or(u32::MAX).saturating_sub(self.collecting.load(Ordering::Relaxed))
    }

    pub(super) fn has_run(&self, task: TaskId, attempt: Attempt) -> bool {
        self.runs().contains_key(&(task, attempt))
    }

    /// Whether a run here has this prompt.
    pub(super) fn has_prompt(&self, prompt: Uuid) -> bool {
        self.runs().values().any(|running| running.prompt == prompt)
    }

    /// Returns the task whose run here has this prompt.
    pub(super) fn task_of(&self, prompt: Uuid) -> Option<TaskId> {
        self.runs().iter().find(|(_, running)| running.prompt == prompt).map(|((task, _), _)| *task)
    }

    pub(super) fn run_ids(&self) -> Vec<(TaskId, Attempt)> {
        self.runs().keys().copied().collect()
    }

    /// Cancels all runs of a cancelled task.
    pub(super) fn cancel(&self, task: TaskId) {
        self.runs().iter().filter(|((id, _), _)| *id == task).for_each(|(_, running)| running.cancelled.cancel());
    }

    /// Cancels the run of an attempt that is not in flight any more.
    pub(super) fn drop_run(&self, task: TaskId, attempt: Attempt) {
        if let Some(running) = self.runs().get(&(task, attempt)) {
            running.cancelled.cancel();
        }
    }

    /// Runs an attempt under this actor, unless it runs already. The run is registered before it is polled, because events
    /// may arrive before the answer to its POST.
    pub(super) fn spawn<F>(
        self: &Arc<Self>,
        task: TaskId,
        attempt: Attempt,
        prompt: Uuid,
        run: impl FnOnce(Arc<Self>, AttemptSignals) -> F,
    ) where
        F: Future<Output = RunEnd> + Send + 'static,
    {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let cancelled = CancellationToken::new();
        {
            let mut runs = self.runs();
            if runs.contains_key(&(task, attempt)) {
                return;
            }
            runs.insert((task, attempt), Running { prompt, events, cancelled: cancelled.clone() });
        }
        let run = Box::pin(run(self.clone(), AttemptSignals { events: receiver, cancelled }));
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

    /// Passes an event to the run that it belongs to.
    pub(super) fn route(&self, prompt: Uuid, event: Sign) {
        if let Some(running) = self.runs().values().find(|running| running.prompt == prompt) {
            // If the channel is full or closed the event is dropped: the attempt polls anyway.
            let _dropped = running.events.try_send(event);
        }
    }

    /// Sets the hash of the current catalog and wakes the parts that use it.
    pub(super) fn set_catalog(&self, hash: String) {
        if self.catalog.set(hash) {
            self.check_now.notify_one();
            self.catalog_known.notify_one();
        }
    }

    /// Makes the catalog be read again, because the instance may have restarted.
    pub(super) fn invalidate_catalog(&self) {
        self.catalog.invalidate();
        self.catalog_due.notify_one();
    }
}

/// Locks `mutex`, ignoring poison.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic cannot leave inconsistent state: every statement below these locks keeps it valid.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn client_id(shared: &Shared, target: &Target) -> String {
    let name = format!("{}/{}", shared.parts.queue.installation(), target.id);
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}
