//! One attempt's life: inputs up, prompt submitted, followed, outputs stored, settled. Each stage is a file beside this one.

use super::{
    attach::take_back,
    clear::clear,
    collect,
    early::{Early, Stock},
    find::{self, Begun, Found},
    follow, inputs,
    instance::{Ears, Instance, RunEnd, lock},
    scene::{Exit, Scene, until_answered},
    spans::Spans,
    submit, unfit,
};
use crate::{
    clock::since_boot,
    comfy::{Ending, Sighting, Verdict},
    graph::Workflow,
    metrics,
    queue::{Claim, Written},
    task::{Attempt, Failure, FailureKind, Outcome, TaskId},
};
use std::sync::{Arc, atomic::Ordering};
use uuid::Uuid;

/// An attempt to be run under an actor.
pub(super) struct Run {
    task: TaskId,
    attempt: Attempt,
    /// `None`: in flight already, to be found.
    claim: Option<Box<Claim>>,
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

    /// Runs it under the instance's actor.
    pub(super) fn spawn(self, instance: &Arc<Instance>) {
        let (task, prompt) = (self.task, self.prompt());
        instance.spawn(task, self.attempt, prompt, |instance, ears| self.run(instance, ears));
    }

    fn prompt(&self) -> Uuid {
        self.task.prompt_id(self.attempt)
    }

