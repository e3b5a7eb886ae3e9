//! The instances of this process: reads the config, leases a fair share of it, starts and ends the actors.

use super::{
    fair_share::{self, FleetView},
    takeover_grace::{Ownership, TakeoverGrace},
};
use crate::{
    clock::since_boot,
    dispatcher::{
        instance::{
            actor::{Actor, Ended},
            registry::Registry,
            state::Leased,
        },
        shared::{Shared, jitter},
    },
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

/// Interval between two updates.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of one update.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval between two reads of the config, whose changes are also announced.
const CONFIG_INTERVAL: Duration = Duration::from_secs(5);
/// Interval between two reads of the operator's switches, whose changes are also announced.
const SWITCHES_INTERVAL: Duration = Duration::from_secs(5);
/// Longest time between two reads of the instances of all leases, whose number is read every time.
const LEASED_INTERVAL: Duration = Duration::from_secs(60);
/// Shortest TTL of a dispatcher's heartbeat.
const HEARTBEAT_TTL_MIN: Duration = Duration::from_secs(4);

struct Roster {
    shared: Arc<Shared>,
    instances: Arc<Registry>,
    actors: BTreeMap<InstanceId, Actor>,
    config: FleetConfig,
    /// Time of the last read of the config; `None` = a change was announced.
    config_read: Option<Instant>,
    /// Time of the last read of the switches.
    switches_read: Option<Instant>,
    /// Instances that have, or had, a lease.
    leased: BTreeSet<InstanceId>,
    /// Time of the last read of those.
    leased_read: Option<Instant>,
    takeover_grace: TakeoverGrace,
}

/// Keeps the fair share of instances leased until `stop`, then hands all of them over.
pub(crate) async fn run(shared: Arc<Shared>, instances: Arc<Registry>, readiness: Readiness, stop: CancellationToken) {
    let mut roster = Roster {
        shared: shared.clone(),
        instances,
        actors: BTreeMap::new(),
        config: FleetConfig::default(),
        config_read: None,
        switches_read: None,
        leased: BTreeSet::new(),
        leased_read: None,
        takeover_grace: TakeoverGrace::default(),
    };
    while !stop.is_cancelled() {
        match tokio::time::timeout(UPDATE_TIMEOUT, roster.update()).await {
            Ok(Ok(())) => readiness.set("redis", roster.queue().check_rights().map_err(|error| error.to_string())),
            Ok(Err(error)) => {
                tracing::warn!(%error, "roster update failed; retrying");
                readiness.set("redis", Err(error.to_string()));
            }
            Err(_elapsed) => readiness.set("redis", Err("no answer from redis".to_owned())),
        }
        let delay = UPDATE_INTERVAL + jitter(UPDATE_INTERVAL / 5);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shared.config_changed.notified() => roster.config_read = None,
            () = stop.cancelled() => {}
        }
    }
    roster.hand_over().await;
}

impl Roster {
    fn queue(&self) -> &Queue {
        &self.shared.parts.queue
    }

    async fn update(&mut self) -> Result<()> {
        self.remove_ended().await;
        let ttl = self.shared.parts.settings.lease_ttl;
        let mut dispatchers: BTreeSet<String> =
            self.queue().heartbeat(&self.shared.name, ttl.max(HEARTBEAT_TTL_MIN)).await?.into_iter().collect();
        self.read_config().await?;
        let targets: BTreeMap<InstanceId, Target> =
            self.config.targets().into_iter().map(|target| (target.id.clone(), target)).collect();
        self.update_actors(&targets);
        self.read_switches(&targets).await?;

        let free = self.read_leases().await?;
        let Ownership { held, dead } =
            self.takeover_grace.classify(&self.shared.name, &dispatchers, &self.leased, free, since_boot());
        dispatchers.retain(|dispatcher| !dead.contains(dispatcher));
        let mine: Vec<InstanceId> = self.actors.keys().filter(|id| targets.contains_key(id)).cloned().collect();
        let free: Vec<InstanceId> =
            targets.keys().filter(|id| !held.contains(*id) && !self.actors.contains_key(*id)).cloned().collect();
        let fleet = FleetView { dispatchers: &dispatchers, total: targets.len(), free: &free, mine: &mine };
        let changes = fair_share::decide(&self.shared.name, &fleet);
        for instance in changes.acquire {
            if let Some(target) = targets.get(&instance) {
                self.acquire(target, self.config.health_check).await?;
            }
        }
        if let Some(instance) = changes.release {
            tracing::info!(%instance, "above the fair share; handing the instance over");
            if let Some(actor) = self.actors.get(&instance) {
                actor.hand_over();
            }
        }
        Ok(())
    }

