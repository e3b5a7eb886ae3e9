//! Runs an attempt from start to end: upload inputs, submit the prompt, follow it, store its outputs, settle the task. Each
//! stage is a file beside this one.

use super::{
    cancel_prompt::cancel_prompt,
    context::{AttemptContext, RedisCall, StageError, until_answered},
    follow::{self, Finished},
    inputs::{self, CachedInput},
    outputs::{early_outputs::EarlyCollector, final_outputs},
    recover::{self, Origin, Recovered},
    reroute,
    spans::Spans,
    submit,
};
use crate::{
    clock::since_boot,
    comfy::{PromptOutcome, PromptStatus},
    dispatcher::instance::{
        reattach::take_back,
        state::{AttemptSignals, Instance, RunEnd, lock},
    },
    graph::Workflow,
    metrics,
    queue::{Claim, Written},
    task::{Attempt, Failure, FailureKind, Outcome, TaskId},
};
use std::sync::{Arc, atomic::Ordering};
use tokio::time::Instant;
use uuid::Uuid;

/// An attempt to be run by an actor.
pub(crate) struct Run {
    task: TaskId,
    attempt: Attempt,
    /// The claim; `None` if the attempt was in flight already and must be recovered.
    claim: Option<Box<Claim>>,
}

impl Run {
    /// A run of a task claimed just now.
    pub(crate) fn fresh(claim: Claim) -> Self {
        Self { task: claim.task, attempt: claim.attempt, claim: Some(Box::new(claim)) }
    }

    /// A run of an attempt that was in flight before.
    pub(crate) fn attach(task: TaskId, attempt: Attempt) -> Self {
        Self { task, attempt, claim: None }
    }

    /// Starts the run under the instance's actor.
    pub(crate) fn spawn(self, instance: &Arc<Instance>) {
        let (task, prompt) = (self.task, self.prompt());
        instance.spawn(task, self.attempt, prompt, |instance, signals| self.run(instance, signals));
    }

    fn prompt(&self) -> Uuid {
        self.task.prompt_id(self.attempt)
    }

    async fn run(self, instance: Arc<Instance>, signals: AttemptSignals) -> RunEnd {
        let (prompt, since) = (self.prompt(), Instant::now());
        let (claim, origin) = match self.claim {
            Some(claim) => (*claim, Origin::Claimed),
            None => match recover::recover(&instance, self.task, self.attempt).await {
                Recovered::Ours { claim, origin } => (*claim, origin),
                Recovered::NotOurs => {
                    if instance.activity.quarantine_until > Instant::now() {
                        // A request of the former owner may still be on its way.
                        instance.remember_orphan(prompt).await;
                    }
                    cancel_prompt(&instance, prompt).await;
                    return release(&instance, self.task, self.attempt).await;
                }
            },
        };
        let is_recovered = !matches!(origin, Origin::Claimed);
        let context = AttemptContext {
            spans: Spans::begin(&instance, &claim, is_recovered),
            workflow: Workflow::from_stored(&claim.payload.workflow),
            instance,
            claim,
            prompt,
            signals,
            since,
            may_have_copy: is_recovered,
        };
        Box::pin(context.run(origin)).await
    }
}

impl AttemptContext {
    async fn run(mut self, origin: Origin) -> RunEnd {
        let recorded = match &origin {
            Origin::Executing(prior) => prior.outputs.clone(),
            Origin::Claimed | Origin::InFlight => Vec::new(),
        };
        let mut early = EarlyCollector::start(self.output_store(), recorded);
        let ended = match Box::pin(self.execute(origin, &early)).await {
            Ok(executed) => Box::pin(self.take_outcome(executed, &mut early)).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(end) => end,
            Err(error) => self.end_early(error, &mut early).await,
        }
    }

