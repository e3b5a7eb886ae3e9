//! Reasons for which a stage of an attempt ends early.

use crate::task::{Failure, FailureKind, InstanceId};

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
        /// Whether the task fails although failures of this kind are retried.
        is_final: bool,
    },
    /// A node failed because of the machine, or for an unknown reason. The task is queued again for other instances, and
    /// the attempt is not counted.
    NodeFault {
        /// Cause.
        failure: Box<Failure>,
        /// Whether the machine is at fault; else that is not known.
        is_machine: bool,
        /// Instances that the next attempt waits for.
        prefers: Vec<InstanceId>,
    },
    /// The attempt failed, and is retried on one of these instances.
    TryElsewhere {
        /// Cause.
        failure: Box<Failure>,
        /// Instances that the next attempt waits for; empty = any.
        prefers: Vec<InstanceId>,
    },
    /// A node did not find a file that the input cache listed. The task is queued again, and the attempt is not
    /// counted.
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
        Self::Failed { failure: Box::new(Failure::new(kind, message)), blames_instance: true, is_final: false }
    }

    /// A failure that does not count against the instance.
    pub(crate) fn failed(failure: Failure) -> Self {
        Self::Failed { failure: Box::new(failure), blames_instance: false, is_final: false }
    }

    /// A failure that would be the same in every attempt.
    pub(crate) fn final_failure(failure: Failure) -> Self {
        Self::Failed { failure: Box::new(failure), blames_instance: false, is_final: true }
    }
}
