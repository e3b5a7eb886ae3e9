//! Cancels orphan prompts: prompts whose attempt has ended although they may still reach their instance.
//!
//! A POST may be delayed on its way, and a disconnected instance may come back with its queue. Redis remembers orphan prompts,
//! so the current owner of the instance cancels each one that appears in its queue.

use super::state::{Instance, lock};
use crate::{
    dispatcher::attempt::context::{RedisCall, until_answered},
    queue::Written,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

/// Time for which an orphan is remembered, here and in Redis.
const RETENTION: Duration = Duration::from_secs(3_600);
/// Largest number of orphans remembered here. Further ones are remembered by Redis only, for the next owner.
const ORPHANS_MAX: usize = 1_000;
/// Age up to which an orphan is looked for often: most late requests arrive within it.
const YOUNG_AGE: Duration = Duration::from_secs(60);
/// Poll interval while the youngest orphan is young.
const SHORT_INTERVAL: Duration = Duration::from_secs(1);
/// Poll interval for old orphans.
const LONG_INTERVAL: Duration = Duration::from_secs(5);

/// Orphan prompts of one instance, with the time their attempt ended.
#[derive(Debug, Default)]
pub(crate) struct OrphanPrompts {
    since: Mutex<HashMap<Uuid, Instant>>,
    /// Orphans seen in the instance's queue, so that one that cannot be cancelled is logged once.
    seen: Mutex<HashSet<Uuid>>,
    added: Notify,
}

impl OrphanPrompts {
    fn add(&self, prompt: Uuid, since: Instant) {
        let mut orphans = lock(&self.since);
        if orphans.len() < ORPHANS_MAX || orphans.contains_key(&prompt) {
            orphans.insert(prompt, since);
        }
        drop(orphans);
        self.added.notify_one();
    }

    /// Removes expired orphans and returns the others.
    fn current(&self, now: Instant) -> Vec<Uuid> {
        let mut orphans = lock(&self.since);
        orphans.retain(|_, since| now.duration_since(*since) < RETENTION);
        orphans.keys().copied().collect()
    }

    fn is_first_seen(&self, prompt: Uuid) -> bool {
        let mut seen = lock(&self.seen);
        seen.len() < ORPHANS_MAX && seen.insert(prompt)
    }

    /// Returns the delay until the next poll; `None` without orphans.
    fn poll_delay(&self, now: Instant) -> Option<Duration> {
        let youngest = now.duration_since(*lock(&self.since).values().max()?);
        Some(if youngest < YOUNG_AGE { SHORT_INTERVAL } else { LONG_INTERVAL })
    }
}

impl Instance {
    /// Records an orphan prompt: it is cancelled whenever it appears in the instance's queue. Must be called before the attempt
    /// is settled, so that the next owner knows the orphan if this process dies in between.
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
    for orphan in orphans {
        let id = orphan.to_string();
        let is_queued = queue.running.contains(&id) || queue.pending.contains(&id);
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

#[cfg(test)]
mod tests {
    use super::{LONG_INTERVAL, ORPHANS_MAX, OrphanPrompts, RETENTION, SHORT_INTERVAL, YOUNG_AGE};
    use tokio::time::Instant;
    use uuid::Uuid;

    #[test]
    fn old_orphans_are_polled_less_often_and_then_forgotten() {
        let (orphans, now) = (OrphanPrompts::default(), Instant::now());
        assert_eq!(orphans.poll_delay(now), None);
        orphans.add(Uuid::from_u128(1), now);
        assert_eq!(orphans.poll_delay(now), Some(SHORT_INTERVAL));
        let later = now + YOUNG_AGE;
        assert_eq!(orphans.poll_delay(later), Some(LONG_INTERVAL));
        orphans.add(Uuid::from_u128(2), later);
        assert_eq!(orphans.poll_delay(later), Some(SHORT_INTERVAL));
        assert_eq!(orphans.current(now + RETENTION), [Uuid::from_u128(2)]);
        assert!(orphans.current(later + RETENTION).is_empty() && orphans.poll_delay(later + RETENTION).is_none());
    }

    #[test]
    fn remembered_orphans_are_bounded() {
        let (orphans, now) = (OrphanPrompts::default(), Instant::now());
        for n in 0..2 * u128::try_from(ORPHANS_MAX).unwrap() {
            orphans.add(Uuid::from_u128(n), now);
        }
        assert_eq!(orphans.current(now).len(), ORPHANS_MAX);
    }
}
