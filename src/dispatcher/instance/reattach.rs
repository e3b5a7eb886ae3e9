//! Reconciles the attempts that run here with those that Redis lists as in flight.
//!
//! After a takeover, or when the reply to a claim was lost, Redis lists attempts that do not run here: they are started.
//! A Redis that lost its last writes has forgotten attempts that do run here: they are reclaimed.

use super::state::Instance;
use crate::{
    dispatcher::attempt::{
        context::{RedisCall, until_answered},
        run::Run,
    },
    queue::{self, InFlight, Written},
    task::{Attempt, TaskId},
};
use std::sync::Arc;

/// Starts a run for every attempt in flight that has none here.
pub(crate) fn all(instance: &Arc<Instance>, in_flight: &InFlight) {
    for (task, attempt) in &in_flight.tasks {
        if !instance.runs.contains(*task, *attempt) {
            Run::attach(*task, *attempt).spawn(instance);
        }
    }
    for task in &in_flight.cancelled {
        instance.runs.cancel_task(*task);
    }
}

/// Reclaims an attempt that a Redis without its last writes answered with `NotThisAttempt`. Returns true if the attempt is
/// ours again; false means that the task has moved on.
pub(crate) async fn take_back(instance: &Instance, task: TaskId, attempt: Attempt) -> bool {
    let call = RedisCall::of_attempt("reclaim", &instance.target.id, task, attempt);
    until_answered(call, || try_take_back(instance, task, attempt)).await == Written::Done
}

/// Like [`take_back`], with a single call to Redis.
pub(crate) async fn try_take_back(instance: &Instance, task: TaskId, attempt: Attempt) -> queue::Result<Written> {
    let written = instance.queue().reclaim(&instance.lease, task, attempt).await?;
    if written == Written::Done {
        tracing::warn!(instance = %instance.target.id, %task, %attempt, "claim was missing in redis; reclaimed");
    }
    Ok(written)
}
