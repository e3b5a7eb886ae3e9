//! The fair order of a lane: start-time fair queueing over owners with weights. The same rules as in Lua.
//!
//! A task's tag is the virtual time at which it starts: where the owner's last task ends, but at most [`CREDIT`] before the
//! lane's virtual time. An owner's task occupies cost / weight. Ties go by arrival. The credit lets the first tasks of an
//! owner who had none go before the backlog of others: an owner of three tasks does not wait for three rounds of all owners.
//!
//! The virtual time follows the *first* tag that waits, not the last that was taken: a warm task that goes first from far
//! behind would otherwise move all newcomers behind it. It also advances by [`STEP`] with each task taken, so that an
//! endless stream of new owners, who all start there, does not keep the tasks of others waiting for ever.

use std::{collections::HashMap, hash::Hash};

/// Virtual time that passes with each task, in tasks of the mean cost: at most 1 / `STEP` tasks are taken before the tags
/// of newcomers have moved on by one.
pub const STEP: f64 = 1.0 / 256.0;
/// Virtual time that an owner without tasks may start before the virtual time of the lane.
pub const CREDIT: f64 = 2.0;
/// Smallest and largest cost of a task.
pub const COST: (f64, f64) = (1.0 / 16.0, 16.0);
/// Smallest and largest weight of an owner.
pub const WEIGHT: (f64, f64) = (1.0 / 16.0, 16.0);

/// Virtual times of one lane. Ends of owners that lie before the virtual time mean nothing; an emptied lane starts anew.
#[derive(Debug)]
pub struct FairOrder<K> {
    now: f64,
    ends: HashMap<K, f64>,
}

impl<K> Default for FairOrder<K> {
    fn default() -> Self {
        Self { now: CREDIT, ends: HashMap::new() }
    }
}

impl<K: Hash + Eq> FairOrder<K> {
    /// Returns the tag of the owner's next task. `cost` is its predicted run time relative to the mean, 1 if unknown.
    pub fn tag(&mut self, owner: K, cost: f64, weight: f64) -> f64 {
        let earliest = self.now - CREDIT;
        let end = self.ends.entry(owner).or_insert(earliest);
        let tag = end.max(earliest);
        *end = tag + cost.clamp(COST.0, COST.1) / weight.clamp(WEIGHT.0, WEIGHT.1);
        tag
    }

    /// Notes that a task was taken. `first` is the lowest tag that waited, the task's own included, among the tasks that
    /// its place can run.
    pub fn take(&mut self, first: f64) {
        self.now = (self.now + STEP).max(first);
    }

    /// Forgets all owners: the lane is empty.
    pub fn clear(&mut self) {
        self.now = CREDIT;
        self.ends.clear();
    }
}

/// Returns the cost of a task for [`FairOrder::tag`].
#[must_use]
pub fn cost(run_ms: Option<f64>, mean_ms: Option<f64>) -> f64 {
    match (run_ms, mean_ms) {
        (Some(run), Some(mean)) if mean > 0.0 => (run / mean).clamp(COST.0, COST.1),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{CREDIT, FairOrder, STEP, cost};
    use proptest::prelude::*;

    /// Takes the lowest tag of each of two owners who always have tasks, and returns the work done for each.
    fn shares(weights: [f64; 2], costs: &[f64]) -> [f64; 2] {
        let mut fair = FairOrder::default();
        let mut tags = [0, 1].map(|owner| fair.tag(owner, costs[0], weights[owner]));
        let mut next = [costs[0]; 2];
        let mut done = [0.0; 2];
        for &cost in costs {
            let owner = usize::from(tags[1] < tags[0]);
            fair.take(tags[owner]);
            done[owner] += next[owner];
            tags[owner] = fair.tag(owner, cost, weights[owner]);
            next[owner] = cost;
        }
        done
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn weights_give_shares(a in 1..9_u8, b in 1..9_u8, costs in prop::collection::vec(0.1..4.0_f64, 1..400)) {
            let weights = [f64::from(a), f64::from(b)];
            let done = shares(weights, &costs);
            // Virtual time of each owner: apart by a task of each at most, and by the credit.
            let apart = (done[0] / weights[0] - done[1] / weights[1]).abs();
            let bound = 4.0 / weights[0] + 4.0 / weights[1] + CREDIT;
            prop_assert!(apart <= bound, "{apart} > {bound}");
        }
    }

    #[test]
    fn tasks_of_equal_owners_alternate_and_ties_keep_the_arrival() {
        let mut fair = FairOrder::default();
        let tags = ["a", "a", "a", "b", "b"].map(|owner| fair.tag(owner, 1.0, 1.0));
        assert_eq!(tags, [0.0, 1.0, 2.0, 0.0, 1.0]);
    }

    #[test]
    fn an_owner_without_tasks_starts_before_the_backlog() {
        let mut fair = FairOrder::default();
        let backlog: Vec<f64> = (0..20).map(|_| fair.tag("many", 1.0, 1.0)).collect();
        backlog[..10].iter().for_each(|&tag| fair.take(tag));
        let few = fair.tag("few", 1.0, 1.0);
        assert!(few < backlog[10] && few >= backlog[9] - CREDIT, "{few}");
    }

    #[test]
    fn an_owner_who_paused_has_no_more_credit_than_a_new_one() {
        let mut fair = FairOrder::default();
        fair.tag("old", 1.0, 1.0);
        fair.take(50.0);
        assert_eq!((fair.tag("old", 1.0, 1.0), fair.tag("new", 1.0, 1.0)), (50.0 - CREDIT, 50.0 - CREDIT));
    }

    /// Each of them takes the place of the one before, at the lowest tag.
    #[test]
    fn new_owners_do_not_go_first_for_ever() {
        let mut fair = FairOrder::default();
        let waiting = [0, 0, 0].map(|owner| fair.tag(owner, 1.0, 1.0))[2];
        let overtaking = (1..100_000).take_while(|&newcomer| {
            let tag = fair.tag(newcomer, 1.0, 1.0);
            fair.take(tag);
            tag < waiting
        });
        assert!(overtaking.count() <= ((waiting + CREDIT) / STEP) as usize);
    }

    #[test]
    fn the_cost_is_bounded_and_1_while_unknown() {
        assert_eq!(cost(None, Some(5.0)), 1.0);
        assert_eq!(cost(Some(10.0), Some(5.0)), 2.0);
        assert_eq!(cost(Some(1e9), Some(5.0)), 16.0);
        assert_eq!(cost(Some(0.0), Some(5.0)), 1.0 / 16.0);
    }
}