    /// Submits the prompt, unless the instance has it already, and follows it to its end.
    async fn execute(&mut self, origin: Origin, early: &EarlyCollector) -> Result<Executed, StageError> {
        let (is_submitted, prior) = match origin {
            Origin::Claimed => (false, None),
            Origin::InFlight => (self.is_at_instance(false).await?, None),
            Origin::Executing(prior) => (self.is_at_instance(true).await?, Some(prior)),
        };
        let cached = if is_submitted {
            metrics::task_reclaimed();
            self.spans.enter_run(&self.instance, self.prompt);
            Vec::new()
        } else {
            self.submit().await?
        };
        let finished = Box::pin(follow::follow(self, prior, early)).await?;
        Ok(Executed { finished, cached })
    }

    /// Whether the prompt of a recovered attempt is at the instance.
    async fn is_at_instance(&mut self, had_begun: bool) -> Result<bool, StageError> {
        match self.find_prompt().await? {
            PromptStatus::Unknown if had_begun => {
                let reason = "the instance lost the prompt before the takeover".to_owned();
                Err(StageError::PromptLost { had_begun, reason })
            }
            PromptStatus::Unknown => Ok(false),
            PromptStatus::Pending | PromptStatus::Running | PromptStatus::Ended(_) => Ok(true),
        }
    }

    /// Uploads the inputs and submits the prompt. Returns the inputs that were not uploaded because the cache listed them.
    ///
    /// If the instance refuses the prompt because of such an input, the input is uploaded and the prompt submitted once
    /// more, provided that nothing of the first submission is at the instance.
    async fn submit(&mut self) -> Result<Vec<CachedInput>, StageError> {
        let (cached, mut refusal) = match self.upload_and_submit().await? {
            Submission::Accepted(cached) => return Ok(cached),
            Submission::Refused(cached, failure) => (cached, failure),
        };
        let is_missing =
            refusal.kind == FailureKind::InvalidWorkflow && inputs::forget_refused(self, &cached, &refusal);
        if is_missing && matches!(submit::look_until_answered(self).await?, PromptStatus::Unknown) {
            let (task, attempt) = (self.claim.task, self.claim.attempt);
            tracing::warn!(instance = %self.instance.target.id, %task, %attempt, error = refusal.message, "cached input is missing at the instance; uploading again");
            refusal = match self.upload_and_submit().await? {
                Submission::Accepted(cached) => return Ok(cached),
                Submission::Refused(_, failure) => failure,
            };
        }
        Err(Box::pin(reroute::on_refusal(self, *refusal)).await)
    }

    async fn upload_and_submit(&mut self) -> Result<Submission, StageError> {
        let (workflow, cached) = self.ready_workflow().await?;
        match submit::submit(self, &workflow).await {
            Ok(()) => Ok(Submission::Accepted(cached)),
            Err(StageError::Failed { failure, blames_instance: false }) => Ok(Submission::Refused(cached, failure)),
            Err(error) => Err(error),
        }
    }

    /// Finds the prompt after a takeover. A POST of the former owner may still be on its way, so "unknown" is believed only
    /// after one HTTP timeout.
    async fn find_prompt(&mut self) -> Result<PromptStatus, StageError> {
        let sighting = submit::look_until_answered(self).await?;
        if !matches!(sighting, PromptStatus::Unknown) {
            return Ok(sighting);
        }
        tokio::select! {
            () = tokio::time::sleep_until(self.instance.activity.quarantine_until) => {}
            () = self.signals.cancelled.cancelled() => return Err(submit::cancelled_in_doubt(self).await),
        }
        submit::look_until_answered(self).await
    }

    /// Returns the graph to submit, with uploaded inputs and output prefixes of its own, and the inputs found in the cache.
    async fn ready_workflow(&mut self) -> Result<(Workflow, Vec<CachedInput>), StageError> {
        let Some(mut workflow) = self.workflow.clone() else {
            let failure = Failure::new(FailureKind::InvalidWorkflow, "the stored workflow cannot be read");
            return Err(StageError::failed(failure));
        };
        let cached = inputs::upload(self, &mut workflow).await?;
        // ComfyUI must not answer a second attempt from its cache with files that are gone.
        let nonce = (self.claim.attempt.get() > 1).then(|| self.prompt.to_string());
        workflow.isolate(&self.claim.task.to_string(), nonce.as_deref());
        Ok((workflow, cached))
    }

