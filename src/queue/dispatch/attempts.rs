//! Verbs of an attempt: claim, start, progress, settle, requeue, release, reclaim. Every write carries (instance,
//! token, attempt), so that Lua can refuse a stale one.

use super::retry_delay;
use crate::{
    metrics,
    queue::{
        Claim, Claimed, Error, FileRecord, Lease, Queue, Result, SettleFacts, SharedObject, Written, compression,
        files,
        redis::{
            script_call::{Reply, ms, number, switch},
            scripts::Verb,
        },
        tasks::{enqueue_batcher, task_hash::Fields},
    },
    task::{Attempt, Failure, FailureKind, InstanceId, Outcome, Output, Progress, Task, TaskFacts, TaskId, TaskState},
};
use fred::types::Value;
use serde::Serialize;
use std::time::Duration;

/// Number of lost instances after which a task fails as poison: a workflow that kills its instance kills no more than
/// this many.
const LOSSES_MAX: u64 = 2;
/// Number of arguments that `progress.lua` reads for each attempt.
const PROGRESS_FIELDS: u64 = 6;

/// The progress of one attempt, for [`Queue::progress_of_many`].
#[derive(Debug)]
pub struct ProgressOf<'a> {
    /// Lease of the instance.
    pub lease: &'a Lease,
    /// The task.
    pub task: TaskId,
    /// Its attempt.
    pub attempt: Attempt,
    /// The progress.
    pub progress: &'a Progress,
    /// Time since the start of its run, for a start that was not recorded before.
    pub ran: Duration,
}

impl Queue {
    /// Claims one task for the instance while fewer than `slots` are in flight. `nonce` is new for each intent: a call
    /// repeated with the same nonce claims once. Searches the first `window` tasks of a lane for one that does not
    /// exclude this instance.
    pub async fn claim(&self, lease: &Lease, nonce: &str, slots: u32, window: u32) -> Result<Claimed> {
        let args: Vec<Value> = vec![
            lease.instance.as_str().into(),
            lease.token.as_str().into(),
            nonce.into(),
            number(slots.into()),
            number(window.max(1).into()),
        ];
        let mut reply = match self.call(Verb::Claim, args).await {
            // Claims rest; the memory is watched, and reported once, by its own task.
            Err(Error::MemoryFull(_)) => return Ok(Claimed::Nothing),
            reply => reply?,
        };
        match reply.tag() {
            "task" => claim(&mut reply).map(|claim| Claimed::Task(Box::new(claim))),
            // The next renew reports a lost lease; until then there is nothing to run.
            "nothing" | "fenced" => Ok(Claimed::Nothing),
            _ => Err(reply.unexpected()),
        }
    }

    /// Reads the claim of a task in flight again, after a takeover. `None` if the task no longer belongs to this
    /// attempt.
    pub async fn read_claim(&self, task: TaskId, attempt: Attempt) -> Result<Option<Claim>> {
        let mut reply = self.call(Verb::TaskGet, vec![task.to_string().into()]).await?;
        let Some(fields) = Fields::new(task, reply.list()?) else { return Ok(None) };
        if !fields.is_active(attempt)? {
            return Ok(None);
        }
        let Some(payload) = self.payload(task).await? else { return Ok(None) };
        let facts = fields.facts()?;
        let (timeout, max_attempts) = (timeout(&facts), fields.attempts_max()?);
        let (owner, waited) = fields.owner_and_wait()?;
        let node_times = self.node_times(facts.workflow_hash.as_deref()).await?;
        let keys = fields.keys();
        let workflow_name = facts.workflow.map(|workflow| workflow.name);
        Ok(Some(Claim {
            task,
            attempt,
            payload,
            timeout,
            max_attempts,
            owner,
            waited,
            workflow_name,
            node_times,
            keys,
        }))
    }

    async fn node_times(&self, workflow_hash: Option<&str>) -> Result<String> {
        let Some(hash) = workflow_hash else { return Ok(String::new()) };
        let args = vec![self.root().run_times(hash).into(), "nodes".into()];
        let known: Option<String> = self.command("HGET", args).await?;
        Ok(known.unwrap_or_default())
    }

    /// Returns once the claim of an attempt is as durable as an acknowledged task, so that its prompt may be submitted.
    /// Answers at once if a reply of Redis is confirmation enough.
    pub async fn confirm_claim(&self, lease: &Lease, task: TaskId, attempt: Attempt) -> Result<Written> {
        let Some(durable) = self.claims_durably() else { return Ok(Written::Done) };
        written(durable.call(&self.inner.caller, Verb::CheckClaim, fence(lease, task, attempt)).await?)
    }

