//! One attempt's life: inputs up, prompt submitted, followed, outputs stored, settled. Each stage is a file beside this one.

use super::{
    attach::{self, Found},
    collect, follow, inputs,
    instance::{Ears, Instance},
    lease_clock::since_boot,
    submit,
};
use crate::{
    comfy::{Ending, Sighting, Verdict},
    graph::Workflow,
    metrics,
    queue::{Claim, Result, Written},
    task::{Attempt, Failure, FailureKind, Outcome, TaskId},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use uuid::Uuid;

/// Pauses while Redis does not answer: first and longest.
const REDIS_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Pauses between two requests to drop a prompt: first and longest.
const CANCEL_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A prompt that we interrupt must be gone within this, or the instance counts as stuck.
const OBEY_WITHIN: Duration = Duration::from_secs(10);

/// An attempt to be run under an actor.
pub(super) struct Run {
    task: TaskId,
    attempt: Attempt,
    /// `None`: in flight already, to be found.
    claim: Option<Box<Claim>>,
}

/// How a run ended, for its actor.
pub(super) enum RunEnd {
    /// Its slot is free, or another process will see to it.
    Ended,
    /// Drop everything of this instance.
    LeaseLost,
}

/// Why a stage did not reach its end.
pub(super) enum Exit {
    /// The task is not ours to run any more: see that the prompt is gone, then free the slot.
    NotOurs,
    /// Drop everything.
    LeaseLost,
    /// The attempt failed.
    Failed {
        /// Why.
        failure: Box<Failure>,
        /// Whether it speaks against the instance.
        blames_instance: bool,
    },
    /// The prompt vanished with its instance (or from its queue).
    Lost {
        /// Execution had begun: counted towards poison.
        had_begun: bool,
        /// Why.
        reason: String,
    },
}

impl Exit {
    /// A failure that is the instance's fault.
    pub(super) fn infrastructure(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::Failed { failure: Box::new(Failure::new(kind, message)), blames_instance: true }
    }

    /// A failure that is not the instance's fault.
    pub(super) fn failed(failure: Failure) -> Self {
        Self::Failed { failure: Box::new(failure), blames_instance: false }
    }
}

/// What every stage knows.
pub(super) struct Scene {
    pub(super) instance: Arc<Instance>,
    pub(super) claim: Claim,
    pub(super) prompt: Uuid,
    pub(super) ears: Ears,
    /// When its execution began, as far as this process saw.
    pub(super) begun: Option<tokio::time::Instant>,
}

impl Run {
    /// A task just claimed.
    pub(super) fn fresh(claim: Claim) -> Self {
        Self { task: claim.task, attempt: claim.attempt, claim: Some(Box::new(claim)) }
    }

    /// A task that was in flight before.
    pub(super) fn attach(task: TaskId, attempt: Attempt) -> Self {
        Self { task, attempt, claim: None }
    }

    pub(super) fn task(&self) -> TaskId {
        self.task
    }

    pub(super) fn prompt(&self) -> Uuid {
        self.task.prompt_id(self.attempt)
    }

    /// Runs it to its end.
    pub(super) async fn run(self, instance: Arc<Instance>, ears: Ears) -> RunEnd {
        let prompt = self.prompt();
        let (claim, attached) = match self.claim {
            Some(claim) => (*claim, None),
            None => match attach::find(&instance, self.task, self.attempt).await {
                Found::Ours { claim, begun_at } => (*claim, Some(begun_at)),
                Found::NotOurs => {
                    clear(&instance, prompt).await;
                    return release(&instance, self.task).await;
                }
            },
        };
        let mut scene = Scene { instance, claim, prompt, ears, begun: None };
        let ended = match scene.reach_end(attached).await {
            Ok(ending) => Box::pin(scene.take_outcome(ending)).await,
            Err(exit) => Err(exit),
        };
        match ended {
            Ok(end) => end,
            Err(exit) => scene.leave(exit).await,
        }
    }
}

impl Scene {
    /// Submits (unless the prompt is at the instance already) and follows.
    ///
    /// `attached`: in flight before; inside, how far its execution was known to be.
    async fn reach_end(&mut self, attached: Option<Option<u8>>) -> Result<Ending, Exit> {
        let begun_at = attached.flatten();
        let is_there = match attached {
            None => false,
            Some(_) => match self.find_prompt().await? {
                Sighting::Unknown if begun_at.is_some() => {
                    let reason = "the instance forgot the prompt while nobody looked".to_owned();
                    return Err(Exit::Lost { had_begun: true, reason });
                }
                Sighting::Unknown => false,
                Sighting::Pending | Sighting::Running | Sighting::Ended(_) => {
                    metrics::task_reclaimed();
                    true
                }
            },
        };
        if !is_there {
            let workflow = self.ready_workflow().await?;
            submit::submit(self, &workflow).await?;
        }
        follow::follow(self, begun_at).await
    }

    /// After a takeover: where the prompt is. A request of the former owner may still be on its way, so "unknown" is believed
    /// only after one HTTP timeout.
    async fn find_prompt(&mut self) -> Result<Sighting, Exit> {
        let sighting = submit::look_until_answered(self).await?;
        if !matches!(sighting, Sighting::Unknown) {
            return Ok(sighting);
        }
        tokio::time::sleep_until(self.instance.quarantine_until).await;
        submit::look_until_answered(self).await
    }

    /// The graph for this attempt: inputs uploaded, prefixes its own.
    async fn ready_workflow(&mut self) -> Result<Workflow, Exit> {
        let Some(mut workflow) = Workflow::from_stored(&self.claim.payload.workflow) else {
            let failure = Failure::new(FailureKind::InvalidWorkflow, "the stored workflow cannot be read");
            return Err(Exit::failed(failure));
        };
        inputs::upload(self, &mut workflow).await?;
        // A second try must not be answered from the cache with files that are gone.
        let nonce = (self.claim.attempt.get() > 1).then(|| self.prompt.to_string());
        workflow.isolate(&self.claim.task.to_string(), nonce.as_deref());
        Ok(workflow)
    }

    /// The prompt has left the instance: the next task may start while this one's outputs are stored.
    async fn take_outcome(&mut self, ending: Ending) -> Result<RunEnd, Exit> {
        *super::instance::lock(&self.instance.idle_since) = Some(tokio::time::Instant::now());
        let _collecting = Collecting::begin(&self.instance);
        let outcome = match ending.verdict {
            Verdict::Success => {
                let outputs = collect::collect(self, ending.outputs).await?;
                self.instance.health().run_succeeded();
                Outcome::Completed(outputs)
            }
            Verdict::Failed(failure) => {
                if failure.kind == FailureKind::OutOfMemory && self.instance.clock.may_act() {
                    // Best effort: the next prompt of this instance should find its memory free.
                    if let Err(error) = self.instance.client.free().await {
                        tracing::debug!(instance = %self.instance.target.id, %error, "memory could not be freed");
                    }
                } else {
                    self.instance.health().run_succeeded();
                }
                Outcome::Failed { failure, outputs: collect::collect_some(self, ending.outputs).await }
            }
            Verdict::Interrupted => {
                let failure =
                    Failure::new(FailureKind::Interrupted, "somebody else interrupted the prompt at the instance");
                return Err(Exit::failed(failure));
            }
        };
        let end = self.settle(&outcome).await;
        if let Err(error) = self.instance.client.forget(self.prompt).await {
            tracing::debug!(instance = %self.instance.target.id, %error, "the history entry stays");
        }
        Ok(end)
    }

    async fn leave(&mut self, exit: Exit) -> RunEnd {
        let task = self.claim.task;
        match exit {
            Exit::LeaseLost => RunEnd::LeaseLost,
            Exit::NotOurs => {
                clear(&self.instance, self.prompt).await;
                release(&self.instance, task).await
            }
            Exit::Failed { failure, blames_instance } => {
                if blames_instance {
                    self.instance.health().run_failed(&failure.message, since_boot());
                    self.instance.check_now.notify_one();
                }
                self.settle(&Outcome::Failed { failure: *failure, outputs: Vec::new() }).await
            }
            Exit::Lost { had_begun, reason } => {
                tracing::warn!(instance = %self.instance.target.id, %task, attempt = %self.claim.attempt, reason, "prompt lost");
                self.instance.check_now.notify_one();
                if !had_begun {
                    let failure = Failure::new(FailureKind::PromptLost, reason);
                    return self.settle(&Outcome::Failed { failure, outputs: Vec::new() }).await;
                }
                metrics::attempt_ended("lost");
                let written = until_answered(|| {
                    self.instance.queue().requeue(&self.instance.lease, task, self.claim.attempt, true, &reason)
                });
                end_of(written.await)
            }
        }
    }

    async fn settle(&self, outcome: &Outcome) -> RunEnd {
        let (task, attempt) = (self.claim.task, self.claim.attempt);
        let written =
            until_answered(|| self.instance.queue().settle(&self.instance.lease, task, attempt, outcome)).await;
        let word = match outcome {
            Outcome::Completed(_) => "completed",
            Outcome::Failed { failure, .. } => failure.kind.as_str(),
        };
        metrics::attempt_ended(word);
        if written == Written::Done {
            metrics::task_ended(if matches!(outcome, Outcome::Completed(_)) { "completed" } else { "failed" });
            if let Some(begun) = self.begun {
                metrics::task_ran(begun.elapsed());
            }
        }
        match outcome {
            Outcome::Completed(outputs) => {
                tracing::info!(instance = %self.instance.target.id, %task, %attempt, outputs = outputs.len(), ?written, "completed");
            }
            Outcome::Failed { failure, .. } => {
                tracing::warn!(instance = %self.instance.target.id, %task, %attempt, kind = word, error = failure.message, ?written, "attempt failed");
            }
        }
        end_of(written)
    }
}

/// Counts an attempt as storing outputs for as long as it lives.
struct Collecting(Arc<Instance>);

impl Collecting {
    fn begin(instance: &Arc<Instance>) -> Self {
        instance.collecting.fetch_add(1, Ordering::Relaxed);
        instance.changed.notify_one();
        Self(instance.clone())
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.0.collecting.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

/// Repeats a verb until Redis answers: all of them are idempotent. Ends with the actor otherwise.
pub(super) async fn until_answered<T, F: Future<Output = Result<T>>>(mut verb: impl FnMut() -> F) -> T {
    let mut pause = REDIS_PAUSES.0;
    loop {
        match verb().await {
            Ok(answer) => return answer,
            Err(error) => {
                tracing::warn!(%error, "trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(REDIS_PAUSES.1);
            }
        }
    }
}

fn end_of(written: Written) -> RunEnd {
    match written {
        Written::Fenced => RunEnd::LeaseLost,
        Written::Done | Written::Retrying | Written::AlreadyEnded(_) | Written::NotThisAttempt => RunEnd::Ended,
    }
}

async fn release(instance: &Instance, task: TaskId) -> RunEnd {
    end_of(until_answered(|| instance.queue().release(&instance.lease, task)).await)
}

/// Asks the instance to drop the prompt until it is gone. An interrupt can be lost, and a node need not look at it; an
/// instance that keeps the prompt for long is marked as stuck and gets nothing new meanwhile.
pub(super) async fn clear(instance: &Instance, prompt: Uuid) {
    let begun = tokio::time::Instant::now();
    let mut pause = CANCEL_PAUSES.0;
    let mut is_reported = false;
    loop {
        if instance.clock.may_act() {
            match cancel_and_look(instance, prompt).await {
                Ok(Sighting::Unknown | Sighting::Ended(_)) => return,
                Ok(Sighting::Pending | Sighting::Running) => {}
                // An instance that is down has nothing running; it is asked again when it is back.
                Err(_) if !instance.health().is_alive() => return instance.remember_stray(prompt),
                Err(error) => {
                    tracing::debug!(instance = %instance.target.id, %error, "the prompt could not be dropped yet")
                }
            }
        }
        if !is_reported && begun.elapsed() > OBEY_WITHIN {
            is_reported = true;
            instance
                .health()
                .stuck("a prompt does not react to its interrupt: restart the instance if this lasts", since_boot());
            instance.check_now.notify_one();
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(CANCEL_PAUSES.1);
    }
}

async fn cancel_and_look(instance: &Instance, prompt: Uuid) -> Result<Sighting, crate::comfy::Error> {
    instance.client.cancel(prompt).await?;
    instance.client.look(prompt).await
}