    async fn read_config(&mut self) -> Result<()> {
        if self.config_read.is_some_and(|at| at.elapsed() < CONFIG_INTERVAL) {
            return Ok(());
        }
        if let Some(config) = self.queue().config_unless(self.config.version).await? {
            self.config = config;
        }
        self.config_read = Some(Instant::now());
        Ok(())
    }

    /// Reads the leases that may be taken, and the instances of all leases when these changed.
    async fn read_leases(&mut self) -> Result<Vec<(InstanceId, String)>> {
        let is_stale = self.leased_read.is_none_or(|at| at.elapsed() >= LEASED_INTERVAL);
        let mut leases = self.queue().leases(is_stale).await?;
        if !is_stale && leases.count != self.leased.len() {
            leases = self.queue().leases(true).await?;
        }
        if is_stale || leases.count != self.leased.len() {
            self.leased = leases.instances;
            self.leased_read = Some(Instant::now());
        }
        Ok(leases.free)
    }

    async fn acquire(&mut self, target: &Target, checks: HealthCheck) -> Result<()> {
        let token = Token::new();
        let sent = since_boot();
        let ttl = self.shared.parts.settings.lease_ttl;
        match self.queue().acquire(&target.id, &self.shared.name, &token, ttl).await? {
            // Leased for the first time since the last read.
            Acquired::Held(_) => self.leased_read = None,
            Acquired::Ours(in_flight) => {
                if !in_flight.tasks.is_empty() {
                    metrics::lease_taken_over();
                }
                tracing::info!(instance = %target.id, in_flight = in_flight.tasks.len(), "instance leased");
                let lease = Lease { instance: target.id.clone(), token };
                // A disabled instance stays disabled over a takeover.
                let is_on = !self.queue().disabled().await?.contains(&target.id);
                match Actor::start(
                    self.shared.clone(),
                    target.clone(),
                    checks,
                    Leased { lease: lease.clone(), sent, in_flight, is_on },
                    self.instances.clone(),
                ) {
                    Ok(actor) => {
                        self.actors.insert(target.id.clone(), actor);
                    }
                    Err(error) => {
                        tracing::error!(instance = %target.id, %error, "actor not started; lease released");
                        self.queue().release_lease(&lease).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Applies the config to the actors. An instance that left the config drains; one whose address or credentials
    /// changed is handed over.
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
        if self.switches_read.is_some_and(|at| at.elapsed() < SWITCHES_INTERVAL) {
            return Ok(());
        }
        let disabled = self.queue().disabled().await?;
        for id in self.actors.keys().filter(|id| targets.contains_key(id)) {
            if let Some(instance) = self.instances.get(id) {
                instance.set_enabled(!disabled.contains(id));
            }
        }
        self.switches_read = Some(Instant::now());
        Ok(())
    }

    async fn remove_ended(&mut self) {
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
        // The heartbeat ends first: while this process counts, the shares of the others are too small for its
        // instances.
        if let Err(error) = self.queue().heartbeat(&self.shared.name, Duration::ZERO).await {
            tracing::debug!(%error, "heartbeat not removed; it expires by itself");
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
