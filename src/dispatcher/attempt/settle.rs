//! Ends an attempt: stores its outputs, settles the task, and reports the ending.

mod end_early;

use super::{
    context::AttemptContext,
    follow::Finished,
    inputs::{self, CachedInput},
    node_failure,
    outputs::{early_outputs::EarlyCollector, final_outputs},
    record_progress::record_start,
    restore_claim::reclaim,
    stage_error::StageError,
};
use crate::{
    comfy::PromptOutcome,
    dispatcher::{
        instance::{runs::RunEnd, state::Instance},
        redis_retry::{RedisCall, until_answered},
        shared::lock,
    },
    metrics,
    queue::{FileRecord, SettleFacts, Written},
    task::{Attempt, Failure, FailureKind, Outcome, Output, OutputWarning, TaskId},
};
use std::{
    collections::HashMap,
    convert::Infallible,
    future::pending,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
};
use tokio::time::Instant;

/// A prompt that has ended at the instance.
pub(super) struct Executed {
    pub(super) finished: Finished,
    /// Inputs that this attempt took from the cache.
    pub(super) cached: Vec<CachedInput>,
}

impl AttemptContext {
    /// Stores the outputs and settles the task. The prompt has left the instance, so the next task may start meanwhile.
    pub(super) async fn take_outcome(
        &mut self,
        executed: Executed,
        early: &mut EarlyCollector,
    ) -> Result<RunEnd, StageError> {
        let Executed { finished: Finished { ending, began, is_start_recorded }, cached } = executed;
        self.began = began;
        *lock(&self.instance.activity.idle_since) = Some(Instant::now());
        self.spans.enter_collect(&ending.outcome);
        // After a failure the next task waits for the verdict: the machine may be broken.
        let mut collecting =
            (!matches!(ending.outcome, PromptOutcome::Failed(_))).then(|| Collecting::begin(&self.instance));
        let (store, task, attempt) = (self.output_store(), self.claim.task, self.claim.attempt);
        // Storing the outputs may take long; a task whose outputs are stored at once saves the write.
        let mut start = pin!(async {
            if is_start_recorded { pending().await } else { record_start(store.instance.clone(), task, attempt).await }
        });
        if !is_start_recorded {
            metrics::task_waited(self.claim.waited);
        }
        let stored = beside(start.as_mut(), early.finish()).await;
        let (outcome, fresh, files, replaced) = match ending.outcome {
            PromptOutcome::Success => {
                let is_vain = ending.outputs.is_empty() && stored.outputs().is_empty();
                if is_vain && let Some(fault) = ending.fault.as_ref().filter(|fault| fault.kind == FailureKind::Stalled)
                {
                    return Err(StageError::infrastructure(fault.kind, fault.message.clone()));
                }
                // Too many files, or nothing but names that no request can be made from: the same everywhere.
                if let Some(fault) = ending.fault.filter(|fault| is_vain || fault.kind == FailureKind::OutputTooLarge) {
                    return Err(StageError::final_failure(fault));
                }
                let collect = final_outputs::collect(&store, &ending.outputs, stored);
                let collected = Box::pin(beside(start.as_mut(), collect)).await?;
                self.instance.health().run_succeeded();
                self.warn(ending.warnings.into_iter().chain(collected.warnings));
                let outputs = self.in_graph_order(collected.outputs);
                self.warn_of_missing(&outputs);
                (Outcome::Completed(outputs), collected.fresh, collected.files, collected.replaced)
            }
            PromptOutcome::Failed(failure) if inputs::forget_unfound(self, &cached, &failure) => {
                self.forget_prompt().await;
                return Err(StageError::InputMissing { reason: failure.message });
            }
            PromptOutcome::Failed(failure) => {
                let failure = Box::pin(node_failure::judge(self, failure)).await?;
                collecting.get_or_insert_with(|| Collecting::begin(&self.instance));
                let collect = final_outputs::collect_some(&store, &ending.outputs, stored);
                let collected = Box::pin(beside(start.as_mut(), collect)).await;
                self.warn(ending.warnings.into_iter().chain(collected.warnings));
                let outcome = Outcome::Failed { failure, outputs: collected.outputs };
                (outcome, collected.fresh, collected.files, collected.replaced)
            }
            PromptOutcome::Interrupted => {
                let message = "another client interrupted the prompt at the instance";
                let failure = Failure::new(FailureKind::Interrupted, message);
                return Err(StageError::failed(failure));
            }
        };
        let written = self.settle_as(&outcome, true, files).await;
        // After a cancel, a timeout, a takeover or a retry the task never names the files stored last.
        store.discard(if written == Written::Done { &replaced } else { &fresh }).await;
        // After a takeover the new owner still has to find this result; without it, it would run the task again.
        if written != Written::Fenced {
            self.forget_prompt().await;
        }
        Ok(end_of(written))
    }

