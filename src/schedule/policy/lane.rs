//! The plan of one lane after the other: due heads, warm places, then the rest unless it is held.

use super::{super::passes::Passes, Claim, Fleet, Head, ORDER_MAX, Place, Plan, Policy};
use std::{collections::HashMap, ops::Range};

/// A plan in the making.
pub(super) struct Planner<'a> {
    policy: &'a Policy,
    heads: &'a [Head],
    fleet: &'a dyn Fleet,
    now_ms: u64,
    /// Longest hold of a head, in load times.
    hold_loads: f64,
    /// Places, with the slots that the plan has filled.
    places: Vec<Place>,
    /// Our places with a free slot.
    free: Vec<usize>,
    /// Tasks of each head's group that the plan has not given away.
    waiting: Vec<u32>,
    /// Time of warm places, in ms, that earlier heads are held for.
    reserved_ms: HashMap<usize, u64>,
    /// Passes over each head that the plan adds.
    passed: Vec<u32>,
    claims: Vec<Given>,
    /// Heads that are held, and until when.
    held: Vec<(usize, u64)>,
}

/// A claim in the making.
struct Given {
    place: usize,
    head: usize,
    /// Possible first heads of each lane when the claim is made.
    firsts: Vec<usize>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        policy: &'a Policy,
        heads: &'a [Head],
        places: &'a [Place],
        fleet: &'a dyn Fleet,
        now_ms: u64,
    ) -> Self {
        let is_free = |place: &Place| place.is_ours && place.free_slots > 0;
        let busy = places.iter().filter(|place| place.busy_slots > 0).count() as f64;
        let all = places.iter().filter(|place| place.busy_slots + place.free_slots > 0).count().max(1) as f64;
        Self {
            policy,
            heads,
            fleet,
            now_ms,
            hold_loads: policy.hold_loads + policy.hold_loads_busy * busy / all,
            free: (0..places.len()).filter(|&place| is_free(&places[place])).collect(),
            places: places.to_vec(),
            waiting: heads.iter().map(|head| head.waiting).collect(),
            reserved_ms: HashMap::new(),
            passed: vec![0; heads.len()],
            claims: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Plans the heads of a lane.
    ///
    /// The task after the head of a group is not known. While slots are scarce, a plan therefore takes one task of a group
    /// at most; in fair order it ends with such a group, whose next task may come before all others.
    pub(super) fn plan_lane(&mut self, lane: Range<usize>) {
        let slots: u64 = self.free.iter().map(|&place| u64::from(self.places[place].free_slots)).sum();
        let is_scarce = slots < lane.clone().map(|head| u64::from(self.heads[head].waiting)).sum();
        if self.policy.is_warm_first {
            for head in lane.clone() {
                if let Some(place) = self.best_place(head).filter(|_| self.is_due(head)) {
                    self.give(head, place);
                }
            }
            for head in lane.clone().filter(|&head| self.heads[head].is_in_window) {
                while self.has_more(head, is_scarce)
                    && let Some(place) = self.best_place(head).filter(|&place| self.is_warm(head, place))
                    && self.second_slot_until(head, place).is_none()
                {
                    self.give(head, place);
                }
            }
        }
        for head in lane {
            while self.has_more(head, is_scarce)
                && let Some(place) = self.best_place(head)
            {
                if let Some(until) = self.hold_until(head, place) {
                    self.held.push((head, until));
                    break;
                }
                self.give(head, place);
            }
            if !self.policy.is_warm_first && is_scarce && self.waiting[head] > 0 && self.is_touched(head) {
                self.free.clear();
            }
        }
    }

    /// Whether a task of the head's group may be planned.
    fn has_more(&self, head: usize, is_scarce: bool) -> bool {
        self.waiting[head] > 0 && !(is_scarce && self.is_touched(head))
    }

    /// Whether the plan takes the head.
    fn is_touched(&self, head: usize) -> bool {
        self.waiting[head] < self.heads[head].waiting
    }

    fn is_due(&self, head: usize) -> bool {
        // The passes are those of the head, not of the task behind it.
        let mut passes = if self.is_touched(head) { Passes::default() } else { self.heads[head].passes };
        for _ in 0..self.passed[head] {
            passes = passes.one_more(self.heads[head].tag, self.now_ms);
        }
        self.waiting[head] > 0 && passes.is_due(self.policy.passes_max, self.policy.passed_ms_max, self.now_ms)
    }

    fn is_warm(&self, head: usize, place: usize) -> bool {
        self.fleet.load_ms(head, place).is_some_and(|load| load <= self.policy.warm_ms_max)
    }

    /// Returns our free place that should run the head: an idle one first.
    fn best_place(&self, head: usize) -> Option<usize> {
        let rank = |place: usize| {
            let load = self.fleet.load_ms(head, place)?;
            Some((self.places[place].busy_slots, load, self.places[place].used_ms, place))
        };
        self.free.iter().filter_map(|&place| rank(place)).min().map(|(.., place)| place)
    }

    /// Plans a claim. The first head of the lane that the place can run is passed over, or taken instead if it is due.
    fn give(&mut self, head: usize, place: usize) {
        let firsts = self.firsts(self.heads[head].lane, place);
        let due = firsts.iter().copied().find(|&first| first < head && self.is_due(first));
        let taken = due.unwrap_or(head);
        for first in firsts {
            self.passed[first] += u32::from(first != taken);
        }
        let firsts = self.firsts_of_lanes(place);
        self.waiting[taken] -= 1;
        self.claims.push(Given { place, head: taken, firsts });
        let slots = &mut self.places[place];
        slots.free_slots -= 1;
        slots.busy_slots += 1;
        if slots.free_slots == 0 {
            self.free.retain(|&other| other != place);
        }
    }

    /// Returns the heads of which one is the first task of the lane that the place can run: the first that the plan has not
    /// taken, and before and after it the groups of which the plan has taken the head but not all.
    fn firsts(&self, lane: u8, place: usize) -> Vec<usize> {
        let mut is_found = false;
        let heads = (0..self.heads.len()).filter(|&head| self.heads[head].lane == lane && self.waiting[head] > 0);
        let heads = heads.filter(|&head| self.fleet.load_ms(head, place).is_some());
        heads.filter(|&head| self.is_touched(head) || !std::mem::replace(&mut is_found, true)).collect()
    }

    fn firsts_of_lanes(&self, place: usize) -> Vec<usize> {
        let lanes = self.heads.chunk_by(|a, b| a.lane == b.lane).map(|heads| heads[0].lane);
        lanes.flat_map(|lane| self.firsts(lane, place)).collect()
    }

    /// Returns the time until which the head waits rather than go to this place, the best one that is free.
    fn hold_until(&mut self, head: usize, place: usize) -> Option<u64> {
        let since = self.heads[head].held_since_ms.unwrap_or(self.now_ms);
        let load = self.fleet.load_ms(head, place)?;
        let hold_ms = (load as f64 * self.hold_loads) as u64;
        if self.is_due(head) {
            return None;
        }
        if load > self.policy.warm_ms_max && since + hold_ms > self.now_ms && self.reserve_warm(head, hold_ms) {
            return Some(since + hold_ms);
        }
        self.second_slot_until(head, place)
    }

    /// Returns the time until which the head leaves a second slot empty, because a place of another dispatcher is idle.
    fn second_slot_until(&self, head: usize, place: usize) -> Option<u64> {
        let until = self.heads[head].held_since_ms.unwrap_or(self.now_ms) + self.policy.foreign_idle_ms;
        let is_second_slot = self.places[place].busy_slots > 0;
        (is_second_slot && until > self.now_ms && self.is_idle_elsewhere(head)).then_some(until)
    }

    /// Whether warm places will be idle within `hold_ms` for all waiting tasks of the head's group. Takes their time.
    fn reserve_warm(&mut self, head: usize, hold_ms: u64) -> bool {
        let run_ms = self.heads[head].run_ms.max(1);
        let mut needed = u64::from(self.waiting[head]);
        let mut taken = Vec::new();
        for &holder in self.fleet.holders(head) {
            let reserved = self.reserved_ms.get(&holder).copied().unwrap_or(0);
            let wait_ms = self.places[holder].idle_ms.saturating_sub(self.now_ms) + reserved;
            if wait_ms > hold_ms {
                continue;
            }
            let tasks = ((hold_ms - wait_ms) / run_ms + 1).min(needed);
            taken.push((holder, tasks * run_ms));
            needed -= tasks;
            if needed == 0 {
                break;
            }
        }
        if needed > 0 {
            return false;
        }
        for (holder, ms) in taken {
            *self.reserved_ms.entry(holder).or_default() += ms;
        }
        true
    }

    /// Whether a place of another dispatcher is idle and can run the head.
    fn is_idle_elsewhere(&self, head: usize) -> bool {
        let is_idle = |place: &Place| !place.is_ours && place.free_slots > 0 && place.busy_slots == 0;
        let mut others = (0..self.places.len()).filter(|&place| is_idle(&self.places[place]));
        others.any(|place| self.fleet.load_ms(head, place).is_some())
    }

    pub(super) fn into_plan(self) -> Plan {
        Plan {
            claims: self.claims.iter().map(|given| self.claim(given)).collect(),
            held: self.held.iter().map(|(head, _)| *head).collect(),
            look_again_ms: self.held.iter().map(|(_, until)| *until).min(),
        }
    }

    /// Returns a claim with the heads to try if its own is gone: those that no claim takes and that are not held.
    fn claim(&self, given: &Given) -> Claim {
        let lane = self.heads[given.head].lane;
        let is_left = |other: usize| other != given.head && self.waiting[other] > 0 && !self.is_touched(other);
        let is_held = |other: usize| self.held.iter().any(|(held, _)| *held == other);
        let left = (0..self.heads.len()).filter(|&other| is_left(other) && !is_held(other));
        let mut left: Vec<(bool, bool, usize)> = left
            .filter_map(|other| Some((other, self.fleet.load_ms(other, given.place)?)))
            .map(|(other, load)| (other, self.policy.is_warm_first && load > self.policy.warm_ms_max))
            .map(|(other, is_cold)| (self.heads[other].lane != lane, is_cold, other))
            .collect();
        left.sort_unstable();
        let others = left.into_iter().map(|(.., other)| other).take(ORDER_MAX - 1);
        Claim {
            place: given.place,
            order: std::iter::once(given.head).chain(others).collect(),
            firsts: given.firsts.clone(),
        }
    }
}
