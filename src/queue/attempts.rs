//! The life of an attempt: claimed, begun, further, ended, given back. Every write carries (instance, token, attempt).

use super::{
    Claim, Claimed, Error, Lease, Queue, Result, Written,
    call::{Reply, ms, number, switch},
    hash::Fields,
    intake, payloads, retry,
    scripts::Verb,
};
use crate::{
    metrics,
    task::{Attempt, Failure, FailureKind, InstanceId, Outcome, Output, Progress, Task, TaskFacts, TaskId, TaskState},
};
use fred::types::Value;
use serde::Serialize;
use std::time::Duration;

/// The loss that ends a task as poison: a workflow that kills its instance kills no more than this many.
const LOSSES_MAX: u64 = 2;

impl Queue {
    /// Takes one task for the instance while fewer than `slots` are in flight. `nonce` is fresh per intent: sent twice, it
    /// claims once. Looks at the first `window` of the lane for one that does not exclude this instance.
    pub async fn claim(&self, lease: &Lease, nonce: &str, slots: u32, window: u32) -> Result<Claimed> {
        let args: Vec<Value> = vec![
            lease.instance.as_str().into(),
            lease.token.as_str().into(),
            nonce.into(),
            number(slots.into()),
            number(window.max(1).into()),
        ];
        let mut reply = self.call(Verb::Claim, args).await?;
        match reply.tag() {
            "task" => claim(&mut reply).map(|claim| Claimed::Task(Box::new(claim))),
            // A lost lease shows at the next renew; until then there is nothing to run.
            "nothing" | "fenced" => Ok(Claimed::Nothing),
            _ => Err(reply.unexpected()),
        }
    }

    /// Reads again what an in-flight task runs: after a takeover. `None` when it is not this attempt's any more.
    pub async fn reclaim_payload(&self, task: TaskId, attempt: Attempt) -> Result<Option<Claim>> {
        let mut reply = self.call(Verb::Tasks, vec![task.to_string().into()]).await?;
        let Some(fields) = Fields::new(task, reply.list()?) else { return Ok(None) };
        if !fields.is_active(attempt)? {
            return Ok(None);
        }
        let Some(payload) = self.payload(task).await? else { return Ok(None) };
        let (timeout, max_attempts) = (timeout(&fields.facts()?), fields.attempts_max()?);
        let (owner, waited) = fields.owner_and_wait()?;
        Ok(Some(Claim { task, attempt, payload, timeout, max_attempts, owner, waited }))
    }

    /// How long a running task has been running, by Redis' clock; zero for one that does not run.
    pub async fn running_for(&self, task: &Task) -> Result<Duration> {
        let Some(started_ms) = task.started_ms else { return Ok(Duration::ZERO) };
        let now_ms: u64 = self.call(Verb::Clock, Vec::new()).await?.parse()?;
        Ok(Duration::from_millis(now_ms.saturating_sub(started_ms)))
    }

    /// Execution began.
    pub async fn start(&self, lease: &Lease, task: TaskId, attempt: Attempt) -> Result<Written> {
        self.write(Verb::Start, fence(lease, task, attempt)).await
    }

    /// It got further.
    pub async fn progress(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        progress: &Progress,
    ) -> Result<Written> {
        let mut args = fence(lease, task, attempt);
        args.push(json(progress)?);
        self.write(Verb::Progress, args).await
    }

    /// The attempt ended (`finish.lua` or `nack.lua`): completed, failed for good, or to be tried again with backoff and jitter,
    /// avoiding this instance. Frees the slot.
    pub async fn settle(&self, lease: &Lease, task: TaskId, attempt: Attempt, outcome: &Outcome) -> Result<Written> {
        let args = fence(lease, task, attempt);
        let keep = ms(self.limits().keep_tasks);
        match outcome {
            Outcome::Completed(outputs) => self.finish(args, "completed", "completed".into(), outputs, None).await,
            Outcome::Failed { failure, outputs } if !failure.kind.retryable() => {
                self.finish(args, "failed", word(failure.kind)?, outputs, Some(failure)).await
            }
            Outcome::Failed { failure, outputs } => {
                let pause = retry::pause(attempt, retry::random_share());
                let mut args = args;
                args.extend([word(failure.kind)?, json(outputs)?, json(failure)?, ms(pause), keep]);
                self.write_durably(Verb::Nack, args).await
            }
        }
    }

    async fn finish(
        &self,
        mut args: Vec<Value>,
        state: &'static str,
        outcome: Value,
        outputs: &[Output],
        failure: Option<&Failure>,
    ) -> Result<Written> {
        let failure = failure.map_or_else(|| Ok("".into()), json)?;
        args.extend([state.into(), outcome, json(outputs)?, failure, ms(self.limits().keep_tasks)]);
        self.write_durably(Verb::Finish, args).await
    }

