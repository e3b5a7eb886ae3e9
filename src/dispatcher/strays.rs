//! Prompts that were given up though they may still come to their instance: a request held up on the way, an instance that was
//! cut off and comes back with its queue. Each one that shows up is dropped, by whoever owns the instance then: Redis keeps
//! them.

use super::{
    instance::{Instance, lock},
    scene::until_answered,
};
use crate::queue::Written;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

/// So long are they looked for, here as in Redis.
const KEPT: Duration = Duration::from_secs(3_600);
/// Remembered at once; beyond it only Redis knows them, and the next owner.
const STRAYS_MAX: usize = 1_000;
/// Most requests that come late come within this: so long is it looked often.
const YOUNG: Duration = Duration::from_secs(60);
/// Between two looks for young ones.
const LOOK_OFTEN: Duration = Duration::from_secs(1);
/// Between two looks for old ones.
const LOOK_SELDOM: Duration = Duration::from_secs(5);

/// Those of one instance, by when they were given up.
#[derive(Debug, Default)]
pub(super) struct Strays {
    since: Mutex<HashMap<Uuid, Instant>>,
    /// Those that were seen in the queue: one that an instance cannot let go of is told once.
    seen: Mutex<HashSet<Uuid>>,
    added: Notify,
}

impl Strays {
    fn add(&self, prompt: Uuid, since: Instant) {
        let mut strays = lock(&self.since);
        if strays.len() < STRAYS_MAX || strays.contains_key(&prompt) {
            strays.insert(prompt, since);
        }
        drop(strays);
        self.added.notify_one();
    }

    /// Without those that are too old to come any more.
    fn current(&self, now: Instant) -> Vec<Uuid> {
        let mut strays = lock(&self.since);
        strays.retain(|_, since| now.duration_since(*since) < KEPT);
        strays.keys().copied().collect()
    }

    fn is_first_seen(&self, prompt: Uuid) -> bool {
        let mut seen = lock(&self.seen);
        seen.len() < STRAYS_MAX && seen.insert(prompt)
    }

    /// Until the next look; `None` when there is nothing to look for.
    fn pause(&self, now: Instant) -> Option<Duration> {
        let youngest = now.duration_since(*lock(&self.since).values().max()?);
        Some(if youngest < YOUNG { LOOK_OFTEN } else { LOOK_SELDOM })
    }
}

impl Instance {
    /// A prompt is given up here: it is dropped whenever it shows up in the instance's queue. Said before the attempt is ended:
    /// should this process die in between, the next owner knows.
    pub(super) async fn remember_stray(&self, prompt: Uuid) {
        self.strays.add(prompt, Instant::now());
        if until_answered(|| self.queue().add_stray(&self.lease, prompt)).await == Written::Fenced {
            self.lost.cancel();
        }
    }
}

/// Drops strays until the actor ends.
pub(super) async fn run(instance: Arc<Instance>) {
    let now = Instant::now();
    for (prompt, age) in until_answered(|| instance.queue().strays(&instance.target.id)).await {
        instance.strays.add(prompt, now.checked_sub(age).unwrap_or(now));
    }
    loop {
        drop_those_that_came(&instance).await;
        match instance.strays.pause(Instant::now()) {
            Some(pause) => tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = instance.strays.added.notified() => {}
            },
            None => instance.strays.added.notified().await,
        }
    }
}

/// They stay remembered: one that is not there may come later still.
async fn drop_those_that_came(instance: &Instance) {
    let strays = instance.strays.current(Instant::now());
    if strays.is_empty() || !instance.health().is_alive() {
        return;
    }
    let Ok(queue) = instance.client.queue().await else { return };
    for stray in strays {
        let id = stray.to_string();
        let has_come = queue.running.contains(&id) || queue.pending.contains(&id);
        // One that was taken up again after a takeover is no stray: its attempt sees to it.
        if has_come && !instance.has_prompt(stray) && instance.clock.may_act() {
            if instance.strays.is_first_seen(stray) {
                tracing::warn!(instance = %instance.target.id, prompt = id, "a prompt that was given up is in the queue; dropping it");
            }
            if let Err(error) = instance.client.cancel(stray).await {
                tracing::debug!(instance = %instance.target.id, prompt = id, %error, "it stays until the next look");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, LOOK_OFTEN, LOOK_SELDOM, STRAYS_MAX, Strays, YOUNG};
    use tokio::time::Instant;
    use uuid::Uuid;

    #[test]
    fn old_strays_are_looked_for_less_often_and_then_forgotten() {
        let (strays, now) = (Strays::default(), Instant::now());
        assert_eq!(strays.pause(now), None);
        strays.add(Uuid::from_u128(1), now);
        assert_eq!(strays.pause(now), Some(LOOK_OFTEN));
        let later = now + YOUNG;
        assert_eq!(strays.pause(later), Some(LOOK_SELDOM));
        strays.add(Uuid::from_u128(2), later);
        assert_eq!(strays.pause(later), Some(LOOK_OFTEN));
        assert_eq!(strays.current(now + KEPT), [Uuid::from_u128(2)]);
        assert!(strays.current(later + KEPT).is_empty() && strays.pause(later + KEPT).is_none());
    }

    #[test]
    fn strays_are_bounded() {
        let (strays, now) = (Strays::default(), Instant::now());
        for n in 0..2 * u128::try_from(STRAYS_MAX).unwrap() {
            strays.add(Uuid::from_u128(n), now);
        }
        assert_eq!(strays.current(now).len(), STRAYS_MAX);
    }
}
