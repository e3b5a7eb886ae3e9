//! Recognises an instance whose worker thread died between the end of a prompt and its entry in the history: HTTP
//! answers, and `/queue` shows the prompt as running for ever. The prompt ends as its messages say.

use crate::{
    clock::since_boot,
    comfy::{ProgressTracker, PromptEvent, PromptOutcome, PromptResult},
    dispatcher::attempt::context::AttemptContext,
    task::{Failure, FailureKind, OutputWarning},
};
use std::time::Duration;
use tokio::time::Instant;

/// Time after the last message of a prompt in which its entry in the history must appear; ComfyUI needs milliseconds.
const ENTRY_WAIT_MAX: Duration = Duration::from_secs(60);
/// Health error of the instance.
pub(crate) const WORKER_DIED: &str =
    "its worker is dead: it executed a prompt, shows it as running and records no result; restart the instance";

/// The announced end of a prompt.
#[derive(Debug, Default)]
pub(crate) struct AnnouncedEnd {
    since: Option<Instant>,
    /// The announced failure; none if the prompt succeeded.
    failure: Option<Failure>,
}

impl AnnouncedEnd {
    /// Records an event, which `tracker` has seen.
    pub(crate) fn record(&mut self, event: &PromptEvent, tracker: &ProgressTracker) {
        let has_ended = match event {
            PromptEvent::Failed { failure, .. } => {
                self.failure = Some((**failure).clone());
                true
            }
            PromptEvent::Ended(_) => true,
            // The end of the last node is the end of the prompt, if the message of that was lost.
            PromptEvent::Executed { .. } | PromptEvent::Cached { .. } => tracker.is_done(),
            PromptEvent::Started(_) | PromptEvent::Executing { .. } | PromptEvent::Progress { .. } => {
                *self = Self::default();
                false
            }
            PromptEvent::QueueRemaining(_) | PromptEvent::Picture { .. } => false,
        };
        if has_ended {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Whether the entry in the history is overdue.
    pub(crate) fn is_overdue(&self, context: &AttemptContext) -> bool {
        let limit = ENTRY_WAIT_MAX.min(context.stall_timeout());
        self.since.is_some_and(|since| since.elapsed() >= limit)
    }

    /// Puts the instance aside until it is restarted, and returns the result as it was announced: the outputs are those
    /// that were stored meanwhile.
    pub(crate) async fn result(&mut self, context: &AttemptContext) -> PromptResult {
        let (instance, task, attempt) = (&context.instance.target.id, context.claim.task, context.claim.attempt);
        tracing::warn!(%instance, %task, %attempt, "worker of the instance is dead; the task ends as announced");
        context.instance.health().stuck(WORKER_DIED, since_boot());
        context.instance.wake.health_check.notify_one();
        context.instance.remember_orphan(context.prompt).await;
        let (mut warnings, mut fault) = (Vec::new(), None);
        let outcome = match self.failure.take() {
            Some(failure) if failure.kind == FailureKind::Interrupted => PromptOutcome::Interrupted,
            Some(failure) => PromptOutcome::Failed(failure),
            None => {
                warnings.push(OutputWarning::unrecorded());
                // Counts if nothing was stored: then another instance makes it.
                fault = Some(Failure::new(FailureKind::Stalled, WORKER_DIED));
                PromptOutcome::Success
            }
        };
        PromptResult { outcome, outputs: Vec::new(), warnings, fault }
    }
}
