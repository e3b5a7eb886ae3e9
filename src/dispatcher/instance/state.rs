//! State of one leased instance, shared by the parts of its actor.

use super::{
    catalog_state::KnownCatalog,
    health::Health,
    orphan_list::OrphanPrompts,
    quarantine::KnownQuarantine,
    runs::{AttemptSignals, RunEnd, Runs},
};
use crate::{
    clock::since_boot,
    comfy::{self, Client},
    dispatcher::{
        attempt::input_cache::InputCache,
        leasing::lease_clock::LeaseClock,
        shared::{Shared, lock},
    },
    fleet::{HealthCheck, Target},
    graph::{InputFiles, Spellings},
    queue::{InFlight, Lease, Queue},
    task::{Attempt, TaskId},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// A new lease, and the state read with it.
pub(crate) struct Leased {
    pub(crate) lease: Lease,
    /// Time of the request for the lease, since boot.
    pub(crate) sent: Duration,
    pub(crate) in_flight: InFlight,
    /// Whether the operator has enabled the instance.
    pub(crate) is_on: bool,
}

/// State of one leased instance.
pub(crate) struct Instance {
    pub(crate) shared: Arc<Shared>,
    pub(crate) target: Target,
    pub(crate) lease: Lease,
    pub(crate) clock: LeaseClock,
    pub(crate) client: Client,
    /// Client id of the WebSocket. Every owner of this instance uses the same, so that a new owner receives the events
    /// of running prompts.
    pub(crate) client_id: String,
    pub(crate) lifetime: Lifetime,
    pub(crate) wake: Wakes,
    pub(crate) activity: Activity,
    pub(crate) runs: Runs,
    /// Models and nodes of the instance.
    pub(crate) catalog: KnownCatalog,
    /// Input files that the instance has received since its start.
    pub(crate) input_cache: InputCache,
    pub(crate) orphans: OrphanPrompts,
    pub(crate) quarantine: KnownQuarantine,
    switches: Switches,
    checks: Mutex<HealthCheck>,
    health: Mutex<Health>,
}

/// Ends of an actor, and the tasks that must end with it.
#[derive(Default)]
pub(crate) struct Lifetime {
    /// Cancelled when the lease is lost: everything ends at once and leaves the instance alone.
    pub(crate) lost: CancellationToken,
    /// Cancelled for an orderly end: no new claims, outputs stored, lease released.
    pub(crate) stop: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

/// Notifications that wake one part of an actor before its next poll.
#[derive(Default)]
pub(crate) struct Wakes {
    /// A slot became free, or the health or a switch changed.
    pub(crate) claimer: Notify,
    /// Something seems wrong, or a switch changed.
    pub(crate) health_check: Notify,
    /// Redis was unavailable.
    pub(crate) renewal: Notify,
    /// The instance may have restarted.
    pub(crate) catalog: Notify,
    /// An api process missed something in the catalog.
    pub(crate) catalog_wanted: Notify,
    /// The catalog became known or changed.
    pub(crate) eligibility: Notify,
    /// The socket seems silent and must be replaced.
    pub(crate) socket: Notify,
}

/// Current activity of an instance.
pub(crate) struct Activity {
    /// Time of the last message from the socket, its greeting excluded.
    pub(crate) last_event: Mutex<Option<Instant>>,
    /// Number of attempts that store outputs; their prompts have left the instance.
    pub(crate) collecting: AtomicU32,
    /// Number of POSTs in progress; a hand-over waits for their answers.
    pub(crate) posting: AtomicU32,
    /// Prompts of other clients before one of ours, when the queue was last read.
    pub(crate) foreign_before: AtomicU32,
    /// End of the last prompt, for the idle-gap metric.
    pub(crate) idle_since: Mutex<Option<Instant>>,
    /// End of the first HTTP timeout after a takeover, in which a POST of the former owner may still arrive.
    pub(crate) quarantine_until: Instant,
}

/// Switches that decide whether an instance may get tasks.
struct Switches {
    /// The switch of the server in the config.
    server_enabled: AtomicBool,
    /// The operator's switch of the instance.
    enabled: AtomicBool,
    /// Whether the instance has left the config.
    retired: AtomicBool,
}

impl Instance {
    /// State of a newly leased instance, without runs.
    pub(crate) fn new(
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
            lifetime: Lifetime::default(),
            wake: Wakes::default(),
            activity: Activity {
                last_event: Mutex::new(None),
                collecting: AtomicU32::new(0),
                posting: AtomicU32::new(0),
                foreign_before: AtomicU32::new(0),
                idle_since: Mutex::new(None),
                quarantine_until: Instant::now() + quarantine,
            },
            runs: Runs::default(),
            catalog: KnownCatalog::default(),
            input_cache: InputCache::default(),
            orphans: OrphanPrompts::default(),
            quarantine: KnownQuarantine::default(),
            switches: Switches {
                server_enabled: AtomicBool::new(target.server_enabled),
                enabled: AtomicBool::new(is_on),
                retired: AtomicBool::new(false),
            },
            checks: Mutex::new(checks),
            health: Mutex::new(Health::default()),
            shared,
            target,
            lease,
        })
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.shared.parts.queue
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }

    pub(crate) fn checks(&self) -> HealthCheck {
        *lock(&self.checks)
    }

    pub(crate) fn set_checks(&self, checks: HealthCheck) {
        let mut current = lock(&self.checks);
        if *current != checks {
            *current = checks;
            self.wake.health_check.notify_one();
        }
    }

    /// Whether the instance and its server are enabled, and the instance is in the config.
    pub(crate) fn is_enabled(&self) -> bool {
        let Switches { server_enabled, enabled, retired } = &self.switches;
        server_enabled.load(Ordering::Relaxed) && enabled.load(Ordering::Relaxed) && !retired.load(Ordering::Relaxed)
    }

    /// Sets the operator's switch of the instance.
    pub(crate) fn set_enabled(&self, enabled: bool) {
        if self.switches.enabled.swap(enabled, Ordering::Relaxed) != enabled {
            self.on_switch();
        }
    }

    /// Sets the switch of the instance's server.
    pub(crate) fn set_server_enabled(&self, enabled: bool) {
        if self.switches.server_enabled.swap(enabled, Ordering::Relaxed) != enabled {
            self.on_switch();
        }
        self.switches.retired.store(false, Ordering::Relaxed);
    }

    /// Drains the instance because it has left the config.
    pub(crate) fn retire(&self) {
        if !self.switches.retired.swap(true, Ordering::Relaxed) {
            self.wake.health_check.notify_one();
        }
        if self.runs.count() == 0 {
            self.lifetime.stop.cancel();
        }
    }

    fn on_switch(&self) {
        self.wake.claimer.notify_one();
        self.wake.health_check.notify_one();
    }

    /// Whether a task may be claimed now.
    pub(crate) fn may_claim(&self) -> bool {
        self.is_enabled()
            && !self.lifetime.stop.is_cancelled()
            && self.clock.may_act()
            && self.health().may_claim(since_boot())
    }

    /// Records the number of prompts of other clients before one of ours.
    pub(crate) fn set_foreign_before(&self, count: u32) {
        if self.activity.foreign_before.swap(count, Ordering::Relaxed) != count {
            self.wake.health_check.notify_one();
        }
    }

    /// Number of attempts whose prompt is, or will be, at the instance.
    pub(crate) fn occupied(&self) -> u32 {
        self.runs.count().saturating_sub(self.activity.collecting.load(Ordering::Relaxed))
    }

    /// Runs an attempt under this actor, unless it runs already. The run is registered before it is polled, because
    /// events may arrive before the answer to its POST.
    pub(crate) fn spawn<F>(
        self: &Arc<Self>,
        task: TaskId,
        attempt: Attempt,
        prompt: Uuid,
        run: impl FnOnce(Arc<Self>, AttemptSignals) -> F,
    ) where
        F: Future<Output = RunEnd> + Send + 'static,
    {
        let Some(signals) = self.runs.register(task, attempt, prompt) else { return };
        let run = Box::pin(run(self.clone(), signals));
        let instance = self.clone();
        self.lifetime.tracker.spawn(async move {
            let end = instance.lifetime.lost.run_until_cancelled(run).await;
            instance.runs.remove(task, attempt);
            instance.activity.foreign_before.store(0, Ordering::Relaxed);
            if matches!(end, Some(RunEnd::LeaseLost)) {
                instance.lifetime.lost.cancel();
            }
            instance.wake.claimer.notify_one();
        });
    }

    /// Sets the current catalog, read at `began`, and wakes the parts that use it.
    pub(crate) fn set_catalog(
        &self,
        hash: String,
        spellings: Spellings,
        files: Option<(String, InputFiles)>,
        began: Instant,
    ) {
        let is_new = self.catalog.set(hash, spellings, files, began);
        // The report names the catalog and its age.
        self.wake.health_check.notify_one();
        if is_new {
            self.wake.eligibility.notify_one();
        }
    }

    /// Makes the catalog be read again, because the instance may have restarted.
    pub(crate) fn invalidate_catalog(&self) {
        self.catalog.invalidate();
        self.wake.catalog.notify_one();
    }
}

fn client_id(shared: &Shared, target: &Target) -> String {
    let name = format!("{}/{}", shared.parts.queue.installation(), target.id);
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}
