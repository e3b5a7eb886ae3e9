//! Ends an attempt whose stages did not all complete: retries it, returns the task to the queue, or fails it.

use super::{Collecting, end_of, release};
use crate::{
    clock::since_boot,
    dispatcher::{
        attempt::{
            cancel_prompt::cancel_prompt, context::AttemptContext, node_failure,
            outputs::early_outputs::EarlyCollector, restore_claim::reclaim, stage_error::StageError,
        },
        instance::runs::RunEnd,
        redis_retry::until_answered,
    },
    metrics,
    queue::{NodeFault, Written},
    task::{Failure, FailureKind, InstanceId, Outcome, Output},
};

impl AttemptContext {
    /// Ends an attempt whose stages did not all complete.
    pub(in crate::dispatcher::attempt) async fn end_early(
        &mut self,
        error: StageError,
        early: &mut EarlyCollector,
    ) -> RunEnd {
        let (task, attempt) = (self.claim.task, self.claim.attempt);
        self.spans.leave(&error);
        let (store, stored) = (self.output_store(), early.stop().await);
        let outputs = stored.to_outputs();
        if ends_with_outputs(&error) {
            stored.register(&store).await;
        } else {
            stored.discard_unregistered(&store).await;
        }
        match error {
            StageError::LeaseLost => RunEnd::LeaseLost,
            StageError::NotOurs => {
                cancel_prompt(&self.instance, self.prompt).await;
                release(&self.instance, task, attempt).await
            }
            StageError::Failed { failure, blames_instance, is_final } => {
                if blames_instance {
                    self.blame_instance(&failure.message);
                }
                self.fail(*failure, outputs, is_final).await
            }
            StageError::NodeFault { failure, is_machine, prefers } => {
                self.give_back_faulted(*failure, is_machine, &prefers, &outputs).await
            }
            StageError::TryElsewhere { failure, prefers } => self.retry(*failure, &outputs, &prefers).await,
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
                    return end_of(self.settle(&Outcome::Failed { failure, outputs }, Vec::new()).await);
                }
                metrics::attempt_ended("lost");
                self.requeue(true, &reason).await
            }
        }
    }

    /// Returns the task to the queue, and quarantines the instance.
    async fn give_back_faulted(
        &mut self,
        failure: Failure,
        is_machine: bool,
        prefers: &[InstanceId],
        outputs: &[Output],
    ) -> RunEnd {
        let (instance, task, attempt) = (&self.instance.target.id, self.claim.task, self.claim.attempt);
        let (exception, node) = (failure.exception_type.as_deref(), failure.node_id.as_deref());
        tracing::warn!(%instance, %task, %attempt, is_machine, exception, node, error = failure.message, "the machine may have failed; task given to other instances");
        metrics::attempt_ended(if is_machine { FailureKind::MachineFault.as_str() } else { "released" });
        let trial_after = self.instance.shared.parts.settings.trial_after;
        let fault = NodeFault { failure: &failure, is_machine, outputs, prefers, trial_after };
        let give_back = || self.instance.queue().node_fault(&self.instance.lease, task, attempt, &fault);
        let mut written = until_answered(self.call("node_fault"), give_back).await;
        if written == Written::NotThisAttempt && reclaim(&self.instance, task, attempt).await {
            written = until_answered(self.call("node_fault"), give_back).await;
        }
        self.instance.wake.health_check.notify_one();
        end_of(written)
    }

    /// Retries a failure on other instances, while attempts are left.
    async fn retry(&mut self, failure: Failure, outputs: &[Output], prefers: &[InstanceId]) -> RunEnd {
        let (task, attempt) = (self.claim.task, self.claim.attempt);
        let queue = self.instance.queue();
        let retry = || queue.retry(&self.instance.lease, task, attempt, (&failure, outputs), prefers);
        let mut written = until_answered(self.call("retry"), retry).await;
        if written == Written::NotThisAttempt && reclaim(&self.instance, task, attempt).await {
            written = until_answered(self.call("retry"), retry).await;
        }
        let has_ended = failure.kind == FailureKind::OutOfMemory;
        self.report_ending(&Outcome::Failed { failure, outputs: outputs.to_vec() }, written);
        if has_ended && written != Written::Fenced {
            let _collecting = Collecting::begin(&self.instance);
            self.forget_prompt().await;
        }
        end_of(written)
    }

    async fn fail(&mut self, failure: Failure, outputs: Vec<Output>, is_final: bool) -> RunEnd {
        if failure.kind == FailureKind::Stalled && !is_final && failure.node_id.is_some() {
            let others = node_failure::others_after_stall(self, &failure).await;
            if !others.is_empty() {
                return self.retry(failure, &outputs, &others).await;
            }
            let written = self.settle_as(&Outcome::Failed { failure, outputs }, true, Vec::new()).await;
            return end_of(written);
        }
        let has_ended = matches!(failure.kind, FailureKind::OutputUnavailable | FailureKind::OutputTooLarge);
        let is_final =
            is_final || (failure.kind == FailureKind::OutputUnavailable && self.had_no_outputs_before().await);
        let written = self.settle_as(&Outcome::Failed { failure, outputs }, is_final, Vec::new()).await;
        if has_ended && written != Written::Fenced {
            self.forget_prompt().await;
        }
        end_of(written)
    }

    /// Whether the outputs of an earlier attempt could not be fetched either. One more run, elsewhere, is worth it; a
    /// third would hold up the fleet for the same result. A retry by a user clears the instances that a task avoids, and
    /// so begins anew.
    pub(in crate::dispatcher::attempt) async fn had_no_outputs_before(&self) -> bool {
        let task = until_answered(self.call("task"), || self.instance.queue().task(self.claim.task)).await;
        task.is_some_and(|task| {
            task.attempts.iter().any(|record| {
                record.outcome.as_deref() == Some(FailureKind::OutputUnavailable.as_str())
                    && task.avoids.contains(&record.instance_id)
            })
        })
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
}

/// Whether the attempt is settled with the outputs that exist.
fn ends_with_outputs(error: &StageError) -> bool {
    match error {
        StageError::Failed { .. } | StageError::NodeFault { .. } | StageError::TryElsewhere { .. } => true,
        StageError::PromptLost { had_begun, .. } => !had_begun,
        StageError::LeaseLost
        | StageError::NotOurs
        | StageError::InputMissing { .. }
        | StageError::Unsuitable { .. } => false,
    }
}