    /// Stores the outputs and settles the task. The prompt has left the instance, so the next task may start meanwhile.
    async fn take_outcome(&mut self, executed: Executed, early: &mut EarlyCollector) -> Result<RunEnd, StageError> {
        let Executed { finished: Finished { ending, began }, cached } = executed;
        *lock(&self.instance.activity.idle_since) = Some(Instant::now());
        self.spans.enter_collect(&ending.outcome);
        let _collecting = Collecting::begin(&self.instance);
        let stored = early.finish().await;
        let store = self.output_store();
        let (outcome, fresh, replaced) = match ending.outcome {
            PromptOutcome::Success => {
                let collected = final_outputs::collect(&store, &ending.outputs, stored).await?;
                self.instance.health().run_succeeded();
                (Outcome::Completed(collected.outputs), collected.fresh, collected.replaced)
            }
            PromptOutcome::Failed(failure) if inputs::forget_unfound(self, &cached, &failure) => {
                self.forget_prompt().await;
                return Err(StageError::InputMissing { reason: failure.message });
            }
            PromptOutcome::Failed(failure) => {
                self.after_failed_run(&failure).await;
                let collected = final_outputs::collect_some(&store, &ending.outputs, stored).await;
                let outcome = Outcome::Failed { failure, outputs: collected.outputs };
                (outcome, collected.fresh, collected.replaced)
            }
            PromptOutcome::Interrupted => {
                let message = "another client interrupted the prompt at the instance";
                let failure = Failure::new(FailureKind::Interrupted, message);
                return Err(StageError::failed(failure));
            }
        };
        let written = self.settle(&outcome, began).await;
        // After a cancel, a timeout, a takeover or a retry the task never names the files stored last.
        store.discard(if written == Written::Done { &replaced } else { &fresh }).await;
        self.forget_prompt().await;
        Ok(end_of(written))
    }

    /// Frees the instance's memory if it ran out; any other failure of a node speaks for a working instance.
    async fn after_failed_run(&self, failure: &Failure) {
        if failure.kind == FailureKind::OutOfMemory && self.instance.clock.may_act() {
            // Best effort: the next prompt of this instance should find its memory free.
            if let Err(error) = self.instance.client.free_memory().await {
                tracing::debug!(instance = %self.instance.target.id, %error, "instance memory not freed");
            }
        } else {
            self.instance.health().run_succeeded();
        }
    }

    async fn forget_prompt(&self) {
        if let Err(error) = self.instance.client.delete_history(self.prompt).await {
            tracing::debug!(instance = %self.instance.target.id, prompt = %self.prompt, %error, "history entry not deleted");
        }
    }

    /// Ends an attempt whose stages did not all complete.
    async fn end_early(&mut self, error: StageError, early: &mut EarlyCollector) -> RunEnd {
        let (task, attempt) = (self.claim.task, self.claim.attempt);
        self.spans.leave(&error);
        let outputs = early.stop().await.to_outputs();
        match error {
            StageError::LeaseLost => RunEnd::LeaseLost,
            StageError::NotOurs => {
                cancel_prompt(&self.instance, self.prompt).await;
                release(&self.instance, task, attempt).await
            }
            StageError::Failed { failure, blames_instance } => {
                if blames_instance {
                    self.blame_instance(&failure.message);
                }
                end_of(self.settle(&Outcome::Failed { failure: *failure, outputs }, None).await)
            }
            StageError::InputMissing { reason } => {
                tracing::warn!(instance = %self.instance.target.id, %task, %attempt, reason, "cached input is missing at the instance; task requeued");
                metrics::attempt_ended("released");
                self.requeue(false, &reason).await
            }
            StageError::Unsuitable { others, reason } => {
                tracing::warn!(instance = %self.instance.target.id, %task, %attempt, reason, ?others, "instance cannot run the workflow; task left to other instances");
                metrics::attempt_ended("released");
                let restrict_to = || self.instance.queue().restrict_to(&self.instance.lease, task, attempt, &others);
                end_of(until_answered(self.call("restrict_to"), restrict_to).await)
            }
            StageError::PromptLost { had_begun, reason } => {
                tracing::warn!(instance = %self.instance.target.id, %task, %attempt, had_begun, reason, "prompt lost");
                // One loss says little; an instance that loses every prompt must not run through the whole queue.
                self.blame_instance(&reason);
                if !had_begun {
                    let failure = Failure::new(FailureKind::PromptLost, reason);
                    return end_of(self.settle(&Outcome::Failed { failure, outputs }, None).await);
                }
                metrics::attempt_ended("lost");
                self.requeue(true, &reason).await
            }
        }
    }

