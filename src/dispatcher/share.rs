//! Decides which dispatcher leases which instance. Pure; fair and stable, and every instance gets an owner.
//!
//! Each dispatcher may hold `ceil(instances / dispatchers)`. It takes free instances, preferring those that rendezvous hashing
//! assigns to it, and releases those above its share, one at a time.
//!
//! The hash only orders preferences. Dispatchers that disagree about it (two releases during a rolling upgrade) still agree
//! about the shares, so an instance moves only while its owner holds more than its share.

use crate::task::InstanceId;
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The next changes of a dispatcher's leases.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeaseChanges {
    /// Instances to lease, in this order.
    pub(super) acquire: Vec<InstanceId>,
    /// The instance to release.
    pub(super) release: Option<InstanceId>,
}

/// Decides the changes of dispatcher `me`.
///
/// `free` holds the instances of the config that no dispatcher leases, `mine` those that `me` leases. `total` counts the
/// instances of the config. `dispatchers` are the live ones; `me` counts even if missing there.
pub(super) fn decide(
    me: &str,
    dispatchers: &BTreeSet<String>,
    total: usize,
    free: &[InstanceId],
    mine: &[InstanceId],
) -> LeaseChanges {
    let live = dispatchers.len() + usize::from(!dispatchers.contains(me));
    let share = total.div_ceil(live);
    let mut acquire: Vec<InstanceId> = free.to_vec();
    acquire.sort_by_key(|instance| (!is_preferred(me, dispatchers, instance), score(me, instance)));
    acquire.truncate(share.saturating_sub(mine.len()));
    let release = (mine.len() > share)
        .then(|| mine.iter().min_by_key(|instance| (is_preferred(me, dispatchers, instance), score(me, instance))))
        .flatten()
        .cloned();
    LeaseChanges { acquire, release }
}

fn is_preferred(me: &str, dispatchers: &BTreeSet<String>, instance: &InstanceId) -> bool {
    let own = score(me, instance);
    dispatchers.iter().all(|other| other == me || score(other, instance) < own)
}

fn score(dispatcher: &str, instance: &InstanceId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (dispatcher, instance.as_str()).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::decide;
    use crate::task::InstanceId;
    use std::collections::{BTreeMap, BTreeSet};

    fn instances(count: usize) -> Vec<InstanceId> {
        (0..count).map(|n| InstanceId::new(format!("10.0.0.1:{}", 8000 + n))).collect()
    }

    /// Lets all dispatchers decide in rounds until no lease moves. Returns the number of rounds with a change.
    fn settle(dispatchers: &[&str], total: usize, held: &mut BTreeMap<String, Vec<InstanceId>>) -> usize {
        let live: BTreeSet<String> = dispatchers.iter().map(|&name| name.to_owned()).collect();
        let all = instances(total);
        for round in 0..200 {
            let mut moved = false;
            for &me in dispatchers {
                let taken: BTreeSet<InstanceId> = held.values().flatten().cloned().collect();
                let free: Vec<InstanceId> = all.iter().filter(|id| !taken.contains(*id)).cloned().collect();
                let mine = held.entry(me.to_owned()).or_default();
                let moves = decide(me, &live, total, &free, mine);
                moved |= !moves.acquire.is_empty() || moves.release.is_some();
                mine.extend(moves.acquire);
                mine.retain(|id| Some(id) != moves.release.as_ref());
            }
            if !moved {
                return round;
            }
        }
        panic!("never settles");
    }

    #[test]
    fn every_instance_finds_an_owner_and_shares_are_fair() {
        for (dispatchers, total) in
            [(vec!["a"], 5), (vec!["a", "b"], 7), (vec!["a", "b", "c"], 2), (vec!["a", "b", "c"], 100)]
        {
            let mut held = BTreeMap::new();
            settle(&dispatchers, total, &mut held);
            let counts: Vec<usize> = dispatchers.iter().map(|name| held[*name].len()).collect();
            assert_eq!(counts.iter().sum::<usize>(), total);
            assert!(counts.iter().all(|count| *count <= total.div_ceil(dispatchers.len())), "{counts:?}");
        }
    }

    #[test]
    fn a_newcomer_gets_its_share_and_then_nothing_moves() {
        let mut held = BTreeMap::new();
        settle(&["a", "b"], 9, &mut held);
        settle(&["a", "b", "c"], 9, &mut held);
        assert!(held.values().all(|mine| mine.len() == 3));
        let before = held.clone();
        assert_eq!(settle(&["a", "b", "c"], 9, &mut held), 0);
        assert_eq!(before, held);
    }
}