    /// Gives a task back uncounted or (`lost`) counted as lost under its instance: it keeps its place. Poison after two losses.
    pub async fn requeue(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        lost: bool,
        reason: &str,
    ) -> Result<Written> {
        self.give_back(lease, task, attempt, lost.then_some(reason), &[]).await
    }

    /// Gives a task back uncounted, to be run from now on by these alone, and by those that come to have what it needs later.
    pub async fn leave_to(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        others: &[InstanceId],
    ) -> Result<Written> {
        self.give_back(lease, task, attempt, None, others).await
    }

    async fn give_back(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        lost: Option<&str>,
        only: &[InstanceId],
    ) -> Result<Written> {
        let reason = lost.unwrap_or_default();
        let message = format!("{LOSSES_MAX} instances died while they ran this task; the last: {reason}");
        let mut args = fence(lease, task, attempt);
        args.extend([
            switch(lost.is_some()),
            number(LOSSES_MAX),
            json(&Failure::new(FailureKind::Poison, message))?,
            ms(self.limits().keep_tasks),
            json(&Failure::new(FailureKind::PromptLost, reason))?,
            intake::only(only).into(),
        ]);
        let reply = self.call(Verb::Requeue, args).await?;
        if reply.tag() == "poisoned" {
            metrics::task_ended("failed");
            return Ok(Written::AlreadyEnded(TaskState::Failed));
        }
        written(reply)
    }

    /// Frees the slot of a task that has ended or is owned elsewhere (after a cancel was carried out). One that is still
    /// active here gives [`Written::NotThisAttempt`] and keeps its slot: settle it.
    pub async fn release(&self, lease: &Lease, task: TaskId) -> Result<Written> {
        let args = vec![lease.instance.as_str().into(), lease.token.as_str().into(), task.to_string().into()];
        self.write(Verb::Release, args).await
    }

    /// After a failover that forgot the claim: takes the task back if it waits and nobody else has it.
    pub async fn reclaim(&self, lease: &Lease, task: TaskId, attempt: Attempt) -> Result<Written> {
        self.write(Verb::Reclaim, fence(lease, task, attempt)).await
    }

    pub(super) async fn write(&self, verb: Verb, args: Vec<Value>) -> Result<Written> {
        written(self.call(verb, args).await?)
    }

    async fn write_durably(&self, verb: Verb, args: Vec<Value>) -> Result<Written> {
        written(self.call_durably(verb, args).await?)
    }
}

pub(super) fn written(mut reply: Reply) -> Result<Written> {
    match reply.tag() {
        "done" => Ok(Written::Done),
        "retrying" => Ok(Written::Retrying),
        "ended" => Ok(Written::AlreadyEnded(reply.parse()?)),
        "not_this_attempt" => Ok(Written::NotThisAttempt),
        "fenced" => Ok(Written::Fenced),
        _ => Err(reply.unexpected()),
    }
}

/// What every write of an attempt carries.
pub(super) fn fence(lease: &Lease, task: TaskId, attempt: Attempt) -> Vec<Value> {
    vec![
        lease.instance.as_str().into(),
        lease.token.as_str().into(),
        task.to_string().into(),
        number(attempt.get().into()),
    ]
}

/// `id, attempt, payload, facts, attempts_max, owner, waited_ms`.
fn claim(reply: &mut Reply) -> Result<Claim> {
    let (task, attempt) = (reply.parse()?, Attempt::new(reply.parse()?));
    let packed = reply.value()?.into_bytes().ok_or_else(|| reply.unexpected())?;
    let facts: TaskFacts = serde_json::from_str(&reply.parse::<String>()?).map_err(|_| reply.unexpected())?;
    let (max_attempts, owner) = (reply.parse()?, reply.parse()?);
    let waited = Duration::from_millis(reply.parse()?);
    Ok(Claim {
        task,
        attempt,
        payload: payloads::unpack(&packed)?,
        timeout: timeout(&facts),
        max_attempts,
        owner,
        waited,
    })
}

fn timeout(facts: &TaskFacts) -> Option<Duration> {
    facts.timeout_ms.map(Duration::from_millis)
}

pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<Value> {
    serde_json::to_string(value).map(Value::from).map_err(|error| Error::Corrupt(error.to_string()))
}

/// The snake_case word of a kind: its JSON without the quotes.
fn word(kind: FailureKind) -> Result<Value> {
    let json = serde_json::to_string(&kind).map_err(|error| Error::Corrupt(error.to_string()))?;
    Ok(json.trim_matches('"').into())
}
