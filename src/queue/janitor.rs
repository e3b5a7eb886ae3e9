//! What nobody asks for but must happen: due retries, `startBy`, retention, healing, instances that left the config.
//!
//! One process at a time does it (a lease of seconds in Redis); two at once would only waste work.

use super::{
    Acquired, Error, FileKind, InFlight, Lease, Queue, Result, Retention, Token, Written,
    call::{ms, number, switch},
    scripts::Verb,
};
use crate::{
    metrics,
    settings::Keep,
    task::{Failure, FailureKind, InstanceId},
};
use std::{collections::HashSet, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long the duty stays with a janitor that died.
const DUTY_TTL: Duration = Duration::from_secs(3);
/// Longest pause between two rounds: a retry due sooner than the last round knew is late by no more.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Pause between two parts of a sweep: with some 50 µs a task, about 2 % of one core of Redis.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);
/// Tasks of one part of a sweep: Redis does nothing else for about a millisecond.
const SWEEP_COUNT: u64 = 25;
/// From the end of one sweep to the next.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Between two looks for instances that left the config.
const FLEET_EVERY: Duration = Duration::from_secs(5);
/// Between two looks for files whose time is over.
const FILES_EVERY: Duration = Duration::from_secs(5);
/// Tasks of one script call.
const BATCH: u64 = 50;
/// Calls of one kind in one round.
const BATCHES_MAX: usize = 40;
/// For the tasks of an instance that left the config.
const LEASE_TTL: Duration = Duration::from_secs(10);

/// What is walked: the ledger, then everything that lists tasks.
fn places() -> Vec<String> {
    let lists = [
        "jobs",
        "index:pending",
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

/// What a janitor remembers from round to round.
struct Rounds {
    sweep: Sweep,
    fleet_at: Instant,
    files_at: Instant,
    retention: Retention,
}

/// Where a sweep stands.
struct Sweep {
    places: Vec<String>,
    place: usize,
    cursor: String,
    not_before: Instant,
}

impl Queue {
    /// The janitor: promotes, sweeps, collects, enforces `startBy`, takes instances without config; one process at a time does
    /// it. Returns when `stop` is cancelled.
    pub async fn run_janitor(&self, retention: Retention, stop: CancellationToken) {
        let me = format!("janitor-{}", uuid::Uuid::new_v4().simple());
        let mut rounds = Rounds { sweep: Sweep::new(), fleet_at: Instant::now(), files_at: Instant::now(), retention };
        while !stop.is_cancelled() {
            let pause = match self.janitor_round(&me, &mut rounds).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "janitor: trying again");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Err(error) = self.hold_duty("janitor", &me, Duration::ZERO).await {
            tracing::debug!(%error, "janitor: the duty runs out by itself");
        }
    }

    /// Does at once, whoever has the duty, all that is due: retries, `startBy`, retention, instances that left the config.
    pub async fn tidy_once(&self) -> Result<()> {
        self.tidy_once_with(Retention::default()).await
    }

    /// The same with files kept for another time than by default.
    pub async fn tidy_once_with(&self, retention: Retention) -> Result<()> {
        while self.promote_due().await? || self.expire_due().await? || self.collect_due(retention).await? {}
        self.expire_kept_files(retention).await?;
        self.take_vanished("janitor").await
    }

    /// One round of everything that is due; gives the pause until the next.
    async fn janitor_round(&self, me: &str, rounds: &mut Rounds) -> Result<Duration> {
        if !self.hold_duty("janitor", me, DUTY_TTL).await? {
            return Ok(Duration::from_secs(1));
        }
        let mut pause = PAUSE_MAX;
        if self.promote_due().await? || self.expire_due().await? || self.collect_due(rounds.retention).await? {
            pause = Duration::ZERO;
        }
        if Instant::now() >= rounds.fleet_at {
            rounds.fleet_at = Instant::now() + FLEET_EVERY;
            self.take_vanished(me).await?;
        }
        if Instant::now() >= rounds.files_at {
            rounds.files_at = Instant::now() + FILES_EVERY;
            self.expire_kept_files(rounds.retention).await?;
        }
        if Instant::now() >= rounds.sweep.not_before {
            self.sweep_part(&mut rounds.sweep).await?;
            pause = pause.min(SWEEP_PAUSE);
        }
        Ok(pause)
    }

    /// Asks for a duty that one process at a time should do, or keeps it for another `ttl` (zero: leaves it).
    pub async fn hold_duty(&self, duty: &str, me: &str, ttl: Duration) -> Result<bool> {
        let reply = self.call(Verb::Duty, vec![duty.into(), me.into(), ms(ttl)]).await?;
        Ok(reply.tag() == "mine")
    }

    /// Puts due retries back in their lanes; whether more are due.
    async fn promote_due(&self) -> Result<bool> {
        self.batches(|| async { self.call(Verb::Promote, vec![number(BATCH)]).await?.parse() }).await
    }

    /// Fails what had not begun by its time; whether more is due.
    async fn expire_due(&self) -> Result<bool> {
        let failure = failure(FailureKind::StartTimeout, "not begun by its startBy")?;
        let keep = ms(self.limits().keep_tasks);
        self.batches(|| async {
            let args = vec![number(BATCH), failure.as_str().into(), keep.clone()];
            let mut reply = self.call(Verb::Expire, args).await?;
            let looked_at = reply.parse()?;
            count_failed(reply.parse()?);
            Ok(looked_at)
        })
        .await
    }

    /// Forgets ended tasks whose time is over; whether more are due.
    async fn collect_due(&self, retention: Retention) -> Result<bool> {
        let keep_outputs = retention.outputs != Keep::WithTask;
        self.batches(|| async { self.call(Verb::Gc, vec![number(BATCH), switch(keep_outputs)]).await?.parse() }).await
    }

    /// Takes files off the registry whose time is over, in bites; what tasks need is passed over until the next look.
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

    /// Calls, which gives how many were looked at, until a batch is not full or the round has had enough.
    async fn batches<F: Future<Output = Result<u64>>>(&self, call: impl Fn() -> F) -> Result<bool> {
        for _ in 0..BATCHES_MAX {
            if call().await? < BATCH {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Walks everything once and puts right what does not mirror the tasks; gives how many things were wrong.
    pub async fn heal(&self) -> Result<u64> {
        let mut sweep = Sweep::new();
        let mut wrong = 0;
        while sweep.not_before <= Instant::now() {
            wrong += self.sweep_part(&mut sweep).await?;
        }
        Ok(wrong)
    }

    async fn sweep_part(&self, sweep: &mut Sweep) -> Result<u64> {
        let args = vec![
            sweep.places[sweep.place].as_str().into(),
            sweep.cursor.as_str().into(),
            number(SWEEP_COUNT),
            failure(FailureKind::StorageFailed, "the stored workflow was lost")?.into(),
            ms(self.limits().keep_tasks),
        ];
        let mut reply = self.call(Verb::Sweep, args).await?;
        let (cursor, wrong): (String, u64) = (reply.parse()?, reply.parse()?);
        count_failed(reply.parse()?);
        if wrong > 0 {
            tracing::warn!(place = sweep.places[sweep.place], wrong, "put right what did not mirror the tasks");
        }
        sweep.advance(cursor);
        Ok(wrong)
    }

    /// Gives back the tasks of instances that are in no config any more and that nobody looks after.
    async fn take_vanished(&self, me: &str) -> Result<()> {
        let config = self.config().await?;
        if config.version == 0 {
            // Never set, or everything was flushed: nothing says that an instance has left.
            return Ok(());
        }
        let known: HashSet<InstanceId> = config.targets().into_iter().map(|target| target.id).collect();
        for (instance, _, remaining) in self.leases().await? {
            if remaining.is_zero() && !known.contains(&instance) {
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
            tracing::info!(%task, %attempt, instance = %lease.instance, "gave back the task of an instance that left the config");
        }
        let args = vec![lease.instance.as_str().into(), lease.token.as_str().into()];
        self.call(Verb::Forget, args).await.map(drop)
    }
}

impl Sweep {
    fn new() -> Self {
        Self { places: places(), place: 0, cursor: "0".to_owned(), not_before: Instant::now() }
    }

    fn advance(&mut self, cursor: String) {
        if cursor == "0" {
            self.place = (self.place + 1) % self.places.len();
            if self.place == 0 {
                self.not_before = Instant::now() + SWEEP_EVERY;
            }
        }
        self.cursor = cursor;
    }
}

/// Endings that nobody but the janitor has written.
fn count_failed(ended: u64) {
    (0..ended).for_each(|_| metrics::task_ended("failed"));
}

fn failure(kind: FailureKind, message: &str) -> Result<String> {
    serde_json::to_string(&Failure::new(kind, message)).map_err(|error| Error::Corrupt(error.to_string()))
}
