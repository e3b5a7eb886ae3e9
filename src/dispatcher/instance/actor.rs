//! The actor of one leased instance: starts all its parts, and ends them together.

use super::{
    admission, catalog_refresh, claimer, health_check, orphan_prompts, reattach,
    registry::Registry,
    socket_events,
    state::{Instance, Leased},
};
use crate::{
    comfy,
    dispatcher::{leasing::lease_renewal, shared::Shared},
    fleet::{HealthCheck, Target},
    metrics,
    queue::InFlight,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::task::JoinHandle;

/// The end of an actor.
pub(crate) enum Ended {
    /// The lease was released.
    HandedOver,
    /// Another dispatcher has the lease.
    Lost,
}

/// A running actor. Dropping it ends all its parts without a hand-over.
pub(crate) struct Actor {
    instance: Arc<Instance>,
    join: JoinHandle<Ended>,
}

impl Actor {
    /// Starts an actor for a new lease, and reattaches to the attempts in flight.
    pub(crate) fn start(
        shared: Arc<Shared>,
        target: Target,
        checks: HealthCheck,
        leased: Leased,
        instances: Arc<Registry>,
    ) -> Result<Self, comfy::Error> {
        let (in_flight, instance) =
            (leased.in_flight.clone(), Arc::new(Instance::new(shared, target, checks, leased)?));
        instances.insert(&instance);
        let join = tokio::spawn(run(instance.clone(), in_flight, instances));
        Ok(Self { instance, join })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.instance.target
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.join.is_finished()
    }

    /// Waits for the end. A panic counts as a lost lease.
    pub(crate) async fn join(self) -> Ended {
        self.join.await.unwrap_or(Ended::Lost)
    }

    /// Stops claiming, finishes storing outputs, and releases the lease. Running prompts continue for the next owner.
    pub(crate) fn hand_over(&self) {
        self.instance.lifetime.stop.cancel();
    }

    /// Drains an instance that has left the config: no new tasks, running ones end, then the lease is released.
    pub(crate) fn retire(&self) {
        self.instance.retire();
    }

    pub(crate) fn set_server_enabled(&self, enabled: bool) {
        self.instance.set_server_enabled(enabled);
    }

    pub(crate) fn set_checks(&self, checks: HealthCheck) {
        self.instance.set_checks(checks);
    }
}

async fn run(instance: Arc<Instance>, in_flight: InFlight, instances: Arc<Registry>) -> Ended {
    let tracker = &instance.lifetime.tracker;
    reattach::start_missing(&instance, &in_flight);
    tracker.spawn(guarded(instance.clone(), lease_renewal::run(instance.clone())));
    tracker.spawn(guarded(instance.clone(), health_check::run(instance.clone())));
    tracker.spawn(guarded(instance.clone(), socket_events::run(instance.clone())));
    tracker.spawn(guarded(instance.clone(), catalog_refresh::run(instance.clone())));
    tracker.spawn(guarded(instance.clone(), admission::run(instance.clone())));
    tracker.spawn(guarded(instance.clone(), claimer::run(instance.clone())));
    tracker.spawn(guarded(instance.clone(), orphan_prompts::run(instance.clone())));
    tokio::select! {
        () = instance.lifetime.lost.cancelled() => {}
        () = instance.lifetime.stop.cancelled() => drain(&instance).await,
    }
    let was_lost = instance.lifetime.lost.is_cancelled();
    // All parts end before the lease is released, so that the next owner never overlaps with them.
    instance.lifetime.lost.cancel();
    tracker.close();
    tracker.wait().await;
    if !was_lost && let Err(error) = instance.queue().release_lease(&instance.lease).await {
        tracing::warn!(instance = %instance.target.id, %error, "lease not released; it expires by itself");
    }
    instances.remove(&instance.target.id);
    metrics::instance_gone(instance.target.id.as_str());
    if was_lost { Ended::Lost } else { Ended::HandedOver }
}

/// Waits for attempts that store outputs, which the next owner would have to download again, and for the answers to
/// POSTs in progress, because the next owner would not know a prompt that arrives after the hand-over.
async fn drain(instance: &Instance) {
    let deadline = tokio::time::Instant::now() + instance.shared.parts.drain_timeout;
    while instance.activity.collecting.load(Ordering::Relaxed) + instance.activity.posting.load(Ordering::Relaxed) > 0
        && tokio::time::Instant::now() < deadline
        && !instance.lifetime.lost.is_cancelled()
    {
        tokio::select! {
            () = instance.wake.claimer.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
}

/// Runs a part of the actor until it ends or the lease is lost.
async fn guarded(instance: Arc<Instance>, part: impl Future<Output = ()> + Send) {
    let _ended = instance.lifetime.lost.run_until_cancelled(part).await;
}