    async fn run(self, instance: Arc<Instance>, ears: Ears) -> RunEnd {
        let (prompt, since) = (self.prompt(), tokio::time::Instant::now());
        let (claim, attached) = match self.claim {
            Some(claim) => (*claim, None),
            None => match find::find(&instance, self.task, self.attempt).await {
                Found::Ours { claim, begun } => (*claim, Some(begun)),
                Found::NotOurs => {
                    if instance.quarantine_until > tokio::time::Instant::now() {
                        // A request of the former owner may still be on its way.
                        instance.remember_stray(prompt).await;
                    }
                    clear(&instance, prompt).await;
                    return release(&instance, self.task).await;
                }
            },
        };
        let may_have_copy = attached.is_some();
        let spans = Spans::begin(&instance, &claim, may_have_copy);
        let mut scene = Scene {
            instance,
            claim,
            prompt,
            ears,
            since,
            may_have_copy,
            recalled: Vec::new(),
            begun: None,
            early: None,
            stock: Stock::default(),
            spans,
        };
        let before = attached.iter().flatten().flat_map(|begun| begun.outputs.clone()).collect();
        scene.early = Some(Early::begin(scene.shelf(), before));
        let ended = match Box::pin(scene.reach_end(attached)).await {
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
    /// `attached`: in flight before; inside, how its execution stood.
    async fn reach_end(&mut self, attached: Option<Option<Begun>>) -> Result<Ending, Exit> {
        let (is_attached, begun) = (attached.is_some(), attached.flatten());
        let is_there = is_attached
            && match self.find_prompt().await? {
                Sighting::Unknown if begun.is_some() => {
                    let reason = "the instance forgot the prompt while nobody looked".to_owned();
                    return Err(Exit::Lost { had_begun: true, reason });
                }
                Sighting::Unknown => false,
                Sighting::Pending | Sighting::Running | Sighting::Ended(_) => {
                    metrics::task_reclaimed();
                    true
                }
            };
        if is_there {
            self.spans.enter_run(&self.instance, self.prompt);
        } else {
            self.submit().await?;
        }
        Box::pin(follow::follow(self, begun)).await
    }

    /// Inputs up, prompt into the queue. A refusal over a file that the instance was only remembered to have is no answer yet:
    /// the file is sent again, and so is the prompt, once it is certain that nothing is left of the first.
    async fn submit(&mut self) -> Result<(), Exit> {
        let workflow = self.ready_workflow().await?;
        let mut refused = match submit::submit(self, &workflow).await {
            Err(Exit::Failed { failure, blames_instance: false }) => failure,
            submitted => return submitted,
        };
        let is_lost = refused.kind == FailureKind::InvalidWorkflow && inputs::forget_refused(self, &refused);
        if is_lost && matches!(submit::look_until_answered(self).await?, Sighting::Unknown) {
            tracing::warn!(instance = %self.instance.target.id, task = %self.claim.task, error = refused.message, "an input is gone from the instance; sending it again");
            let workflow = self.ready_workflow().await?;
            refused = match submit::submit(self, &workflow).await {
                Err(Exit::Failed { failure, blames_instance: false }) => failure,
                submitted => return submitted,
            };
        }
        Err(Box::pin(unfit::judge(self, *refused)).await)
    }

    /// After a takeover: where the prompt is. A request of the former owner may still be on its way, so "unknown" is believed
    /// only after one HTTP timeout.
    async fn find_prompt(&mut self) -> Result<Sighting, Exit> {
        let sighting = submit::look_until_answered(self).await?;
        if !matches!(sighting, Sighting::Unknown) {
            return Ok(sighting);
        }
        tokio::select! {
            () = tokio::time::sleep_until(self.instance.quarantine_until) => {}
            () = self.ears.cancelled.cancelled() => return Err(submit::cancelled_in_doubt(self).await),
        }
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
        *lock(&self.instance.idle_since) = Some(tokio::time::Instant::now());
        self.spans.enter_collect(&ending.verdict);
        let _collecting = Collecting::begin(&self.instance);
        if let Some(early) = self.early.take() {
            self.stock = early.finish().await;
        }
        let shelf = self.shelf();
        let (outcome, fresh, replaced) = match ending.verdict {
            Verdict::Success => {
                let collected = collect::collect(&shelf, &ending.outputs, &self.stock).await?;
                self.instance.health().run_succeeded();
                (Outcome::Completed(collected.outputs), collected.fresh, collected.replaced)
            }
            Verdict::Failed(failure) if inputs::forget_unfound(self, &failure) => {
                self.forget_prompt().await;
                return Err(Exit::InputLost { reason: failure.message });
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
                let collected = collect::collect_some(&shelf, &ending.outputs, &self.stock).await;
                let outcome = Outcome::Failed { failure, outputs: collected.outputs };
                (outcome, collected.fresh, collected.replaced)
            }
            Verdict::Interrupted => {
                let failure =
                    Failure::new(FailureKind::Interrupted, "somebody else interrupted the prompt at the instance");
                return Err(Exit::failed(failure));
            }
        };
        let written = self.settle(&outcome).await;
        // Cancelled, timed out, taken over or to be tried again: nobody will ever name what was stored last.
        shelf.discard(if written == Written::Done { &replaced } else { &fresh }).await;
        self.forget_prompt().await;
        Ok(end_of(written))
    }

    async fn forget_prompt(&self) {
        if let Err(error) = self.instance.client.forget(self.prompt).await {
            tracing::debug!(instance = %self.instance.target.id, %error, "the history entry stays");
        }
    }

    async fn leave(&mut self, exit: Exit) -> RunEnd {
        let task = self.claim.task;
        self.spans.leave(&exit);
        if let Some(early) = self.early.take() {
            self.stock = early.give_up().await;
        }
        let outputs = self.stock.left();
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
                end_of(self.settle(&Outcome::Failed { failure: *failure, outputs }).await)
            }
            Exit::InputLost { reason } => {
                tracing::warn!(instance = %self.instance.target.id, %task, attempt = %self.claim.attempt, reason, "an input is gone from the instance");
                metrics::attempt_ended("released");
                let written = until_answered(|| {
                    self.instance.queue().requeue(&self.instance.lease, task, self.claim.attempt, false, &reason)
                });
                end_of(written.await)
            }
            Exit::Unfit { others, reason } => {
                tracing::warn!(instance = %self.instance.target.id, %task, attempt = %self.claim.attempt, reason, ?others, "left to instances that have what it needs");
                metrics::attempt_ended("released");
                let written = until_answered(|| {
                    self.instance.queue().leave_to(&self.instance.lease, task, self.claim.attempt, &others)
                });
                end_of(written.await)
            }
            Exit::Lost { had_begun, reason } => {
                tracing::warn!(instance = %self.instance.target.id, %task, attempt = %self.claim.attempt, reason, "prompt lost");
                // One loss says little; an instance that loses every prompt must not run through the whole queue.
                self.instance.health().run_failed(&reason, since_boot());
                self.instance.check_now.notify_one();
                if !had_begun {
                    let failure = Failure::new(FailureKind::PromptLost, reason);
                    return end_of(self.settle(&Outcome::Failed { failure, outputs }).await);
                }
                metrics::attempt_ended("lost");
                let written = until_answered(|| {
                    self.instance.queue().requeue(&self.instance.lease, task, self.claim.attempt, true, &reason)
                });
                end_of(written.await)
            }
        }
    }

    async fn settle(&mut self, outcome: &Outcome) -> Written {
        let (task, attempt) = (self.claim.task, self.claim.attempt);
        let settle = || self.instance.queue().settle(&self.instance.lease, task, attempt, outcome);
        let mut written = until_answered(settle).await;
        if written == Written::NotThisAttempt && take_back(&self.instance, task, attempt).await {
            written = until_answered(settle).await;
        }
        let word = match outcome {
            Outcome::Completed(_) => "completed",
            Outcome::Failed { failure, .. } => failure.kind.as_str(),
        };
        metrics::attempt_ended(word);
        self.spans.settled(outcome, written);
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
        written
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

fn end_of(written: Written) -> RunEnd {
    match written {
        Written::Fenced => RunEnd::LeaseLost,
        Written::Done | Written::Retrying | Written::AlreadyEnded(_) | Written::NotThisAttempt => RunEnd::Ended,
    }
}

async fn release(instance: &Instance, task: TaskId) -> RunEnd {
    end_of(until_answered(|| instance.queue().release(&instance.lease, task)).await)
}
