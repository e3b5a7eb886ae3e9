//! Runs an attempt from start to end: upload inputs, submit the prompt, follow it, store its outputs, settle the task.
//! Each stage is a file beside this one.

use super::{
    cancel_prompt::cancel_prompt,
    context::AttemptContext,
    follow,
    inputs::{self, CachedInput},
    outputs::{early_outputs::EarlyCollector, file_names::FileNames, final_outputs::forget_cached_results},
    recover::{self, Origin, Recovered},
    reroute::{self, AfterRefusal},
    settle::{Executed, release},
    spans::Spans,
    stage_error::StageError,
    submit,
};
use crate::{
    dispatcher::{
        instance::{
            runs::{AttemptSignals, RunEnd},
            state::Instance,
        },
        node_keys::AttemptKeys,
    },
    graph::Workflow,
    metrics,
    queue::Claim,
    task::{Attempt, Failure, FailureKind, TaskId},
};
use std::sync::{Arc, Mutex};
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
        let recorded = if let Origin::Executing(prior) = &origin { prior.outputs.as_slice() } else { &[] };
        let names = FileNames::new(self.task, claim.workflow_name.clone(), recorded);
        let context = AttemptContext {
            spans: Spans::begin(&instance, &claim, is_recovered),
            keys: AttemptKeys::new(&instance, &claim),
            workflow: Workflow::from_stored(&claim.payload.workflow),
            instance,
            claim,
            prompt,
            signals,
            since,
            may_have_copy: is_recovered,
            began: None,
            names: Arc::new(Mutex::new(names)),
            warnings: Vec::new(),
            node_times: String::new(),
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
        let finished = Box::pin(follow::follow(self, (prior, !is_submitted), early)).await?;
        Ok(Executed { finished, cached })
    }

    /// Whether the prompt of a recovered attempt is at the instance.
    async fn is_at_instance(&mut self, had_begun: bool) -> Result<bool, StageError> {
        let is_there = self.find_prompt().await?;
        if !is_there && had_begun {
            let reason = "the instance lost the prompt before the takeover".to_owned();
            return Err(StageError::PromptLost { had_begun, reason });
        }
        Ok(is_there)
    }

    /// Uploads the inputs and submits the prompt. Returns the inputs that were not uploaded because the cache listed
    /// them.
    ///
    /// If the instance refuses the prompt because of such an input, the input is uploaded and the prompt submitted once
    /// more, provided that nothing of the first submission is at the instance.
    async fn submit(&mut self) -> Result<Vec<CachedInput>, StageError> {
        if self.claim.attempt.get() > 1 && self.had_no_outputs_before().await {
            // This instance may answer from its cache, too, with files that are gone.
            forget_cached_results(&self.instance).await;
        }
        let (cached, mut refusal) = match self.upload_and_submit().await? {
            Submission::Accepted(cached) => return Ok(cached),
            Submission::Refused(cached, failure) => (cached, failure),
        };
        let is_missing =
            refusal.kind == FailureKind::InvalidWorkflow && inputs::forget_refused(self, &cached, &refusal);
        if is_missing && !submit::look_until_answered(self).await? {
            let (task, attempt) = (self.claim.task, self.claim.attempt);
            tracing::warn!(instance = %self.instance.target.id, %task, %attempt, error = refusal.message, "cached input is missing at the instance; uploading again");
            refusal = match self.upload_and_submit().await? {
                Submission::Accepted(cached) => return Ok(cached),
                Submission::Refused(_, failure) => failure,
            };
        }
        let mut is_first = true;
        loop {
            match Box::pin(reroute::on_refusal(self, *refusal, is_first)).await {
                AfterRefusal::End(error) => return Err(error),
                AfterRefusal::SubmitAgain => is_first = false,
            }
            refusal = match self.upload_and_submit().await? {
                Submission::Accepted(cached) => return Ok(cached),
                Submission::Refused(_, failure) => failure,
            };
        }
    }

    async fn upload_and_submit(&mut self) -> Result<Submission, StageError> {
        let (workflow, cached) = self.ready_workflow().await?;
        match submit::submit(self, &workflow).await {
            Ok(()) => Ok(Submission::Accepted(cached)),
            Err(StageError::Failed { failure, blames_instance: false, is_final: false }) => {
                Ok(Submission::Refused(cached, failure))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the instance has the prompt after a takeover. A POST of the former owner may still be on its way, so
    /// "unknown" is believed only after one HTTP timeout.
    async fn find_prompt(&mut self) -> Result<bool, StageError> {
        if submit::look_until_answered(self).await? {
            return Ok(true);
        }
        tokio::select! {
            () = tokio::time::sleep_until(self.instance.activity.quarantine_until) => {}
            () = self.signals.cancelled.cancelled() => return Err(submit::cancelled_in_doubt(self).await),
        }
        submit::look_until_answered(self).await
    }

    /// Returns the graph to submit, with uploaded inputs and output prefixes of its own, and the inputs found in the
    /// cache.
    async fn ready_workflow(&mut self) -> Result<(Workflow, Vec<CachedInput>), StageError> {
        let Some(mut workflow) = self.workflow.clone() else {
            let failure = Failure::new(FailureKind::InvalidWorkflow, "the stored workflow cannot be read");
            return Err(StageError::failed(failure));
        };
        let cached = inputs::upload(self, &mut workflow).await?;
        // ComfyUI must not answer a second attempt from its cache with files that are gone.
        let nonce = (self.claim.attempt.get() > 1).then(|| self.prompt.to_string());
        if let Some(spellings) = self.instance.catalog.spellings() {
            workflow.spell_as(&spellings);
        }
        workflow.complete_meta();
        workflow.isolate(&self.claim.task.to_string(), nonce.as_deref());
        Ok((workflow, cached))
    }
}

/// The instance's answer to a submitted prompt, with the inputs found in the cache.
enum Submission {
    Accepted(Vec<CachedInput>),
    Refused(Vec<CachedInput>, Box<Failure>),
}
