//! Since when heads wait for a warm place although an idle one could run them.

use std::{collections::HashMap, hash::Hash};

/// Holds of the current heads, by a key that names the head: its group and its tag.
#[derive(Debug)]
pub struct Holds<K> {
    since_ms: HashMap<K, u64>,
}

impl<K> Default for Holds<K> {
    fn default() -> Self {
        Self { since_ms: HashMap::new() }
    }
}

impl<K: Hash + Eq + Clone> Holds<K> {
    /// Returns the time at which the head was held first, for [`super::policy::Head::held_since_ms`].
    #[must_use]
    pub fn since_ms(&self, head: &K) -> Option<u64> {
        self.since_ms.get(head).copied()
    }

    /// Notes which of the `heads` of a plan it holds, and forgets heads that are none any more. A hold that has ended is
    /// kept while its head waits: a head is held once.
    pub fn update<'a>(&mut self, heads: impl Iterator<Item = &'a K>, held: &[usize], now_ms: u64)
    where
        K: 'a,
    {
        let mut kept = HashMap::new();
        for (number, head) in heads.enumerate() {
            let since = self.since_ms(head).or_else(|| held.contains(&number).then_some(now_ms));
            if let Some(since) = since {
                kept.insert(head.clone(), since);
            }
        }
        self.since_ms = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::Holds;

    #[test]
    fn a_hold_begins_once_and_ends_with_its_head() {
        let mut holds = Holds::default();
        holds.update(["a", "b"].iter(), &[1], 10);
        holds.update(["a", "b"].iter(), &[0, 1], 20);
        assert_eq!((holds.since_ms(&"a"), holds.since_ms(&"b")), (Some(20), Some(10)));
        holds.update(["b"].iter(), &[], 30);
        assert_eq!((holds.since_ms(&"a"), holds.since_ms(&"b")), (None, Some(10)));
    }
}
