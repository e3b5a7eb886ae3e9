//! What every stage of an attempt knows, and how it may leave.

use super::{
    early::{Early, Stock},
    inputs::Recalled,
    instance::{Ears, Instance},
    shelf::Shelf,
    spans::Spans,
};
use crate::{
    queue::{Claim, Result},
    task::{Failure, FailureKind, InstanceId},
};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Pauses while Redis does not answer: first and longest.
const REDIS_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Why a stage did not reach its end.
pub(super) enum Exit {
    /// The task is not ours to run any more: see that the prompt is gone, then free the slot.
    NotOurs,
    /// Drop everything.
    LeaseLost,
    /// The attempt failed.
    Failed {
        /// Why.
        failure: Box<Failure>,
        /// Whether it speaks against the instance.
        blames_instance: bool,
    },
    /// A node did not find a file that the instance was remembered to have: the task is tried again, and this try counts for
    /// nothing.
    InputLost {
        /// Why.
        reason: String,
    },
    /// This instance lacks what the task needs, and others have it: the task is left to those, and this try counts for nothing.
    Unfit {
        /// Those.
        others: Vec<InstanceId>,
        /// What the instance said.
        reason: String,
    },
    /// The prompt vanished with its instance (or from its queue).
    Lost {
        /// Execution had begun: counted towards poison.
        had_begun: bool,
        /// Why.
        reason: String,
    },
}

impl Exit {
    /// A failure that is the instance's fault.
    pub(super) fn infrastructure(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::Failed { failure: Box::new(Failure::new(kind, message)), blames_instance: true }
    }

    /// A failure that is not the instance's fault.
    pub(super) fn failed(failure: Failure) -> Self {
        Self::Failed { failure: Box::new(failure), blames_instance: false }
    }
}

/// What every stage knows.
pub(super) struct Scene {
    pub(super) instance: Arc<Instance>,
    pub(super) claim: Claim,
    pub(super) prompt: Uuid,
    pub(super) ears: Ears,
    /// Since when this process sees to it.
    pub(super) since: tokio::time::Instant,
    /// It may be in the instance's queue twice: an earlier request for it is in doubt.
    pub(super) may_have_copy: bool,
    /// Inputs that were not sent because the instance is remembered to have them.
    pub(super) recalled: Vec<Recalled>,
    /// When its execution began, as far as this process saw.
    pub(super) begun: Option<tokio::time::Instant>,
    /// Stores outputs while it runs.
    pub(super) early: Option<Early>,
    /// What that one stored, once it has ended.
    pub(super) stock: Stock,
    /// What is told of it.
    pub(super) spans: Spans,
}

impl Scene {
    /// Where its outputs go.
    pub(super) fn shelf(&self) -> Shelf {
        Shelf {
            instance: self.instance.clone(),
            task: self.claim.task,
            attempt: self.claim.attempt,
            owner: self.claim.owner.clone(),
            unwanted: self.ears.cancelled.clone(),
        }
    }
}

/// Repeats a verb until Redis answers: all of them are idempotent. Ends with the actor otherwise.
pub(super) async fn until_answered<T, F: Future<Output = Result<T>>>(mut verb: impl FnMut() -> F) -> T {
    let mut pause = REDIS_PAUSES.0;
    loop {
        match verb().await {
            Ok(answer) => return answer,
            Err(error) => {
                tracing::warn!(%error, "trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(REDIS_PAUSES.1);
            }
        }
    }
}
