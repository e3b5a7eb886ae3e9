//! Periodic upkeep: due retries, `startBy`, retention, repair of the indexes, instances that left the config.
//!
//! One elected process at a time does it (a key of seconds in Redis); two at once would only waste work.

use super::{
    Acquired, Error, FileKind, InFlight, Lease, Queue, Result, Retention, Token, Written,
    redis::{
        script_call::{ms, number, switch},
        scripts::Verb,
    },
};
use crate::{
    metrics,
    settings::Keep,
    task::{Failure, FailureKind, InstanceId},
};
use std::{collections::HashSet, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time after which a janitor that died is replaced.
const ELECTION_TTL: Duration = Duration::from_secs(3);
/// Longest pause between two rounds, and so the largest delay of a retry.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Pause between two parts of a sweep. At about 50 µs a task this is about 2 % of one core of Redis.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);
/// Tasks of one part of a sweep, which blocks Redis for about a millisecond.
const SWEEP_COUNT: u64 = 25;
/// Pause between the end of one sweep and the next.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Interval of the search for instances that left the config.
const FLEET_INTERVAL: Duration = Duration::from_secs(5);
/// Interval of the search for expired files.
const FILES_INTERVAL: Duration = Duration::from_secs(5);
/// Tasks of one script call.
const BATCH: u64 = 50;
/// Maximum number of calls of one kind in one round.
const BATCHES_MAX: usize = 40;
/// Batches of ended tasks deleted early in one round, while the memory is full. It is read once a second.
const EARLY_BATCHES: usize = 4;
/// Lease under which the tasks of an instance that left the config are returned.
const LEASE_TTL: Duration = Duration::from_secs(10);

/// Returns what a sweep walks: every index of tasks, and the tasks in flight of every leased instance.
fn swept_keys() -> Vec<String> {
    let lists = [
        "wait:default:0",
        "wait:default:1",
        "wait:default:2",
        "index:pending",
        "leases",
        "index:running",
        "delayed",
        "index:completed",
        "index:failed",
        "index:cancelled",
        "expiry",
        "narrowed",
    ];
    let errors = FailureKind::ALL.map(|kind| format!("errors:{}", kind.as_str()));
    lists.map(str::to_owned).into_iter().chain(errors).collect()
}

/// State of a janitor between rounds.
struct Rounds {
    sweep: Sweep,
    next_fleet: Instant,
    next_files: Instant,
    retention: Retention,
}

/// Position of a sweep.
struct Sweep {
    keys: Vec<String>,
    key: usize,
    cursor: String,
    not_before: Instant,
}

impl Queue {
    /// Runs the janitor until `stop` is cancelled: promotes retries, enforces `startBy`, deletes expired tasks and
    /// files, repairs indexes, and clears instances that left the config. Only one process at a time is active.
    pub async fn run_janitor(&self, retention: Retention, stop: CancellationToken) {
        let me = format!("janitor-{}", uuid::Uuid::new_v4().simple());
        let mut rounds =
            Rounds { sweep: Sweep::new(), next_fleet: Instant::now(), next_files: Instant::now(), retention };
        while !stop.is_cancelled() {
            let pause = match self.janitor_round(&me, &mut rounds).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "janitor round failed; retrying");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Err(error) = self.elect("janitor", &me, Duration::ZERO).await {
            tracing::debug!(%error, "janitor election not released; it expires by itself");
        }
    }

    /// Does at once, without an election, everything that is due: retries, `startBy`, retention, instances that left
    /// the config.
    pub async fn run_janitor_once(&self) -> Result<()> {
        self.run_janitor_once_with(Retention::default()).await
    }

    /// Does the same with another retention of files.
    pub async fn run_janitor_once_with(&self, retention: Retention) -> Result<()> {
        while self.promote_due().await? || self.expire_due().await? || self.collect_due(retention).await? {}
        self.expire_kept_files(retention).await?;
        self.clear_vanished_instances("janitor").await
    }

    /// Does one round of everything that is due. Returns the pause until the next round.
    async fn janitor_round(&self, me: &str, rounds: &mut Rounds) -> Result<Duration> {
        if !self.elect("janitor", me, ELECTION_TTL).await? {
            return Ok(Duration::from_secs(1));
        }
        let mut pause = PAUSE_MAX;
        if self.promote_due().await? || self.expire_due().await? || self.collect_due(rounds.retention).await? {
            pause = Duration::ZERO;
        }
        if Instant::now() >= rounds.next_fleet {
            rounds.next_fleet = Instant::now() + FLEET_INTERVAL;
            self.clear_vanished_instances(me).await?;
        }
        if Instant::now() >= rounds.next_files {
            rounds.next_files = Instant::now() + FILES_INTERVAL;
            self.expire_kept_files(rounds.retention).await?;
        }
        if Instant::now() >= rounds.sweep.not_before {
            self.sweep_part(&mut rounds.sweep).await?;
            pause = pause.min(SWEEP_PAUSE);
        }
        Ok(pause)
    }

    /// Elects `me` for a duty that one process at a time should do, or extends the election by `ttl` (zero resigns).
    /// Returns whether `me` is elected.
    pub async fn elect(&self, duty: &str, me: &str, ttl: Duration) -> Result<bool> {
        let reply = self.call(Verb::Elect, vec![duty.into(), me.into(), ms(ttl)]).await?;
        Ok(reply.tag() == "mine")
    }

    /// Returns due retries to their lanes. Returns whether more are due.
    async fn promote_due(&self) -> Result<bool> {
        self.repeat_batches(|| async { self.call(Verb::Promote, vec![number(BATCH)]).await?.parse() }).await
    }

    /// Fails tasks that did not start by their `startBy`. Returns whether more are due.
    async fn expire_due(&self) -> Result<bool> {
        let failure = failure(FailureKind::StartTimeout, "not started by its startBy")?;
        let keep = ms(self.limits().keep_tasks);
        self.repeat_batches(|| async {
            let args = vec![number(BATCH), failure.as_str().into(), keep.clone()];
            let mut reply = self.call(Verb::Expire, args).await?;
            let looked_at = reply.parse()?;
            count_failed(reply.parse()?);
            Ok(looked_at)
        })
        .await
    }

    /// Deletes ended tasks whose retention is over. Returns whether more are due.
    async fn collect_due(&self, retention: Retention) -> Result<bool> {
        let keep_outputs = retention.outputs != Keep::WithTask;
        let args = |is_early: bool| vec![number(BATCH), switch(keep_outputs), switch(is_early)];
        if retention.frees_memory && self.check_memory().is_err() {
            for _ in 0..EARLY_BATCHES {
                self.call(Verb::Gc, args(true)).await?;
            }
            tracing::info!("oldest ended tasks deleted before the end of their retention: redis memory is full");
            return Ok(false);
        }
        self.repeat_batches(|| async { self.call(Verb::Gc, args(false)).await?.parse() }).await
    }

    /// Removes expired files from the registry, in batches. Skips files that are still in use.
    async fn expire_kept_files(&self, retention: Retention) -> Result<()> {
        for (kind, keep) in [(FileKind::Upload, retention.uploads), (FileKind::Output, retention.outputs)] {
            let Keep::For(time) = keep else { continue };
            let mut skip = 0;
            for _ in 0..BATCHES_MAX {
                let (looked_at, needed) = self.expire_files(kind, time, skip, BATCH).await?;
                skip += needed;
                if looked_at < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Repeats `call`, which returns the number of tasks it looked at, until a batch is not full or [`BATCHES_MAX`] is
    /// reached. Returns whether more may be due.
    async fn repeat_batches<F: Future<Output = Result<u64>>>(&self, call: impl Fn() -> F) -> Result<bool> {
        for _ in 0..BATCHES_MAX {
            if call().await? < BATCH {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sweeps everything once and repairs index entries that disagree with the task hashes. Returns the number of
    /// repairs.
    pub async fn repair_indexes(&self) -> Result<u64> {
        let mut sweep = Sweep::new();
        let mut repairs = 0;
        while sweep.not_before <= Instant::now() {
            repairs += self.sweep_part(&mut sweep).await?;
        }
        Ok(repairs)
    }

    async fn sweep_part(&self, sweep: &mut Sweep) -> Result<u64> {
        let args = vec![
            sweep.keys[sweep.key].as_str().into(),
            sweep.cursor.as_str().into(),
            number(SWEEP_COUNT),
            failure(FailureKind::StorageFailed, "the stored workflow was lost")?.into(),
            ms(self.limits().keep_tasks),
        ];
        let mut reply = self.call(Verb::RepairIndex, args).await?;
        let (cursor, repairs): (String, u64) = (reply.parse()?, reply.parse()?);
        count_failed(reply.parse()?);
        if repairs > 0 {
            tracing::warn!(
                key = sweep.keys[sweep.key],
                repairs,
                "rebuilt index entries that disagreed with the task hashes"
            );
        }
        sweep.advance(cursor);
        Ok(repairs)
    }

    /// Requeues the tasks of instances that left the config and have no lease owner.
    async fn clear_vanished_instances(&self, me: &str) -> Result<()> {
        let config = self.config().await?;
        if config.version == 0 {
            // The config was never set, or Redis was flushed: no proof that an instance left.
            return Ok(());
        }
        let known: HashSet<InstanceId> = config.targets().into_iter().map(|target| target.id).collect();
        for (instance, _) in self.leases(false).await?.free {
            if !known.contains(&instance) {
                self.clear_instance(instance, me).await?;
            }
        }
        Ok(())
    }

    async fn clear_instance(&self, instance: InstanceId, me: &str) -> Result<()> {
        let lease = Lease { instance, token: Token::new() };
        let Acquired::Ours(in_flight) = self.acquire(&lease.instance, me, &lease.token, LEASE_TTL).await? else {
            return Ok(());
        };
        let InFlight { tasks, .. } = in_flight;
        for (task, attempt) in tasks {
            let written = self.requeue(&lease, task, attempt, false, "its instance left the config").await?;
            if written == Written::NotThisAttempt {
                self.release(&lease, task).await?;
            }
            tracing::info!(%task, %attempt, instance = %lease.instance, "requeued the task of an instance that left the config");
        }
        let args = vec![lease.instance.as_str().into(), lease.token.as_str().into()];
        self.call(Verb::ForgetInstance, args).await.map(drop)
    }
}

impl Sweep {
    fn new() -> Self {
        Self { keys: swept_keys(), key: 0, cursor: "0".to_owned(), not_before: Instant::now() }
    }

    fn advance(&mut self, cursor: String) {
        if cursor == "0" {
            self.key = (self.key + 1) % self.keys.len();
            if self.key == 0 {
                self.not_before = Instant::now() + SWEEP_EVERY;
            }
        }
        self.cursor = cursor;
    }
}

/// Counts failures that the janitor wrote itself in the metrics.
fn count_failed(ended: u64) {
    (0..ended).for_each(|_| metrics::task_ended("failed"));
}

fn failure(kind: FailureKind, message: &str) -> Result<String> {
    serde_json::to_string(&Failure::new(kind, message)).map_err(|error| Error::Corrupt(error.to_string()))
}
