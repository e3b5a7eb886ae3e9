//! Since when heads wait for a warm place although an idle one could run them.

use std::{collections::HashMap, hash::Hash};

/// Holds of the current heads, by lane and group, or another key of the group.
///
/// A task with a lower tag may become the head. It takes over the hold, which then ends a little early, and leaves it to
/// the next head: no task is held twice.
#[derive(Debug)]
pub struct Holds<K> {
    holds: HashMap<K, Hold>,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    since_ms: u64,
    /// Tag of the head that was held first.
    tag: f64,
}

impl<K> Default for Holds<K> {
    fn default() -> Self {
        Self { holds: HashMap::new() }
    }
}

impl<K: Hash + Eq> Holds<K> {
    /// Returns the time at which the head of the group was held first, for [`super::policy::Head::held_since_ms`].
    #[must_use]
    pub fn since_ms(&self, group: &K, tag: f64) -> Option<u64> {
        self.holds.get(group).filter(|hold| tag <= hold.tag).map(|hold| hold.since_ms)
    }

    /// Notes which of the heads of a plan it holds, and forgets the others that were taken. `heads` are group and tag of
    /// each head of the plan. A hold that has ended is kept while its head waits.
    pub fn update(&mut self, heads: impl Iterator<Item = (K, f64)>, held: &[usize], now_ms: u64) {
        let before = std::mem::take(&mut self.holds);
        for (number, (group, tag)) in heads.enumerate() {
            let kept = before.get(&group).copied().filter(|hold| tag <= hold.tag);
            let hold = kept.or_else(|| held.contains(&number).then_some(Hold { since_ms: now_ms, tag }));
            self.holds.extend(hold.map(|hold| (group, hold)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Holds;

    #[test]
    fn a_hold_begins_once_and_ends_with_its_head() {
        let mut holds = Holds::default();
        holds.update([("a", 1.0), ("b", 2.0)].into_iter(), &[1], 10);
        holds.update([("a", 1.0), ("b", 2.0)].into_iter(), &[0, 1], 20);
        assert_eq!((holds.since_ms(&"a", 1.0), holds.since_ms(&"b", 2.0)), (Some(20), Some(10)));
        holds.update([("b", 2.0)].into_iter(), &[], 30);
        assert_eq!((holds.since_ms(&"a", 1.0), holds.since_ms(&"b", 2.0)), (None, Some(10)), "its hold has ended");
        assert_eq!(holds.since_ms(&"b", 3.0), None, "the next task of the group");
    }

    #[test]
    fn a_task_that_comes_before_the_head_does_not_renew_its_hold() {
        let mut holds = Holds::default();
        holds.update([("a", 5.0)].into_iter(), &[0], 10);
        holds.update([("a", 4.0)].into_iter(), &[0], 20);
        assert_eq!((holds.since_ms(&"a", 4.0), holds.since_ms(&"a", 5.0)), (Some(10), Some(10)));
    }
}
