//! One leased instance: what its parts share, and how they start and end together.

use super::{
    Shared, attach,
    attempt::{Run, RunEnd},
    claimer,
    health::Health,
    keeper,
    lease_clock::{LeaseClock, since_boot},
    listener, watcher,
};
use crate::{
    comfy::{self, Client, Sign},
    fleet::{HealthCheck, Target},
    metrics,
    queue::{InFlight, Lease, Queue},
    task::TaskId,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// Signs that may wait for a slow attempt; beyond it they are dropped, for polling tells the truth anyway.
const SIGNS_MAX: usize = 256;
/// Content hashes remembered as uploaded.
const UPLOADED_MAX: usize = 10_000;
/// Prompts remembered as given up while their instance was away.
const STRAYS_MAX: usize = 1_000;

/// How an actor ended.
pub(super) enum Ended {
    /// The lease was given back.
    HandedOver,
    /// Somebody else has the lease.
    Lost,
}

/// An instance being looked after. Dropping it ends everything without a hand-over.
pub(super) struct Actor {
    instance: Arc<Instance>,
    join: JoinHandle<Ended>,
}

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
    /// Opens a new socket: the present one seems mute.
    pub(super) reconnect: Notify,
    /// Attempts that store outputs: their prompt has left the instance.
    pub(super) collecting: AtomicU32,
    /// When the last prompt here ended, for the idle gap.
    pub(super) idle_since: Mutex<Option<tokio::time::Instant>>,
    /// When this owner took the lease: it submits nothing during the first HTTP timeout of a takeover.
    pub(super) quarantine_until: tokio::time::Instant,
    server_enabled: AtomicBool,
    switched_on: AtomicBool,
    retired: AtomicBool,
    checks: Mutex<HealthCheck>,
    health: Mutex<Health>,
    runs: Mutex<HashMap<TaskId, Running>>,
    uploaded: Mutex<HashSet<String>>,
    strays: Mutex<Vec<Uuid>>,
    tracker: TaskTracker,
}

struct Running {
    prompt: Uuid,
    signs: mpsc::Sender<Sign>,
    cancelled: CancellationToken,
}

/// What a fresh attempt hears from its instance.
pub(super) struct Ears {
    /// Signs of its prompt.
    pub(super) signs: mpsc::Receiver<Sign>,
    /// The task was cancelled.
    pub(super) cancelled: CancellationToken,
}

impl Actor {
    /// Starts an actor for a fresh lease, and re-attaches to what is in flight.
    pub(super) fn start(
        shared: Arc<Shared>,
        target: Target,
        checks: HealthCheck,
        leased: Leased,
    ) -> Result<Self, comfy::Error> {
        let Leased { lease, sent, in_flight, is_on } = leased;
        let settings = &shared.parts.settings;
        let quarantine =
            if in_flight.tasks.is_empty() { Duration::ZERO } else { settings.http_timeout.min(Duration::from_secs(2)) };
        let instance = Arc::new(Instance {
            client: Client::new(&target, settings.http_timeout)?,
            client_id: client_id(&shared, &target),
            clock: LeaseClock::new(settings.lease_ttl, sent),
            lost: CancellationToken::new(),
            stop: CancellationToken::new(),
            changed: Notify::new(),
            check_now: Notify::new(),
            reconnect: Notify::new(),
            collecting: AtomicU32::new(0),
            idle_since: Mutex::new(None),
            quarantine_until: tokio::time::Instant::now() + quarantine,
            server_enabled: AtomicBool::new(target.server_enabled),
            switched_on: AtomicBool::new(is_on),
            retired: AtomicBool::new(false),
            checks: Mutex::new(checks),
            health: Mutex::new(Health::default()),
            runs: Mutex::new(HashMap::new()),
            uploaded: Mutex::new(HashSet::new()),
            strays: Mutex::new(Vec::new()),
            tracker: TaskTracker::new(),
            shared,
            target,
            lease,
        });
        lock(&instance.shared.actors).insert(instance.target.id.clone(), Arc::downgrade(&instance));
        let join = tokio::spawn(live(instance.clone(), in_flight));
        Ok(Self { instance, join })
    }

    pub(super) fn target(&self) -> &Target {
        &self.instance.target
    }

    pub(super) fn is_finished(&self) -> bool {
        self.join.is_finished()
    }

    /// Waits for the end; whatever panicked inside counts as lost.
    pub(super) async fn join(self) -> Ended {
        self.join.await.unwrap_or(Ended::Lost)
    }

    /// Stops claiming, stores what is ending, gives the lease back. Running prompts go on for the next owner.
    pub(super) fn hand_over(&self) {
        self.instance.stop.cancel();
    }

    /// The instance has left the config: ends what runs, takes nothing new, then gives the lease back.
    pub(super) fn retire(&self) {
        if !self.instance.retired.swap(true, Ordering::Relaxed) {
            self.instance.check_now.notify_one();
        }
        if self.instance.runs().is_empty() {
            self.instance.stop.cancel();
        }
    }

