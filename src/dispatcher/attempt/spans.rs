//! Trace spans of a dispatcher: the wait that a claim ends, the attempt, and its stages one after the other.

use super::stage_error::StageError;
use crate::{
    comfy::{PromptEvent, PromptOutcome},
    dispatcher::instance::state::Instance,
    queue::{Claim, Written},
    task::{Attempt, FailureKind, Outcome, Task},
    trace::{Name, Span, key},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// The open spans of one attempt in this process.
pub(crate) struct Spans {
    // First, so that it ends first.
    stage: Span,
    attempt: Span,
    /// Whether the current stage is the last one.
    collects: bool,
    /// Whether the outcome is recorded.
    has_outcome: bool,
    /// Cancelled when this process hands over the instance.
    stop: CancellationToken,
}

impl Spans {
    /// Starts the span of an attempt that was claimed just now or, with `is_taken_over`, found in flight.
    pub(crate) fn begin(instance: &Instance, claim: &Claim, is_taken_over: bool) -> Self {
        let mut attempt = Span::of(claim.task, Name::Attempt, Duration::ZERO);
        attempt.text(key::TASK, claim.task);
        attempt.count(key::ATTEMPT, claim.attempt.get().into());
        attempt.text(key::INSTANCE, &instance.target.id);
        attempt.text(key::DISPATCHER, &instance.shared.name);
        if is_taken_over {
            attempt.flag(key::TAKEOVER);
        }
        Self { stage: Span::none(), attempt, collects: false, has_outcome: false, stop: instance.lifetime.stop.clone() }
    }

    /// Ends the current stage and starts the next one.
    pub(crate) fn enter(&mut self, name: Name) {
        // The old span must end before the new one starts.
        self.stage = Span::none();
        self.stage = self.attempt.child(name);
    }

    /// Records the number of inputs, and how many of them were cached at the instance.
    pub(crate) fn uploaded(&mut self, files: usize, cached: usize) {
        self.stage.count(key::FILES, files as u64);
        self.stage.count(key::FILES_KNOWN, cached as u64);
    }

    /// Enters the stage in which the prompt is submitted and executed.
    pub(crate) fn enter_run(&mut self, instance: &Instance, prompt: uuid::Uuid) {
        self.enter(Name::Run);
        self.stage.text(key::PROMPT, prompt);
        self.stage.text(key::SERVER_ADDRESS, &instance.target.ip);
        self.stage.count(key::SERVER_PORT, instance.target.port.into());
    }

    /// Records that the instance queued the prompt.
    pub(crate) fn accepted(&mut self) {
        self.stage.event("accepted");
    }

    /// Records an event of the prompt.
    pub(crate) fn on_event(&mut self, event: &PromptEvent) {
        match event {
            PromptEvent::Started(_) => self.stage.event("started"),
            PromptEvent::Executing { node, .. } => self.stage.node(node),
            PromptEvent::QueueRemaining(_)
            | PromptEvent::Cached { .. }
            | PromptEvent::Progress { .. }
            | PromptEvent::Executed { .. }
            | PromptEvent::Picture { .. }
            | PromptEvent::Failed { .. }
            | PromptEvent::Ended(_) => {}
        }
    }

    /// Records how the prompt ended, and enters the stage that collects its outputs.
    pub(crate) fn enter_collect(&mut self, verdict: &PromptOutcome) {
        match verdict {
            PromptOutcome::Success => {}
            PromptOutcome::Failed(failure) => self.stage.fail(failure.kind.as_str()),
            PromptOutcome::Interrupted => self.stage.fail(FailureKind::Interrupted.as_str()),
        }
        self.enter(Name::Collect);
        self.collects = true;
    }

    /// Records that the current stage ended early.
    pub(crate) fn leave(&mut self, error: &StageError) {
        match error {
            StageError::NotOurs => self.end_as("cancelled"),
            StageError::LeaseLost => self.end_as("lease_lost"),
            // `settled` records the rest.
            StageError::Failed { failure, .. } => self.stage.fail(failure.kind.as_str()),
            StageError::TryElsewhere { failure, .. } => self.stage.fail(failure.kind.as_str()),
            StageError::NodeFault { failure, .. } => {
                self.stage.fail(failure.kind.as_str());
                self.attempt.fail(failure.kind.as_str());
                self.end_as("released");
            }
            StageError::InputMissing { .. } => {
                self.stage.fail(FailureKind::InputUnavailable.as_str());
                self.end_as("released");
            }
            StageError::Unsuitable { .. } => {
                self.stage.fail(FailureKind::InvalidWorkflow.as_str());
                self.end_as("released");
            }
            StageError::PromptLost { had_begun, .. } => {
                self.stage.fail(FailureKind::PromptLost.as_str());
                if *had_begun {
                    self.attempt.fail(FailureKind::PromptLost.as_str());
                    self.end_as("lost");
                }
            }
        }
    }

    /// Records the outcome that was written to Redis.
    pub(crate) fn settled(&mut self, outcome: &Outcome, written: Written) {
        let outputs = match outcome {
            Outcome::Completed(outputs) => {
                self.end_as("completed");
                outputs
            }
            Outcome::Failed { failure, outputs } => {
                self.attempt.fail(failure.kind.as_str());
                self.end_as(failure.kind.as_str());
                outputs
            }
        };
        if self.collects {
            self.stage.count(key::OUTPUTS, outputs.len() as u64);
        }
        self.attempt.text(
            key::SETTLED,
            match written {
                Written::Done => "done",
                Written::Retrying => "retrying",
                Written::AlreadyEnded(_) => "already_ended",
                Written::NotThisAttempt => "not_this_attempt",
                Written::Fenced => "fenced",
            },
        );
    }

    fn end_as(&mut self, outcome: &'static str) {
        self.attempt.text(key::OUTCOME, outcome);
        self.has_outcome = true;
    }
}

impl Drop for Spans {
    /// An attempt without an outcome continues in another process.
    fn drop(&mut self) {
        if !self.has_outcome {
            self.end_as(if self.stop.is_cancelled() { "handed_over" } else { "lease_lost" });
        }
    }
}

/// Records how long the task waited for this claim. Runs in the background, because the wait of a retried task is read
/// from Redis.
pub(crate) fn record_wait(instance: &Arc<Instance>, claim: &Claim) {
    let (task, attempt, waited, claimed) = (claim.task, claim.attempt, claim.waited, Instant::now());
    if !Span::is_wanted(task) {
        return;
    }
    let record = move |waited: Duration| {
        let late = claimed.elapsed();
        let mut span = Span::of(task, Name::Wait, waited + late);
        span.text(key::TASK, task);
        span.count(key::ATTEMPT, attempt.get().into());
        span.end_ago(late);
    };
    if attempt.get() == 1 {
        return record(waited);
    }
    let reader = instance.clone();
    instance.lifetime.tracker.spawn(instance.lifetime.lost.clone().run_until_cancelled_owned(async move {
        if let Ok(Some(known)) = reader.queue().task(task).await {
            record(waited.min(since_previous(&known, attempt)));
        }
    }));
}

/// Returns the time from the end of the previous attempt to the claim of this one, by Redis' clock.
fn since_previous(task: &Task, attempt: Attempt) -> Duration {
    let claimed = task.attempts.iter().find(|record| record.attempt == attempt).map_or(0, |record| record.started_ms);
    let previous = task.attempts.iter().filter(|record| record.attempt < attempt);
    let ended = previous.filter_map(|record| record.ended_ms).max().unwrap_or(0);
    Duration::from_millis(claimed.saturating_sub(ended))
}
