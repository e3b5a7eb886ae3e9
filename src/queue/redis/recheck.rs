//! The check of the server that a running process repeats, regularly and after every reconnect and refusal, and what it
//! found.

use super::{
    denied,
    script_call::{ScriptCaller, switch},
    scripts::Verb,
    server_check::{Demand, ServerIssue, validate},
};
use crate::{
    metrics,
    queue::{Error, Result},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Interval of the checks: someone may change the settings of the server.
const INTERVAL: Duration = Duration::from_secs(30);
/// The same while something is wrong, so that its end is seen soon.
const INTERVAL_ILL: Duration = Duration::from_secs(5);
/// Shortest time from a check to one that a refusal causes.
const PAUSE: Duration = Duration::from_secs(1);

/// Right that Redis may deny to our user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    /// Every write: it is read-only, its disk is full, or it has too few replicas.
    Writes,
    /// The commands of scripts.
    Commands,
    /// The subscription to events.
    Events,
}

/// Faults of the server that requests, `/api/health` and `/readyz` report until they end.
#[derive(Debug, Default)]
pub(crate) struct Fitness {
    is_unfit: AtomicBool,
    is_unconfirmed: AtomicBool,
    denied: Mutex<BTreeMap<Right, String>>,
}

impl Fitness {
    /// Whether the server would be refused at a start.
    pub(crate) fn is_unfit(&self) -> bool {
        self.is_unfit.load(Ordering::Relaxed)
    }

    pub(super) fn set_unfit(&self, is_unfit: bool) {
        metrics::redis_unfit(is_unfit);
        self.is_unfit.store(is_unfit, Ordering::Relaxed);
    }

    /// Whether the last write was not confirmed, or too few replicas are connected to confirm one.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.is_unconfirmed.load(Ordering::Relaxed)
    }

    pub(super) fn set_unconfirmed(&self, is_unconfirmed: bool) {
        self.is_unconfirmed.store(is_unconfirmed, Ordering::Relaxed);
    }

    /// Returns a denied right as a sentence.
    pub(crate) fn denied(&self) -> Option<String> {
        self.lock().values().next().cloned()
    }

    /// Takes note of a right. Logs changes.
    fn set_denied(&self, right: Right, denied: Option<String>) {
        let mut rights = self.lock();
        if rights.get(&right) == denied.as_ref() {
            return;
        }
        match denied {
            Some(denial) => {
                tracing::error!(denial, ?right, "redis refuses this right; rights of its user: deploy/README.md (ACL)");
                rights.insert(right, denial);
            }
            None => {
                tracing::warn!(?right, "redis allows this right again");
                rights.remove(&right);
            }
        }
    }

    /// Takes note of the result of trying every command.
    fn note_commands(&self, result: Result<Option<String>>) {
        match result {
            Ok(denied) => {
                self.set_denied(Right::Writes, None);
                self.set_denied(Right::Commands, denied);
            }
            Err(error @ Error::Refused(_)) => self.set_denied(Right::Writes, error.refusal()),
            Err(_unknown) => {}
        }
    }

    /// Takes note of the result of a subscription to events.
    pub(crate) fn note_subscription<T>(&self, result: &Result<T>) {
        match result {
            Ok(_) => self.set_denied(Right::Events, None),
            Err(Error::Refused(why)) => {
                self.set_denied(Right::Events, Some(format!("redis denies the subscription to events: {why}")));
            }
            Err(_unknown) => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Right, String>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The check of a running process: its settings may be changed, or another server may take its place.
#[derive(Debug, Default)]
pub(crate) struct Recheck {
    fitness: Arc<Fitness>,
    found: Option<String>,
    warned: Vec<ServerIssue>,
}

impl Recheck {
    /// Returns what the last check found.
    pub(crate) const fn fitness(&self) -> &Arc<Fitness> {
        &self.fitness
    }

    /// Returns the time until the next check.
    fn interval(&self) -> Duration {
        let fitness = &self.fitness;
        let is_ill = fitness.is_unfit() || fitness.is_unconfirmed() || fitness.denied().is_some();
        if is_ill { INTERVAL_ILL } else { INTERVAL }
    }

    /// Checks the server regularly, soon after a refusal, and after every reconnect: it may be a new process (then leases
    /// get new deadlines) or another server.
    pub(crate) async fn watch(
        mut self,
        caller: ScriptCaller,
        demand: Demand,
        mut changes: Vec<tokio::sync::watch::Receiver<u64>>,
    ) {
        let mut checked = Instant::now();
        loop {
            let changed = futures_util::future::select_all(changes.iter_mut().map(|change| Box::pin(change.changed())));
            tokio::select! {
                (changed, _, _) = changed => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(self.interval()) => {
                    self.run(&caller, demand).await;
                    continue;
                }
                () = caller.refused.notified(), if checked.elapsed() >= PAUSE => {
                    self.run(&caller, demand).await;
                    // Its own calls may have been refused.
                    checked = Instant::now();
                    continue;
                }
                () = tokio::time::sleep(PAUSE), if checked.elapsed() < PAUSE => continue,
            }
            match redis_restarted(&caller).await {
                Ok(true) => tracing::warn!("redis restarted: leases extended, claims paused"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "redis reconnected but not answering yet"),
            }
            self.run(&caller, demand).await;
        }
    }

    /// Checks the server. Logs what has changed since the last time.
    async fn run(&mut self, caller: &ScriptCaller, demand: Demand) {
        self.fitness.note_commands(denied::denied_commands(caller).await);
        let validated = match validate(caller, demand).await {
            Ok(checked) => {
                self.fitness.set_unconfirmed(checked.lacks_replicas);
                checked.validated.map_err(|refusal| refusal.to_string())
            }
            Err(Error::Unusable(why)) => Err(why),
            // Unanswered or refused for another reason, which is logged by the calls that it concerns.
            Err(_unknown) => return,
        };
        self.fitness.set_unfit(validated.is_err());
        let refusal = match validated {
            Ok((_, warnings)) => {
                self.report_warnings(warnings);
                None
            }
            Err(refusal) => Some(refusal),
        };
        if refusal == self.found {
            return;
        }
        match &refusal {
            Some(issue) => tracing::error!(issue, "redis would be refused at a start; tasks are in danger"),
            None => tracing::warn!("redis is fit for the queue again"),
        }
        self.found = refusal;
    }

    /// Logs warnings that the last check did not have. A change of the replicas is one, for example.
    pub(super) fn report_warnings(&mut self, warnings: Vec<ServerIssue>) {
        for warning in warnings.iter().filter(|warning| !self.warned.contains(warning)) {
            tracing::warn!(%warning, "redis server check");
        }
        self.warned = warnings;
    }
}

/// Whether Redis is a new process since the last call of any process. Leases get new deadlines then.
async fn redis_restarted(caller: &ScriptCaller) -> Result<bool> {
    let Some(installation) = &caller.installation else { return Ok(false) };
    let (was_lost, args) = (installation.is_lost(), vec![installation.id().into(), switch(true)]);
    // Unfenced, so that data of an earlier release, which has no key for the fence, is taken.
    let reply = caller.call_unfenced(caller.pool.next(), Verb::CheckRedisRestart, args).await;
    installation.observe(was_lost, &reply);
    Ok(reply?.tag() == "booted")
}