    pub(super) fn set_server_enabled(&self, enabled: bool) {
        if self.instance.server_enabled.swap(enabled, Ordering::Relaxed) != enabled {
            self.instance.switch_changed();
        }
        self.instance.retired.store(false, Ordering::Relaxed);
    }

    pub(super) fn set_checks(&self, checks: HealthCheck) {
        let mut current = lock(&self.instance.checks);
        if *current != checks {
            *current = checks;
            self.instance.check_now.notify_one();
        }
    }
}

fn client_id(shared: &Shared, target: &Target) -> String {
    let name = format!("{}/{}", shared.parts.queue.installation(), target.id);
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}

async fn live(instance: Arc<Instance>, in_flight: InFlight) -> Ended {
    let tracker = &instance.tracker;
    attach::all(&instance, &in_flight);
    tracker.spawn(guarded(instance.clone(), keeper::run(instance.clone())));
    tracker.spawn(guarded(instance.clone(), watcher::run(instance.clone())));
    tracker.spawn(guarded(instance.clone(), listener::run(instance.clone())));
    tracker.spawn(guarded(instance.clone(), claimer::run(instance.clone())));
    tokio::select! {
        () = instance.lost.cancelled() => {}
        () = instance.stop.cancelled() => drain(&instance).await,
    }
    let was_lost = instance.lost.is_cancelled();
    // Everything here ends before the next owner may begin.
    instance.lost.cancel();
    tracker.close();
    tracker.wait().await;
    if !was_lost && let Err(error) = instance.queue().yield_lease(&instance.lease).await {
        tracing::warn!(instance = %instance.target.id, %error, "the lease could not be given back; it runs out by itself");
    }
    lock(&instance.shared.actors).remove(&instance.target.id);
    metrics::instance_gone(instance.target.id.as_str());
    if was_lost { Ended::Lost } else { Ended::HandedOver }
}

/// Waits for attempts that are storing outputs: ending them here would mean to fetch everything twice.
async fn drain(instance: &Instance) {
    let deadline = tokio::time::Instant::now() + instance.shared.parts.drain_timeout;
    while instance.collecting.load(Ordering::Relaxed) > 0
        && tokio::time::Instant::now() < deadline
        && !instance.lost.is_cancelled()
    {
        tokio::select! {
            () = instance.changed.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
}

/// Runs a part until it ends or the lease is lost.
async fn guarded(instance: Arc<Instance>, part: impl Future<Output = ()> + Send) {
    let _ended = instance.lost.run_until_cancelled(part).await;
}

impl Instance {
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

    fn runs(&self) -> MutexGuard<'_, HashMap<TaskId, Running>> {
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

    pub(super) fn has_run(&self, task: TaskId) -> bool {
        self.runs().contains_key(&task)
    }

    pub(super) fn run_ids(&self) -> Vec<TaskId> {
        self.runs().keys().copied().collect()
    }

    /// Marks an attempt's task as cancelled.
    pub(super) fn cancel(&self, task: TaskId) {
        if let Some(running) = self.runs().get(&task) {
            running.cancelled.cancel();
        }
    }

    /// Starts an attempt under this actor, unless it is running already.
    pub(super) fn spawn(self: &Arc<Self>, run: Run) {
        let task = run.task();
        let (signs, heard) = mpsc::channel(SIGNS_MAX);
        let cancelled = CancellationToken::new();
        {
            let mut runs = self.runs();
            if runs.contains_key(&task) {
                return;
            }
            runs.insert(task, Running { prompt: run.prompt(), signs, cancelled: cancelled.clone() });
        }
        let instance = self.clone();
        let ears = Ears { signs: heard, cancelled };
        self.tracker.spawn(async move {
            let end = instance.lost.run_until_cancelled(Box::pin(run.run(instance.clone(), ears))).await;
            instance.runs().remove(&task);
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

    /// Whether a file with this content hash was uploaded since the instance started.
    pub(super) fn has_upload(&self, sha256: &str) -> bool {
        lock(&self.uploaded).contains(sha256)
    }

    pub(super) fn remember_upload(&self, sha256: &str) {
        let mut uploaded = lock(&self.uploaded);
        if uploaded.len() >= UPLOADED_MAX {
            uploaded.clear();
        }
        uploaded.insert(sha256.to_owned());
    }

    /// The instance may have restarted: nothing is known to be uploaded.
    pub(super) fn forget_uploads(&self) {
        lock(&self.uploaded).clear();
    }

    /// A prompt that was given up while the instance was away: to be dropped there when it is back.
    pub(super) fn remember_stray(&self, prompt: Uuid) {
        let mut strays = lock(&self.strays);
        if strays.len() < STRAYS_MAX {
            strays.push(prompt);
        }
    }

    pub(super) fn take_strays(&self) -> Vec<Uuid> {
        std::mem::take(&mut *lock(&self.strays))
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is consistent after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