    fn blame_instance(&self, reason: &str) {
        self.instance.health().run_failed(reason, since_boot());
        self.instance.wake.health_check.notify_one();
    }

    async fn requeue(&self, is_loss: bool, reason: &str) -> RunEnd {
        let (task, attempt) = (self.claim.task, self.claim.attempt);
        let requeue = || self.instance.queue().requeue(&self.instance.lease, task, attempt, is_loss, reason);
        end_of(until_answered(self.call("requeue"), requeue).await)
    }

    /// Settles the task with `outcome`, then reports the ending. `began` is the start of the execution, if it was seen.
    async fn settle(&mut self, outcome: &Outcome, began: Option<Instant>) -> Written {
        let (task, attempt) = (self.claim.task, self.claim.attempt);
        let settle = || self.instance.queue().settle(&self.instance.lease, task, attempt, outcome);
        let mut written = until_answered(self.call("settle"), settle).await;
        if written == Written::NotThisAttempt && take_back(&self.instance, task, attempt).await {
            written = until_answered(self.call("settle"), settle).await;
        }
        self.report_ending(outcome, written, began);
        written
    }

    /// Records a settled attempt in metrics, trace and log.
    fn report_ending(&mut self, outcome: &Outcome, written: Written, began: Option<Instant>) {
        let (instance, task, attempt) = (&self.instance.target.id, self.claim.task, self.claim.attempt);
        self.spans.settled(outcome, written);
        let label = match outcome {
            Outcome::Completed(outputs) => {
                tracing::info!(%instance, %task, %attempt, outputs = outputs.len(), ?written, "attempt completed");
                "completed"
            }
            Outcome::Failed { failure, .. } => {
                let kind = failure.kind.as_str();
                tracing::warn!(%instance, %task, %attempt, kind, error = failure.message, ?written, "attempt failed");
                kind
            }
        };
        metrics::attempt_ended(label);
        if written == Written::Done {
            metrics::task_ended(if matches!(outcome, Outcome::Completed(_)) { "completed" } else { "failed" });
            if let Some(began) = began {
                metrics::task_ran(began.elapsed());
            }
        }
    }
}

/// A prompt that has ended at the instance.
struct Executed {
    finished: Finished,
    /// Inputs that this attempt took from the cache.
    cached: Vec<CachedInput>,
}

/// The instance's answer to a submitted prompt, with the inputs found in the cache.
enum Submission {
    Accepted(Vec<CachedInput>),
    Refused(Vec<CachedInput>, Box<Failure>),
}

/// Counts an attempt as storing outputs for as long as it lives.
struct Collecting(Arc<Instance>);

impl Collecting {
    fn begin(instance: &Arc<Instance>) -> Self {
        instance.activity.collecting.fetch_add(1, Ordering::Relaxed);
        instance.wake.claimer.notify_one();
        Self(instance.clone())
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.0.activity.collecting.fetch_sub(1, Ordering::Relaxed);
        self.0.wake.claimer.notify_one();
    }
}

fn end_of(written: Written) -> RunEnd {
    match written {
        Written::Fenced => RunEnd::LeaseLost,
        Written::Done | Written::Retrying | Written::AlreadyEnded(_) | Written::NotThisAttempt => RunEnd::Ended,
    }
}

async fn release(instance: &Instance, task: TaskId, attempt: Attempt) -> RunEnd {
    let call = RedisCall::of_attempt("release", &instance.target.id, task, attempt);
    end_of(until_answered(call, || instance.queue().release(&instance.lease, task)).await)
}
