//! Reclaims attempts that run here and that Redis has forgotten, because it lost its last writes.

use crate::{
    dispatcher::{
        instance::state::Instance,
        redis_retry::{RedisCall, until_answered},
    },
    queue::{self, Written},
    task::{Attempt, TaskId},
};

/// Reclaims an attempt that a Redis without its last writes answered with `NotThisAttempt`. Returns true if the attempt
/// is ours again; false means that the task has moved on.
pub(crate) async fn reclaim(instance: &Instance, task: TaskId, attempt: Attempt) -> bool {
    let call = RedisCall::of_attempt("restore_claim", &instance.target.id, task, attempt);
    until_answered(call, || try_reclaim(instance, task, attempt)).await == Written::Done
}

/// Like [`reclaim`], with a single call to Redis.
pub(crate) async fn try_reclaim(instance: &Instance, task: TaskId, attempt: Attempt) -> queue::Result<Written> {
    let written = instance.queue().reclaim(&instance.lease, task, attempt).await?;
    if written == Written::Done {
        tracing::warn!(instance = %instance.target.id, %task, %attempt, "claim was missing in redis; reclaimed");
    }
    Ok(written)
}
