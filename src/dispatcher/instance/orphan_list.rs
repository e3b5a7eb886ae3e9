//! The orphan prompts of an instance: prompts whose attempt has ended although they may still reach it.

use crate::dispatcher::shared::lock;
use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
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
    /// Notified when an orphan is added.
    pub(super) added: Notify,
}

impl OrphanPrompts {
    /// Remembers an orphan, and wakes the cancelling of orphans.
    pub(super) fn add(&self, prompt: Uuid, since: Instant) {
        let mut orphans = lock(&self.since);
        if orphans.len() < ORPHANS_MAX || orphans.contains_key(&prompt) {
            orphans.insert(prompt, since);
        }
        drop(orphans);
        self.added.notify_one();
    }

    /// Removes expired orphans and returns the others.
    pub(super) fn current(&self, now: Instant) -> Vec<Uuid> {
        let mut orphans = lock(&self.since);
        orphans.retain(|_, since| now.duration_since(*since) < RETENTION);
        orphans.keys().copied().collect()
    }

    /// Returns true at the first call for `prompt`.
    pub(super) fn is_first_seen(&self, prompt: Uuid) -> bool {
        let mut seen = lock(&self.seen);
        seen.len() < ORPHANS_MAX && seen.insert(prompt)
    }

    /// Returns the delay until the next poll; `None` without orphans.
    pub(super) fn poll_delay(&self, now: Instant) -> Option<Duration> {
        let youngest = now.duration_since(*lock(&self.since).values().max()?);
        Some(if youngest < YOUNG_AGE { SHORT_INTERVAL } else { LONG_INTERVAL })
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
