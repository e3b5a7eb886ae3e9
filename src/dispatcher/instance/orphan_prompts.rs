//! Cancels orphan prompts: prompts whose attempt has ended although they may still reach their instance.
//!
//! A POST may be delayed on its way, and a disconnected instance may come back with its queue. Redis remembers orphan
//! prompts, so the current owner of the instance cancels each one that appears in its queue.

use super::state::Instance;
use crate::{
    dispatcher::redis_retry::{RedisCall, until_answered},
    queue::Written,
};
use std::{collections::HashSet, sync::Arc};
use tokio::time::Instant;
use uuid::Uuid;

impl Instance {
    /// Records an orphan prompt: it is cancelled whenever it appears in the instance's queue. Must be called before the
    /// attempt is settled, so that the next owner knows the orphan if this process dies in between.
    pub(crate) async fn remember_orphan(&self, prompt: Uuid) {
        self.orphans.add(prompt, Instant::now());
        let call = RedisCall::of_instance("add_orphan_prompt", &self.target.id);
        if until_answered(call, || self.queue().add_orphan_prompt(&self.lease, prompt)).await == Written::Fenced {
            self.lifetime.lost.cancel();
        }
    }
}

/// Cancels orphan prompts until the actor ends.
pub(crate) async fn run(instance: Arc<Instance>) {
    let now = Instant::now();
    let call = RedisCall::of_instance("orphan_prompts", &instance.target.id);
    for (prompt, age) in until_answered(call, || instance.queue().orphan_prompts(&instance.target.id)).await {
        instance.orphans.add(prompt, now.checked_sub(age).unwrap_or(now));
    }
    loop {
        cancel_queued(&instance).await;
        match instance.orphans.poll_delay(Instant::now()) {
            Some(delay) => tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = instance.orphans.added.notified() => {}
            },
            None => instance.orphans.added.notified().await,
        }
    }
}

/// Cancels the orphans in the instance's queue. All orphans stay remembered, because each may arrive later still.
async fn cancel_queued(instance: &Instance) {
    let orphans = instance.orphans.current(Instant::now());
    if orphans.is_empty() || !instance.health().is_alive() {
        return;
    }
    let Ok(queue) = instance.client.queue().await else { return };
    let queued: HashSet<String> = queue.running.into_iter().chain(queue.pending).collect();
    for orphan in orphans {
        let id = orphan.to_string();
        let is_queued = queued.contains(&id);
        // A prompt that a run has recovered after a takeover is no orphan any more.
        if is_queued && instance.runs.task_of(orphan).is_none() && instance.clock.may_act() {
            if instance.orphans.is_first_seen(orphan) {
                tracing::warn!(instance = %instance.target.id, prompt = id, "orphan prompt in the instance's queue; cancelling");
            }
            if let Err(error) = instance.client.cancel(orphan).await {
                tracing::debug!(instance = %instance.target.id, prompt = id, %error, "orphan prompt not cancelled; retrying");
            }
        }
    }
}
