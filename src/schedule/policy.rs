//! The choice of the next tasks: which free place takes the head of which group, and which heads wait for a warm place.
//!
//! In each lane, the most urgent first:
//!
//! 1. a *due* head, passed over too often or for too long, goes to the best place;
//! 2. heads in the window go to places that are warm for them, in fair order;
//! 3. each other head goes to the best place in fair order, unless it is *held*: places that are warm for it are expected
//!    to be idle soon enough for all tasks of its group.
//!
//! The best place is idle rather than busy, then has the least to load, then was used least recently.

mod lane;
#[cfg(test)]
mod tests;

use super::passes::Passes;
use lane::Planner;

/// Settings of the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Whether warm places go first. Otherwise tasks are taken in fair order: `--schedule fifo`.
    pub is_warm_first: bool,
    /// Later tasks that may go before the first head of a lane.
    pub passes_max: u32,
    /// Time, in ms from the first of them, during which later tasks may go before it.
    pub passed_ms_max: u64,
    /// Longest hold of a head, in load times, while the fleet is idle. Holding saves a load and costs a wait: on a calm fleet
    /// the wait matters, on a busy one the load.
    pub hold_loads: f64,
    /// Load times added to it in proportion to the share of busy places.
    pub hold_loads_busy: f64,
    /// Loading time, in ms, up to which a place counts as warm: a missing LoRA is no reason to wait.
    pub warm_ms_max: u64,
    /// Time, in ms, that an idle place of another dispatcher has to take a task before it goes into a second slot here.
    pub foreign_idle_ms: u64,
}

/// Tasks of a lane, in fair order, among which a warm place takes the first that it is warm for.
pub const WINDOW_TASKS: usize = 48;

impl Policy {
    /// Returns the policy of `--schedule warm`. `load_ms` is the typical load time of the fleet.
    #[must_use]
    pub fn warm(load_ms: u64) -> Self {
        Self {
            is_warm_first: true,
            passes_max: 64,
            passed_ms_max: (3 * load_ms).max(120_000),
            hold_loads: 0.5,
            hold_loads_busy: 2.0,
            warm_ms_max: 5_000,
            foreign_idle_ms: 2_000,
        }
    }

    /// Returns the policy of `--schedule fifo`.
    #[must_use]
    pub fn fifo() -> Self {
        Self { is_warm_first: false, hold_loads: 0.0, hold_loads_busy: 0.0, ..Self::warm(0) }
    }

    /// Decides for all free slots of our places at once. A plan that makes claims is followed by another one with the new
    /// heads, until there are no claims.
    ///
    /// `heads` are those of each lane in fair order, the lane that is served first in front; heads after the first 64 of a
    /// lane need not be given. Linear in heads × free places.
    #[must_use]
    pub fn plan(&self, heads: &[Head], places: &[Place], fleet: &dyn Fleet, now_ms: u64) -> Plan {
        let mut planner = Planner::new(self, heads, places, fleet, now_ms);
        let mut first = 0;
        for lane in heads.chunk_by(|a, b| a.lane == b.lane) {
            planner.plan_lane(first..first + lane.len());
            first += lane.len();
        }
        planner.into_plan()
    }
}

/// First waiting task of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Lane of the task, 0 (most urgent) to 2.
    pub lane: u8,
    /// Fair tag of the task.
    pub tag: f64,
    /// Waiting tasks of the group, this one included.
    pub waiting: u32,
    /// Whether the task is among the first [`WINDOW_TASKS`] tasks of its lane. Always true if that is not known.
    pub is_in_window: bool,
    /// Predicted run time, in ms, without loading.
    pub run_ms: u64,
    /// Passes over the task.
    pub passes: Passes,
    /// Unix ms since when it is held ([`super::holds::Holds`]).
    pub held_since_ms: Option<u64>,
}

/// An instance as the policy sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Whether this process dispatches for the instance. Other places get no claims; heads are held for them.
    pub is_ours: bool,
    /// Slots that are free now. 0 while the instance is down, disabled, paused or draining.
    pub free_slots: u32,
    /// Tasks in flight.
    pub busy_slots: u32,
    /// Unix ms at which the tasks in flight are expected to have ended; any time in the past for an idle place.
    pub idle_ms: u64,
    /// Unix ms at which it was used last; 0 while it has room for another model.
    pub used_ms: u64,
}

/// Facts about the heads and places of a plan, both given by their index.
pub trait Fleet {
    /// Returns the expected time to load the models of the head that the place does not hold, in ms: 0 if it holds them
    /// all. `None` if the place cannot run the task.
    fn load_ms(&self, head: usize, place: usize) -> Option<u64>;

    /// Returns the places that hold all base models of the head and can run it, ours and others, free or busy.
    fn holders(&self, head: usize) -> &[usize];
}

/// Result of [`Policy::plan`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Claims to make, at most one per free slot. They may be made at the same time.
    pub claims: Vec<Claim>,
    /// Heads that wait for a warm or an idle place, for [`super::holds::Holds::update`].
    pub held: Vec<usize>,
    /// Unix ms at which the first hold ends: plan again then, if nothing else happens before.
    pub look_again_ms: Option<u64>,
}

/// Claim of a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Index of the place.
    pub place: usize,
    /// Heads to try, the best first. At most [`ORDER_MAX`]; the others are for the case that a head is gone.
    pub order: Vec<usize>,
    /// Heads that may be the first of their lane that the place can run: one of a lane, and more only if the same plan takes
    /// others of their groups. When the claim takes a task of a lane, the first of them in that lane (by the tag that it has
    /// then) was passed over if its tag is lower.
    pub firsts: Vec<usize>,
}

/// Heads that a claim tries.
pub const ORDER_MAX: usize = 8;
