//! Which instances this process looks after: reads the config, leases its fair share, starts and ends their actors.

use super::{
    Shared,
    actor::{Actor, Ended},
    instance::Leased,
    jitter,
    owners_first::{Owned, OwnersFirst},
    share,
};
use crate::{
    clock::since_boot,
    fleet::{FleetConfig, HealthCheck, Target},
    metrics,
    process::Readiness,
    queue::{Acquired, Lease, Queue, Result, Token},
    task::InstanceId,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look is skipped after this long without an answer of Redis.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two readings of the switches, which are also announced.
const SWITCHES_EVERY: Duration = Duration::from_secs(5);
/// At least so long is a dispatcher counted after its last heartbeat.
const HEARTBEAT_TTL_MIN: Duration = Duration::from_secs(4);

struct Roster {
    shared: Arc<Shared>,
    actors: BTreeMap<InstanceId, Actor>,
    config: FleetConfig,
    /// When the switches were last read.
    switches_read: Option<Instant>,
    owners_first: OwnersFirst,
}

/// Looks after instances until `stop`, then hands all of them over.
pub(super) async fn run(shared: Arc<Shared>, readiness: Readiness, stop: CancellationToken) {
    let mut roster = Roster {
        shared: shared.clone(),
        actors: BTreeMap::new(),
        config: FleetConfig::default(),
        switches_read: None,
        owners_first: OwnersFirst::default(),
    };
    while !stop.is_cancelled() {
        match tokio::time::timeout(LOOK_TIMEOUT, roster.look()).await {
            Ok(Ok(())) => readiness.set("redis", Ok(())),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the roster could not be read");
                readiness.set("redis", Err(error.to_string()));
            }
            Err(_elapsed) => readiness.set("redis", Err("no answer from redis".to_owned())),
        }
        let pause = LOOK_EVERY + jitter(LOOK_EVERY / 5);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.config_changed.notified() => {}
            () = stop.cancelled() => {}
        }
    }
    roster.hand_over().await;
}

impl Roster {
    fn queue(&self) -> &Queue {
        &self.shared.parts.queue
    }

    async fn look(&mut self) -> Result<()> {
        self.bury_ended().await;
        let ttl = self.shared.parts.settings.lease_ttl;
        let mut dispatchers: BTreeSet<String> =
            self.queue().heartbeat(&self.shared.name, ttl.max(HEARTBEAT_TTL_MIN)).await?.into_iter().collect();
        self.config = self.queue().config().await?;
        let targets: BTreeMap<InstanceId, Target> =
            self.config.targets().into_iter().map(|target| (target.id.clone(), target)).collect();
        self.update_actors(&targets);
        self.read_switches(&targets).await?;

        let leases = self.queue().leases().await?;
        let Owned { held, dead } = self.owners_first.sort(&self.shared.name, &dispatchers, leases, since_boot());
        dispatchers.retain(|dispatcher| !dead.contains(dispatcher));
        let mine: Vec<InstanceId> = self.actors.keys().filter(|id| targets.contains_key(id)).cloned().collect();
        let free: Vec<InstanceId> =
            targets.keys().filter(|id| !held.contains(*id) && !self.actors.contains_key(*id)).cloned().collect();
        let moves = share::decide(&self.shared.name, &dispatchers, targets.len(), &free, &mine);
        for instance in moves.acquire {
            if let Some(target) = targets.get(&instance) {
                self.acquire(target, self.config.health_check).await?;
            }
        }
        if let Some(instance) = moves.give_back {
            tracing::info!(%instance, "giving the instance to another dispatcher");
            if let Some(actor) = self.actors.get(&instance) {
                actor.hand_over();
            }
        }
        Ok(())
    }

    async fn acquire(&mut self, target: &Target, checks: HealthCheck) -> Result<()> {
        let token = Token::new();
        let sent = since_boot();
        let ttl = self.shared.parts.settings.lease_ttl;
        match self.queue().acquire(&target.id, &self.shared.name, &token, ttl).await? {
            Acquired::Held(_) => {}
            Acquired::Ours(in_flight) => {
                if !in_flight.tasks.is_empty() {
                    metrics::lease_taken_over();
                }
                tracing::info!(instance = %target.id, in_flight = in_flight.tasks.len(), "instance leased");
                let lease = Lease { instance: target.id.clone(), token };
                // A disabled instance stays disabled over a takeover.
                let status = self.queue().instances(std::slice::from_ref(&target.id)).await?.pop().flatten();
                let is_on = status.is_none_or(|status| status.enabled);
                match Actor::start(
                    self.shared.clone(),
                    target.clone(),
                    checks,
                    Leased { lease: lease.clone(), sent, in_flight, is_on },
                ) {
                    Ok(actor) => {
                        self.actors.insert(target.id.clone(), actor);
                    }
                    Err(error) => {
                        tracing::error!(instance = %target.id, %error, "this instance cannot be used as configured");
                        self.queue().yield_lease(&lease).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells actors what the config says now. An instance that left the config, or is spoken to differently now, drains.
    fn update_actors(&self, targets: &BTreeMap<InstanceId, Target>) {
        for (id, actor) in &self.actors {
            match targets.get(id) {
                Some(target) if actor.target().speaks_like(target) => {
                    actor.set_server_enabled(target.server_enabled);
                    actor.set_checks(self.config.health_check);
                }
                Some(_) => actor.hand_over(),
                None => actor.retire(),
            }
        }
    }

    async fn read_switches(&mut self, targets: &BTreeMap<InstanceId, Target>) -> Result<()> {
        if self.switches_read.is_some_and(|at| at.elapsed() < SWITCHES_EVERY) {
            return Ok(());
        }
        let ids: Vec<InstanceId> = self.actors.keys().filter(|id| targets.contains_key(id)).cloned().collect();
        for (id, status) in ids.iter().zip(self.queue().instances(&ids).await?) {
            if let (Some(status), Some(instance)) = (status, self.shared.actor(id)) {
                instance.set_enabled(status.enabled);
            }
        }
        self.switches_read = Some(Instant::now());
        Ok(())
    }

    async fn bury_ended(&mut self) {
        let ended: Vec<InstanceId> =
            self.actors.iter().filter(|(_, actor)| actor.is_finished()).map(|(id, _)| id.clone()).collect();
        for id in ended {
            let Some(actor) = self.actors.remove(&id) else { continue };
            match actor.join().await {
                Ended::HandedOver => tracing::info!(instance = %id, "instance handed over"),
                Ended::Lost => tracing::warn!(instance = %id, "lease lost: another dispatcher owns the instance"),
            }
        }
    }

    async fn hand_over(mut self) {
        // First: as long as this process is counted, the others' shares are too small for what it leaves.
        if let Err(error) = self.queue().heartbeat(&self.shared.name, Duration::ZERO).await {
            tracing::debug!(%error, "nobody was told that this dispatcher leaves");
        }
        for actor in self.actors.values() {
            actor.hand_over();
        }
        while let Some((id, actor)) = self.actors.pop_first() {
            if matches!(actor.join().await, Ended::HandedOver) {
                tracing::info!(instance = %id, "instance handed over");
            }
        }
    }
}
