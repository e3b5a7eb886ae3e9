//! State shared by the stages of an attempt, and the reasons a stage ends early.

use super::{outputs::store_output::OutputStore, spans::Spans};
use crate::{
    backoff::Backoff,
    dispatcher::instance::state::{AttemptSignals, Instance},
    graph::Workflow,
    queue::{Claim, Result},
    task::{Attempt, Failure, FailureKind, InstanceId, TaskId},
};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// First and longest delay between two tries of a Redis call.
const REDIS_DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The reason a stage ended early.
pub(crate) enum StageError {
    /// The task no longer belongs to this attempt: remove the prompt from the instance, then free the slot.
    NotOurs,
    /// The lease is lost: stop without touching the instance.
    LeaseLost,
    /// The attempt failed.
    Failed {
        /// Cause.
        failure: Box<Failure>,
        /// Whether the failure counts against the instance's health.
        blames_instance: bool,
    },
    /// A node did not find a file that the input cache listed. The task is queued again, and the attempt is not counted.
    InputMissing {
        /// Message of the node or of the validation.
        reason: String,
    },
    /// This instance lacks something that the task needs, and other instances have it. The task is restricted to those,
    /// and the attempt is not counted.
    Unsuitable {
        /// Instances that can run the task.
        others: Vec<InstanceId>,
        /// Message of the instance's refusal.
        reason: String,
    },
    /// The prompt vanished with its instance, or from the instance's queue.
    PromptLost {
        /// Whether execution had begun: then the loss counts towards the limit of a task that kills instances.
        had_begun: bool,
        /// Cause.
        reason: String,
    },
}

impl StageError {
    /// A failure that counts against the instance.
    pub(crate) fn infrastructure(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::Failed { failure: Box::new(Failure::new(kind, message)), blames_instance: true }
    }

    /// A failure that does not count against the instance.
    pub(crate) fn failed(failure: Failure) -> Self {
        Self::Failed { failure: Box::new(failure), blames_instance: false }
    }
}

/// State shared by the stages of one attempt.
pub(crate) struct AttemptContext {
    pub(crate) instance: Arc<Instance>,
    pub(crate) claim: Claim,
    pub(crate) prompt: Uuid,
    /// The stored graph, parsed; `None` if it cannot be parsed.
    pub(crate) workflow: Option<Workflow>,
    pub(crate) signals: AttemptSignals,
    /// Start of this process' work on the attempt.
    pub(crate) since: tokio::time::Instant,
    /// Whether the prompt may be in the instance's queue twice, because an earlier POST is in doubt.
    pub(crate) may_have_copy: bool,
    /// Trace spans of the attempt.
    pub(crate) spans: Spans,
}

impl AttemptContext {
    /// The destination of this attempt's outputs.
    pub(crate) fn output_store(&self) -> OutputStore {
        OutputStore {
            instance: self.instance.clone(),
            task: self.claim.task,
            attempt: self.claim.attempt,
            owner: self.claim.owner.clone(),
            cancelled: self.signals.cancelled.clone(),
        }
    }

    /// A Redis call of this attempt.
    pub(crate) fn call(&self, verb: &'static str) -> RedisCall<'_> {
        RedisCall::of_attempt(verb, &self.instance.target.id, self.claim.task, self.claim.attempt)
    }
}

/// Identification of a Redis call in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RedisCall<'a> {
    verb: &'static str,
    instance: &'a InstanceId,
    attempt: Option<(TaskId, Attempt)>,
}

impl<'a> RedisCall<'a> {
    /// A call that concerns an instance only.
    pub(crate) const fn of_instance(verb: &'static str, instance: &'a InstanceId) -> Self {
        Self { verb, instance, attempt: None }
    }

    /// A call of an attempt.
    pub(crate) const fn of_attempt(
        verb: &'static str,
        instance: &'a InstanceId,
        task: TaskId,
        attempt: Attempt,
    ) -> Self {
        Self { verb, instance, attempt: Some((task, attempt)) }
    }
}

/// Repeats an idempotent Redis call until Redis answers. Never gives up: the caller is dropped with its actor.
pub(crate) async fn until_answered<T, F>(call: RedisCall<'_>, mut run: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T>>,
{
    let mut delays = Backoff::new(REDIS_DELAYS.0, REDIS_DELAYS.1);
    loop {
        match run().await {
            Ok(answer) => return answer,
            Err(error) => {
                let RedisCall { verb, instance, attempt } = call;
                let (task, attempt) = attempt.unzip();
                let (task, attempt) = (task.map(tracing::field::display), attempt.map(tracing::field::display));
                let delay = delays.next_pause();
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(verb, %instance, task, attempt, %error, delay_ms, "redis call failed; retrying");
                tokio::time::sleep(delay).await;
            }
        }
    }
}