    /// Returns the running time of a task by Redis' clock; zero if it is not running.
    pub async fn running_time(&self, task: &Task) -> Result<Duration> {
        let Some(started_ms) = task.started_ms else { return Ok(Duration::ZERO) };
        let now_ms: u64 = self.call(Verb::Clock, Vec::new()).await?.parse()?;
        Ok(Duration::from_millis(now_ms.saturating_sub(started_ms)))
    }

    /// Records that execution began.
    pub async fn start(&self, lease: &Lease, task: TaskId, attempt: Attempt) -> Result<Written> {
        self.write(Verb::Start, fence(lease, task, attempt)).await
    }

    /// Records the attempt's progress. Also records the start if it was not recorded before.
    pub async fn progress(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        progress: &Progress,
    ) -> Result<Written> {
        let one = ProgressOf { lease, task, attempt, progress, ran: Duration::ZERO };
        let written = self.progress_of_many(&[one]).await?.pop();
        written.ok_or_else(|| Error::Corrupt("progress.lua: no reply".to_owned()))?
    }

    /// Records the progress of several attempts in one call. Returns an answer for each, in order; one may fail without
    /// the others.
    pub async fn progress_of_many(&self, attempts: &[ProgressOf<'_>]) -> Result<Vec<Result<Written>>> {
        let mut args = vec![number(PROGRESS_FIELDS)];
        for one in attempts {
            args.extend(fence(one.lease, one.task, one.attempt));
            args.extend([json(one.progress)?, ms(one.ran)]);
        }
        let mut reply = self.call(Verb::Progress, args).await?;
        let replies = reply.independent_replies()?;
        if replies.len() == attempts.len() {
            Ok(replies.into_iter().map(|reply| reply.and_then(written)).collect())
        } else {
            Err(reply.unexpected())
        }
    }

    /// Ends the attempt (`finish.lua` or `nack.lua`): the task completes, fails, or is retried with backoff and jitter
    /// on another instance. Frees the slot.
    pub async fn settle(&self, lease: &Lease, task: TaskId, attempt: Attempt, outcome: &Outcome) -> Result<Written> {
        let facts = SettleFacts::default();
        self.settle_with_files(lease, task, attempt, (outcome, facts), &[]).await.map(|(written, _)| written)
    }

    /// Like [`Queue::settle`], and records the facts. Registers `files` if the task ends by this call: outputs that are
    /// stored but not registered yet. Those of an attempt that may be retried must be registered before.
    pub async fn settle_with_files(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        (outcome, facts): (&Outcome, SettleFacts<'_>),
        files: &[FileRecord],
    ) -> Result<(Written, Vec<SharedObject>)> {
        let args = fence(lease, task, attempt);
        match outcome {
            Outcome::Completed(outputs) => {
                self.finish(args, ("completed", "completed".into()), outputs, None, (facts, files)).await
            }
            Outcome::Failed { failure, outputs } if facts.is_final || !failure.kind.retryable() => {
                let state = ("failed", kind_word(failure.kind)?);
                self.finish(args, state, outputs, Some(failure), (facts, files)).await
            }
            Outcome::Failed { failure, outputs } => {
                let retried = self.retry(lease, task, attempt, (failure, outputs), &[]);
                Ok((retried.await?, Vec::new()))
            }
        }
    }

    /// Ends an attempt that is retried while attempts are left (`nack.lua`). The next one waits for an instance of
    /// `prefers` for ten minutes, while one of them is leased.
    pub async fn retry(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        (failure, outputs): (&Failure, &[Output]),
        prefers: &[InstanceId],
    ) -> Result<Written> {
        let pause = retry_delay::pause(attempt, retry_delay::random_share());
        let mut args = fence(lease, task, attempt);
        args.extend([
            kind_word(failure.kind)?,
            json(outputs)?,
            json(failure)?,
            ms(pause),
            ms(self.limits().keep_tasks),
        ]);
        args.push(enqueue_batcher::only(prefers).into());
        written(self.call_durably(Verb::Nack, args).await?)
    }

    async fn finish(
        &self,
        mut args: Vec<Value>,
        (state, outcome): (&'static str, Value),
        outputs: &[Output],
        failure: Option<&Failure>,
        (facts, files): (SettleFacts<'_>, &[FileRecord]),
    ) -> Result<(Written, Vec<SharedObject>)> {
        let failure = failure.map_or_else(|| Ok("".into()), json)?;
        args.extend([state.into(), outcome, json(outputs)?, failure, ms(self.limits().keep_tasks)]);
        args.push(if facts.warnings.is_empty() { "".into() } else { json(facts.warnings)? });
        args.push(facts.node_times.into());
        args.extend(files::arguments(files)?);
        let mut reply = self.call_durably(Verb::Finish, args).await?;
        let shared = if reply.tag() == "done" { files::shared_objects(files, &mut reply)? } else { Vec::new() };
        Ok((written(reply)?, shared))
    }

    /// Returns a task to its place in the queue without using an attempt. If `lost`, counts the loss of its instance; the
    /// second loss fails the task as poison.
    pub async fn requeue(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        lost: bool,
        reason: &str,
    ) -> Result<Written> {
        self.requeue_with(lease, task, attempt, lost.then_some(reason), &[]).await
    }

    /// Returns a task to the queue without using an attempt, restricted to the instances `others`. Instances that meet
    /// its requirements later are added by [`Queue::admit`].
    pub async fn restrict_to(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        others: &[InstanceId],
    ) -> Result<Written> {
        self.requeue_with(lease, task, attempt, None, others).await
    }

    async fn requeue_with(
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
            enqueue_batcher::only(only).into(),
        ]);
        let reply = self.call(Verb::Requeue, args).await?;
        if reply.tag() == "poisoned" {
            metrics::task_ended("failed");
            return Ok(Written::AlreadyEnded(TaskState::Failed));
        }
        written(reply)
    }

    /// Frees the slot of a task that has ended or runs elsewhere, after a cancel was carried out. A task that is still
    /// active here gives [`Written::NotThisAttempt`] and keeps its slot: settle it.
    pub async fn release(&self, lease: &Lease, task: TaskId) -> Result<Written> {
        let args = vec![lease.instance.as_str().into(), lease.token.as_str().into(), task.to_string().into()];
        self.write(Verb::FreeSlot, args).await
    }

    /// Claims the task again under the same attempt after a Redis failover lost the claim, provided the task is
    /// waiting.
    pub async fn reclaim(&self, lease: &Lease, task: TaskId, attempt: Attempt) -> Result<Written> {
        self.write(Verb::RestoreClaim, fence(lease, task, attempt)).await
    }

    pub(crate) async fn write(&self, verb: Verb, args: Vec<Value>) -> Result<Written> {
        written(self.call(verb, args).await?)
    }
}

pub(crate) fn written(mut reply: Reply) -> Result<Written> {
    match reply.tag() {
        "done" => Ok(Written::Done),
        "retrying" => Ok(Written::Retrying),
        "ended" => Ok(Written::AlreadyEnded(reply.parse()?)),
        "not_this_attempt" => Ok(Written::NotThisAttempt),
        "fenced" => Ok(Written::Fenced),
        _ => Err(reply.unexpected()),
    }
}

/// Returns the arguments that fence every write of an attempt: instance, token, task, attempt.
pub(crate) fn fence(lease: &Lease, task: TaskId, attempt: Attempt) -> Vec<Value> {
    vec![
        lease.instance.as_str().into(),
        lease.token.as_str().into(),
        task.to_string().into(),
        number(attempt.get().into()),
    ]
}

/// Parses `id, attempt, payload, facts, attempts_max, owner, waited_ms, node_times, keys`.
fn claim(reply: &mut Reply) -> Result<Claim> {
    let (task, attempt) = (reply.parse()?, Attempt::new(reply.parse()?));
    let packed = reply.value()?.into_bytes().ok_or_else(|| reply.unexpected())?;
    let facts: TaskFacts = serde_json::from_str(&reply.parse::<String>()?).map_err(|_| reply.unexpected())?;
    let (max_attempts, owner) = (reply.parse()?, reply.parse()?);
    let waited = Duration::from_millis(reply.parse()?);
    Ok(Claim {
        task,
        attempt,
        payload: compression::unpack(&packed)?,
        timeout: timeout(&facts),
        max_attempts,
        owner,
        waited,
        workflow_name: facts.workflow.map(|workflow| workflow.name),
        node_times: reply.parse()?,
        keys: Some(reply.parse::<String>()?).filter(|keys| !keys.is_empty()),
    })
}

fn timeout(facts: &TaskFacts) -> Option<Duration> {
    facts.timeout_ms.map(Duration::from_millis)
}

pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<Value> {
    serde_json::to_string(value).map(Value::from).map_err(|error| Error::Corrupt(error.to_string()))
}

/// Returns the snake_case word of a kind: its JSON without the quotes.
fn kind_word(kind: FailureKind) -> Result<Value> {
    let json = serde_json::to_string(&kind).map_err(|error| Error::Corrupt(error.to_string()))?;
    Ok(json.trim_matches('"').into())
}
