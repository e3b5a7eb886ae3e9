//! The fair order of a lane: start-time fair queueing over owners with weights. The same rules as in Lua.
//!
//! A task's tag is the virtual time at which it starts: where the owner's last task ends, never before the lane's virtual
//! time. An owner's task occupies cost / weight. Ties go by arrival.
//!
//! The virtual time follows the *first* tag that waits, not the last that was taken: a warm task that goes first from far
//! behind would otherwise move all newcomers behind it. It also advances by [`STEP`] with each task taken, so that an
//! endless stream of new owners, who all start at the virtual time, does not keep the tasks of others waiting for ever.

use std::{collections::HashMap, hash::Hash};

/// Virtual time that passes with each task, in tasks of the mean cost. At most 1 / `STEP` tasks of new owners go before
/// an owner's task for each mean task that the owner has before it.
pub const STEP: f64 = 1.0 / 256.0;
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
        Self { now: 0.0, ends: HashMap::new() }
    }
}

impl<K: Hash + Eq> FairOrder<K> {
    /// Returns the tag of the owner's next task. `cost` is its predicted run time relative to the mean, 1 if unknown.
    pub fn tag(&mut self, owner: K, cost: f64, weight: f64) -> f64 {
        let end = self.ends.entry(owner).or_insert(self.now);
        let tag = end.max(self.now);
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
        self.now = 0.0;
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