    /// Keeps warnings for the end of the task.
    fn warn(&mut self, warnings: impl IntoIterator<Item = OutputWarning>) {
        let room = OutputWarning::MAX.saturating_sub(self.warnings.len());
        self.warnings.extend(warnings.into_iter().take(room));
    }

    /// Sorts outputs by their nodes: those that are not in the history come last.
    fn in_graph_order(&self, mut outputs: Vec<Output>) -> Vec<Output> {
        let nodes = self.workflow.iter().flat_map(|workflow| workflow.node_ids()).enumerate();
        let positions: HashMap<&str, usize> = nodes.map(|(position, node)| (node, position)).collect();
        outputs.sort_by_key(|output| positions.get(output.node_id.as_str()).copied().unwrap_or(usize::MAX));
        outputs
    }

    /// Warns of nodes that should have sent pictures, and of a task without outputs.
    fn warn_of_missing(&mut self, outputs: &[Output]) {
        let senders = self.workflow.iter().flat_map(|workflow| workflow.declared_picture_senders());
        let is_missing = |node: &&str| !outputs.iter().any(|output| output.node_id == **node);
        let reason =
            "none of its pictures arrived over the WebSocket; SaveImage keeps them on the instance until they are read";
        let missing = senders.filter(is_missing).map(|node| OutputWarning::dropped(node, "websocket", reason));
        let missing: Vec<OutputWarning> = missing.collect();
        self.warn(missing);
        if outputs.is_empty() {
            self.warn([OutputWarning::none(no_outputs(&self.warnings))]);
        }
    }

    pub(super) async fn forget_prompt(&self) {
        if let Err(error) = self.instance.client.delete_history(self.prompt).await {
            tracing::debug!(instance = %self.instance.target.id, prompt = %self.prompt, %error, "history entry not deleted");
        }
    }

    /// Settles the task with `outcome`, then reports the ending. Registers `files`.
    pub(super) async fn settle(&mut self, outcome: &Outcome, files: Vec<FileRecord>) -> Written {
        self.settle_as(outcome, false, files).await
    }

    /// Like [`Self::settle`]. With `is_final` a failure of a kind that is retried ends the task, too.
    pub(super) async fn settle_as(&mut self, outcome: &Outcome, is_final: bool, mut files: Vec<FileRecord>) -> Written {
        let (task, attempt, store) = (self.claim.task, self.claim.attempt, self.output_store());
        // The task may be retried: its outputs are dropped as those of the attempt then.
        if matches!(outcome, Outcome::Failed { failure, .. } if failure.kind.retryable()) {
            for record in std::mem::take(&mut files) {
                store.register(&record).await;
            }
        }
        let (queue, lease) = (self.instance.queue(), &self.instance.lease);
        let facts = SettleFacts { is_final, warnings: &self.warnings, node_times: &self.node_times };
        let settle = || queue.settle_with_files(lease, task, attempt, (outcome, facts), &files);
        let (mut written, mut shared) = until_answered(self.call("settle"), settle).await;
        if written == Written::NotThisAttempt && reclaim(&self.instance, task, attempt).await {
            (written, shared) = until_answered(self.call("settle"), settle).await;
        }
        store.share(&shared).await;
        self.report_ending(outcome, written);
        written
    }

    /// Records a settled attempt in metrics, trace and log.
    pub(super) fn report_ending(&mut self, outcome: &Outcome, written: Written) {
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
            if let Some(began) = self.began {
                metrics::task_ran(began.elapsed());
            }
        }
    }
}

/// Runs `work` to its end, and `other` meanwhile.
async fn beside<T>(other: Pin<&mut impl Future<Output = Infallible>>, work: impl Future<Output = T>) -> T {
    tokio::select! {
        done = work => done,
        never = other => match never {},
    }
}

/// The reason for which a prompt that succeeded has no outputs.
const fn no_outputs(warnings: &[OutputWarning]) -> &'static str {
    if warnings.is_empty() {
        "no node reported a file or a value to ComfyUI (SaveImage, PreviewImage and PreviewAny do)"
    } else {
        "see the other warnings"
    }
}

/// Counts an attempt as storing outputs for as long as it lives.
pub(super) struct Collecting(Arc<Instance>);

impl Collecting {
    pub(super) fn begin(instance: &Arc<Instance>) -> Self {
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

pub(super) fn end_of(written: Written) -> RunEnd {
    match written {
        Written::Fenced => RunEnd::LeaseLost,
        Written::Done | Written::Retrying | Written::AlreadyEnded(_) | Written::NotThisAttempt => RunEnd::Ended,
    }
}

/// Releases the slot of an attempt that is not ours.
pub(super) async fn release(instance: &Instance, task: TaskId, attempt: Attempt) -> RunEnd {
    let call = RedisCall::of_attempt("free_slot", &instance.target.id, task, attempt);
    end_of(until_answered(call, || instance.queue().release(&instance.lease, task)).await)
}
