//! What a dispatcher adds to the traces of tasks: the wait that a claim ends, the attempt, and its stages one after the other.

use super::{instance::Instance, scene::Exit};
use crate::{
    comfy::{Sign, Verdict},
    queue::{Claim, Written},
    task::{Attempt, FailureKind, Outcome, Task},
    trace::{Name, Span, key},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// The open spans of one attempt, as far as this process sees to it.
pub(super) struct Spans {
    // First, so that it ends first.
    stage: Span,
    attempt: Span,
    /// The stage is the last one.
    collects: bool,
    /// It is known how it ended.
    has_outcome: bool,
    /// This process gives its instances away.
    stop: CancellationToken,
}

impl Spans {
    /// A task was claimed just now, or (`is_taken_over`) found in flight.
    pub(super) fn begin(instance: &Instance, claim: &Claim, is_taken_over: bool) -> Self {
        let mut attempt = Span::of(claim.task, Name::Attempt, Duration::ZERO);
        attempt.text(key::TASK, claim.task);
        attempt.count(key::ATTEMPT, claim.attempt.get().into());
        attempt.text(key::INSTANCE, &instance.target.id);
        attempt.text(key::DISPATCHER, &instance.shared.name);
        if is_taken_over {
            attempt.flag(key::TAKEOVER);
        }
        Self { stage: Span::none(), attempt, collects: false, has_outcome: false, stop: instance.stop.clone() }
    }

    /// The next stage begins; the one before ends.
    pub(super) fn enter(&mut self, name: Name) {
        // Ended before the next begins.
        self.stage = Span::none();
        self.stage = self.attempt.child(name);
    }

    /// Inputs have been brought, or not: so many of them were known to be there.
    pub(super) fn brought(&mut self, files: usize, known: usize) {
        self.stage.count(key::FILES, files as u64);
        self.stage.count(key::FILES_KNOWN, known as u64);
    }

    /// The prompt goes to the instance, or is there.
    pub(super) fn enter_run(&mut self, instance: &Instance, prompt: uuid::Uuid) {
        self.enter(Name::Run);
        self.stage.text(key::PROMPT, prompt);
        self.stage.text(key::SERVER_ADDRESS, &instance.target.ip);
        self.stage.count(key::SERVER_PORT, instance.target.port.into());
    }

    /// The instance has put it into its queue.
    pub(super) fn accepted(&mut self) {
        self.stage.event("accepted");
    }

    /// The instance told something about it.
    pub(super) fn hear(&mut self, sign: &Sign) {
        match sign {
            Sign::Started(_) => self.stage.event("started"),
            Sign::Executing { node, .. } => self.stage.node(node),
            Sign::QueueRemaining(_)
            | Sign::Cached { .. }
            | Sign::Progress { .. }
            | Sign::Executed { .. }
            | Sign::Ended(_) => {}
        }
    }

    /// The prompt has ended so, and its outputs are next.
    pub(super) fn enter_collect(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Success => {}
            Verdict::Failed(failure) => self.stage.fail(failure.kind.as_str()),
            Verdict::Interrupted => self.stage.fail(FailureKind::Interrupted.as_str()),
        }
        self.enter(Name::Collect);
        self.collects = true;
    }

    /// The stage did not reach its end.
    pub(super) fn leave(&mut self, exit: &Exit) {
        match exit {
            Exit::NotOurs => self.end_as("cancelled"),
            Exit::LeaseLost => self.end_as("lease_lost"),
            // The settling says the rest.
            Exit::Failed { failure, .. } => self.stage.fail(failure.kind.as_str()),
            Exit::InputLost { .. } => {
                self.stage.fail(FailureKind::InputUnavailable.as_str());
                self.end_as("released");
            }
            Exit::Unfit { .. } => {
                self.stage.fail(FailureKind::InvalidWorkflow.as_str());
                self.end_as("released");
            }
            Exit::Lost { had_begun, .. } => {
                self.stage.fail(FailureKind::PromptLost.as_str());
                if *had_begun {
                    self.attempt.fail(FailureKind::PromptLost.as_str());
                    self.end_as("lost");
                }
            }
        }
    }

    /// Redis was told how it ended.
    pub(super) fn settled(&mut self, outcome: &Outcome, written: Written) {
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
    /// Dropped in the middle: another process carries on.
    fn drop(&mut self) {
        if !self.has_outcome {
            self.end_as(if self.stop.is_cancelled() { "handed_over" } else { "lease_lost" });
        }
    }
}

/// Tells how long the task waited for this claim. Nobody waits for that: of a task that was tried before it has to be asked.
pub(super) fn tell_wait(instance: &Arc<Instance>, claim: &Claim) {
    let (task, attempt, waited, claimed) = (claim.task, claim.attempt, claim.waited, Instant::now());
    if !Span::is_wanted(task) {
        return;
    }
    let tell = move |waited: Duration| {
        let late = claimed.elapsed();
        let mut span = Span::of(task, Name::Wait, waited + late);
        span.text(key::TASK, task);
        span.count(key::ATTEMPT, attempt.get().into());
        span.end_ago(late);
    };
    if attempt.get() == 1 {
        return tell(waited);
    }
    let asking = instance.clone();
    instance.tracker.spawn(instance.lost.clone().run_until_cancelled_owned(async move {
        if let Ok(Some(known)) = asking.queue().task(task).await {
            tell(waited.min(since_last(&known, attempt)));
        }
    }));
}

/// From the end of the try before to the claim of this one, by Redis' clock.
fn since_last(task: &Task, attempt: Attempt) -> Duration {
    let claimed = task.attempts.iter().find(|record| record.attempt == attempt).map_or(0, |record| record.started_ms);
    let before = task.attempts.iter().filter(|record| record.attempt < attempt);
    let ended = before.filter_map(|record| record.ended_ms).max().unwrap_or(0);
    Duration::from_millis(claimed.saturating_sub(ended))
}
