//! Takes up what Redis says is in flight on the instance: after a takeover, or when a claim's answer was lost. And the other
//! way round: takes back what runs here and Redis has forgotten.

use super::{attempt::Run, instance::Instance, scene::until_answered};
use crate::{
    queue::{self, InFlight, Written},
    task::{Attempt, TaskId},
};
use std::sync::Arc;

/// Starts an attempt for everything in flight that has none here.
pub(super) fn all(instance: &Arc<Instance>, in_flight: &InFlight) {
    for (task, attempt) in &in_flight.tasks {
        if !instance.has_run(*task, *attempt) {
            Run::attach(*task, *attempt).spawn(instance);
        }
    }
    for task in &in_flight.cancelled {
        instance.cancel(*task);
    }
}

/// A Redis that came back without its last moments says "not this attempt" to the one who runs it. Whether the attempt is
/// ours again; it is not when Redis knows better.
pub(super) async fn take_back(instance: &Instance, task: TaskId, attempt: Attempt) -> bool {
    until_answered(|| try_take_back(instance, task, attempt)).await == Written::Done
}

/// [`take_back`], asked once.
pub(super) async fn try_take_back(instance: &Instance, task: TaskId, attempt: Attempt) -> queue::Result<Written> {
    let written = instance.queue().reclaim(&instance.lease, task, attempt).await?;
    if written == Written::Done {
        tracing::warn!(instance = %instance.target.id, %task, %attempt, "redis had forgotten a claim; taken back");
    }
    Ok(written)
}
