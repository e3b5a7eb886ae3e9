//! Who leases which instance: a pure policy. Fair, stable, and every instance finds an owner.
//!
//! Each dispatcher may hold `ceil(instances / dispatchers)`. It takes free ones, those first that rendezvous hashing gives it,
//! and gives back what it holds above its share, one at a time.

use crate::task::InstanceId;
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moves {
    /// Try to lease these, in this order.
    pub(super) acquire: Vec<InstanceId>,
    /// Give this one back.
    pub(super) give_back: Option<InstanceId>,
}

/// Decides for the dispatcher `me`.
///
/// `free` are instances of the config whose lease nobody holds, `mine` those that `me` holds, `total` all of the config,
/// `dispatchers` the live ones (`me` counts even if missing there).
pub(super) fn decide(
    me: &str,
    dispatchers: &BTreeSet<String>,
    total: usize,
    free: &[InstanceId],
    mine: &[InstanceId],
) -> Moves {
    let live = dispatchers.len() + usize::from(!dispatchers.contains(me));
    let share = total.div_ceil(live);
    let mut acquire: Vec<InstanceId> = free.to_vec();
    acquire.sort_by_key(|instance| (!is_preferred(me, dispatchers, instance), score(me, instance)));
    acquire.truncate(share.saturating_sub(mine.len()));
    let give_back = (mine.len() > share)
        .then(|| mine.iter().min_by_key(|instance| (is_preferred(me, dispatchers, instance), score(me, instance))))
        .flatten()
        .cloned();
    Moves { acquire, give_back }
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

    /// Plays rounds of everybody deciding on what they see, until nothing moves.
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
                moved |= !moves.acquire.is_empty() || moves.give_back.is_some();
                mine.extend(moves.acquire);
                mine.retain(|id| Some(id) != moves.give_back.as_ref());
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
