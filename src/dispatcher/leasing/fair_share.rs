//! Decides which dispatcher leases which instance. Pure; fair and stable, and every instance gets an owner.
//!
//! Each dispatcher may hold `ceil(instances / dispatchers)`. It takes free instances, preferring those that rendezvous
//! hashing assigns to it, and releases those above its share, one at a time.
//!
//! The hash only orders preferences. Dispatchers that rank instances differently (two releases during a rolling
//! upgrade) still agree about the size of a share, so a lease moves only while its owner holds more than its share.

use crate::task::InstanceId;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The next changes of a dispatcher's leases.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeaseChanges {
    /// Instances to lease, in this order.
    pub(crate) acquire: Vec<InstanceId>,
    /// The instance to release.
    pub(crate) release: Option<InstanceId>,
}

/// The leases of a fleet, as one dispatcher sees them.
#[derive(Debug)]
pub(crate) struct FleetView<'a> {
    /// Live dispatchers. The deciding one counts even if missing here.
    pub(crate) dispatchers: &'a BTreeSet<String>,
    /// Number of instances in the config.
    pub(crate) total: usize,
    /// Instances of the config that no dispatcher leases.
    pub(crate) free: &'a [InstanceId],
    /// Instances that the deciding dispatcher leases.
    pub(crate) mine: &'a [InstanceId],
}

/// Decides the changes of dispatcher `me`.
pub(crate) fn decide(me: &str, fleet: &FleetView<'_>) -> LeaseChanges {
    decide_by(score, me, fleet)
}

/// Like [`decide`], with preferences in the order of `score`.
fn decide_by(score: fn(&str, &InstanceId) -> u64, me: &str, fleet: &FleetView<'_>) -> LeaseChanges {
    let preference = |instance: &InstanceId| {
        let own = score(me, instance);
        let is_preferred = fleet.dispatchers.iter().all(|other| other == me || score(other, instance) < own);
        (is_preferred, own)
    };
    let live = fleet.dispatchers.len() + usize::from(!fleet.dispatchers.contains(me));
    let share = fleet.total.div_ceil(live);
    let mut acquire: Vec<InstanceId> = fleet.free.to_vec();
    acquire.sort_by_cached_key(|instance| {
        let (is_preferred, own) = preference(instance);
        (!is_preferred, own)
    });
    acquire.truncate(share.saturating_sub(fleet.mine.len()));
    let is_above_share = fleet.mine.len() > share;
    let release = is_above_share.then(|| fleet.mine.iter().min_by_key(|instance| preference(instance)));
    LeaseChanges { acquire, release: release.flatten().cloned() }
}

/// Rendezvous score: the first 8 bytes of SHA-256 over `dispatcher`, a zero byte and `instance`, big-endian. The same
/// in every release, unlike the hash of the standard library.
fn score(dispatcher: &str, instance: &InstanceId) -> u64 {
    let digest = Sha256::new().chain_update(dispatcher).chain_update([0]).chain_update(instance.as_str()).finalize();
    digest.iter().take(8).fold(0, |score, byte| (score << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{FleetView, decide_by, score};
    use crate::task::InstanceId;
    use std::{
        collections::{BTreeMap, BTreeSet},
        hash::{DefaultHasher, Hash, Hasher},
    };

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
                let fleet = FleetView { dispatchers: &live, total, free: &free, mine };
                let score = if me.starts_with("old") { earlier_score } else { score };
                let changes = decide_by(score, me, &fleet);
                moved |= !changes.acquire.is_empty() || changes.release.is_some();
                mine.extend(changes.acquire);
                mine.retain(|id| Some(id) != changes.release.as_ref());
            }
            if !moved {
                return round;
            }
        }
        panic!("leases keep moving");
    }

    #[test]
    fn every_instance_gets_an_owner_and_shares_are_fair() {
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
    fn a_new_dispatcher_gets_its_share_and_then_no_lease_moves() {
        let mut held = BTreeMap::new();
        settle(&["a", "b"], 9, &mut held);
        settle(&["a", "b", "c"], 9, &mut held);
        assert!(held.values().all(|mine| mine.len() == 3));
        let before = held.clone();
        assert_eq!(settle(&["a", "b", "c"], 9, &mut held), 0);
        assert_eq!(before, held);
    }

    /// The score of releases up to 0.1: the standard library's hash.
    fn earlier_score(dispatcher: &str, instance: &InstanceId) -> u64 {
        let mut hasher = DefaultHasher::new();
        (dispatcher, instance.as_str()).hash(&mut hasher);
        hasher.finish()
    }

    /// A rolling upgrade: the two releases rank the instances differently.
    #[test]
    fn dispatchers_with_different_hashes_settle_and_then_no_lease_moves() {
        for total in [2, 9, 100] {
            let mut held = BTreeMap::new();
            settle(&["old-a", "old-b", "old-c"], total, &mut held);
            held.remove("old-c");
            for dispatchers in [["old-a", "old-b", "new-c"], ["old-a", "new-b", "new-c"]] {
                held.retain(|name, _| dispatchers.contains(&name.as_str()));
                settle(&dispatchers, total, &mut held);
                assert_eq!(held.values().map(Vec::len).sum::<usize>(), total);
                let before = held.clone();
                assert_eq!(settle(&dispatchers, total, &mut held), 0);
                assert_eq!(before, held);
            }
        }
    }

    #[test]
    fn the_score_is_the_same_in_every_release() {
        assert_eq!(score("a", &InstanceId::new("10.0.0.1:8188")), 0x88d4_bb83_36c4_28de);
    }
}
