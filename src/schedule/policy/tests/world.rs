//! A random fleet with its tasks. Claims do what `claim.lua` does; what the properties speak of is counted independently of
//! the policy, task by task.

use super::super::{Claim, Fleet, Head, Place, Policy};
use crate::schedule::{holds::Holds, passes::Passes};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

const LOAD_MS: u64 = 10_000;
const GROUPS: usize = 5;

/// Instances: which groups each can run, its slots, and whether it is ours.
#[derive(Clone, Debug)]
pub(super) struct RandomFleet {
    can_run: Vec<[bool; GROUPS]>,
    slots: Vec<u32>,
    is_ours: Vec<bool>,
}

impl RandomFleet {
    /// Returns the fleet with all instances ours, able to run everything.
    pub(super) fn of_equals(mut self) -> Self {
        self.can_run.fill([true; GROUPS]);
        self.is_ours.fill(true);
        self
    }
}

pub(super) fn fleets() -> impl Strategy<Value = RandomFleet> {
    let instance = (prop::array::uniform5(prop::bool::weighted(0.7)), 1..3_u32, prop::bool::weighted(0.8));
    prop::collection::vec(instance, 1..5).prop_map(|instances| RandomFleet {
        can_run: instances.iter().map(|one| one.0).collect(),
        slots: instances.iter().map(|one| one.1).collect(),
        is_ours: instances.iter().map(|one| one.2).collect(),
    })
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A task of a lane and a group, its tag this much after the last (or before: a task that returns), in 1/4.
    Arrive { lane: u8, group: usize, ahead: i32 },
    /// Time passes.
    Pass(u64),
    /// Another dispatcher takes the head of a group.
    Lose(usize),
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let arrive = (prop::sample::select(vec![0_u8, 1, 1, 1]), 0..GROUPS, -8..16_i32);
    let step = prop_oneof![
        4 => arrive.prop_map(|(lane, group, ahead)| Step::Arrive { lane, group, ahead }),
        3 => (1..15_000_u64).prop_map(Step::Pass),
        1 => (0..GROUPS).prop_map(Step::Lose),
    ];
    prop::collection::vec(step, 1..120)
}

struct Task {
    lane: u8,
    group: usize,
    tag: f64,
    passed: u32,
    passed_since_ms: u64,
    held_since_ms: Option<u64>,
}

#[derive(Default)]
struct Instance {
    warm: Option<usize>,
    ends_ms: Vec<u64>,
    used_ms: u64,
}

/// Counts of what the properties forbid or limit.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) passed_times_max: u32,
    pub(super) passed_ms_max: u64,
    pub(super) hold_ms_max: u64,
    pub(super) wrong_places: u32,
    pub(super) idle_without_hold: u32,
    pub(super) second_slots_too_early: u32,
    pub(super) out_of_order: u32,
}

pub(super) struct World {
    policy: Policy,
    fleet: RandomFleet,
    instances: Vec<Instance>,
    /// Waiting tasks in order of arrival.
    tasks: BTreeMap<u64, Task>,
    passes: HashMap<(u8, usize), Passes>,
    holds: Holds<(u8, usize)>,
    now_ms: u64,
    arrived: u64,
    tag: f64,
    /// Lane and tag of the last in order of the tasks that were taken at this time.
    taken_now: Option<(u8, u64)>,
    pub(super) counted: Counted,
}

struct View<'a> {
    world: &'a World,
    groups: Vec<usize>,
    holders: Vec<Vec<usize>>,
}

impl Fleet for View<'_> {
    fn load_ms(&self, head: usize, place: usize) -> Option<u64> {
        self.world.load_ms(self.groups[head], place)
    }

    fn holders(&self, head: usize) -> &[usize] {
        &self.holders[head]
    }
}

impl World {
    pub(super) fn new(policy: Policy, fleet: RandomFleet) -> Self {
        Self {
            instances: fleet.slots.iter().map(|_| Instance::default()).collect(),
            policy,
            fleet,
            tasks: BTreeMap::new(),
            passes: HashMap::new(),
            holds: Holds::default(),
            now_ms: 1_000,
            arrived: 0,
            tag: 10.0,
            taken_now: None,
            counted: Counted::default(),
        }
    }

    fn load_ms(&self, group: usize, place: usize) -> Option<u64> {
        let load = if self.instances[place].warm == Some(group) { 0 } else { LOAD_MS };
        self.fleet.can_run[place][group].then_some(load)
    }

    pub(super) fn step(&mut self, step: &Step) {
        match *step {
            Step::Arrive { lane, group, ahead } => {
                self.tag += f64::from(ahead.max(0)) / 4.0;
                // No two tasks have one tag: the scripts add the arrival to it.
                let tag = (self.tag + f64::from(ahead.min(0)) / 4.0).max(0.0) + self.arrived as f64 * 1e-9;
                let task = Task { lane, group, tag, passed: 0, passed_since_ms: 0, held_since_ms: None };
                self.tasks.insert(self.arrived, task);
                self.arrived += 1;
            }
            Step::Pass(ms) => self.now_ms += ms,
            Step::Lose(group) => {
                let heads = self.heads();
                if let Some(&(lane, _, id)) = heads.iter().find(|head| head.1 == group) {
                    self.remove(lane, group, id);
                }
            }
        }
        while self.plan() {}
    }

    /// Lets time pass until our instances have taken what they can run.
    pub(super) fn drain(&mut self) {
        for _ in 0..400 {
            if self.runnable_left() == 0 {
                return;
            }
            self.now_ms += 10_000;
            while self.plan() {}
        }
    }

    pub(super) fn runnable_left(&self) -> usize {
        let can_be_ours =
            |group: usize| (0..self.instances.len()).any(|at| self.fleet.is_ours[at] && self.fleet.can_run[at][group]);
        self.tasks.values().filter(|task| can_be_ours(task.group)).count()
    }

    /// Returns lane, group and task of each head, in order.
    fn heads(&self) -> Vec<(u8, usize, u64)> {
        let mut tasks: Vec<(&u64, &Task)> = self.tasks.iter().collect();
        tasks.sort_by(|a, b| a.1.lane.cmp(&b.1.lane).then(a.1.tag.total_cmp(&b.1.tag)));
        let mut heads: Vec<(u8, usize, u64)> = Vec::new();
        for (&id, task) in tasks {
            if !heads.iter().any(|head| (head.0, head.1) == (task.lane, task.group)) {
                heads.push((task.lane, task.group, id));
            }
        }
        heads
    }

    fn places(&self) -> Vec<Place> {
        let place = |(at, instance): (usize, &Instance)| Place {
            is_ours: self.fleet.is_ours[at],
            free_slots: self.fleet.slots[at] - instance.ends_ms.len() as u32,
            busy_slots: instance.ends_ms.len() as u32,
            idle_ms: instance.ends_ms.iter().copied().max().unwrap_or(0),
            used_ms: instance.used_ms,
        };
        self.instances.iter().enumerate().map(place).collect()
    }

    /// Returns true if there are new heads to plan with.
    fn plan(&mut self) -> bool {
        let now_ms = self.now_ms;
        for instance in &mut self.instances {
            instance.ends_ms.retain(|&end_ms| end_ms > now_ms);
        }
        let names = self.heads();
        let head = |&(lane, group, id): &(u8, usize, u64)| Head {
            lane,
            tag: self.tasks[&id].tag,
            waiting: self.tasks.values().filter(|task| (task.lane, task.group) == (lane, group)).count() as u32,
            is_in_window: true,
            run_ms: 8_000,
            passes: self.passes.get(&(lane, group)).copied().unwrap_or_default(),
            held_since_ms: self.holds.since_ms(&(lane, group), self.tasks[&id].tag),
        };
        let heads: Vec<Head> = names.iter().map(head).collect();
        let is_warm = |group: usize, at: usize| self.load_ms(group, at) == Some(0);
        let holders =
            |&(_, group, _): &(u8, usize, u64)| (0..self.instances.len()).filter(|&at| is_warm(group, at)).collect();
        let view = View {
            world: self,
            groups: names.iter().map(|name| name.1).collect(),
            holders: names.iter().map(holders).collect(),
        };
        let plan = self.policy.plan(&heads, &self.places(), &view, now_ms);
        let keys = names.iter().map(|&(lane, group, id)| ((lane, group), self.tasks[&id].tag));
        self.holds.update(keys, &plan.held, now_ms);
        for claim in &plan.claims {
            self.claim(claim, &names);
        }
        if plan.claims.is_empty() {
            self.check_idle(&plan.held.iter().map(|&head| names[head].2).collect::<Vec<_>>());
        }
        !plan.claims.is_empty()
    }

    fn first(&self, lane: u8, place: usize) -> Option<u64> {
        let can_run = |task: &Task| task.lane == lane && self.load_ms(task.group, place).is_some();
        let tasks = self.tasks.iter().filter(|(_, task)| can_run(task));
        tasks.min_by(|a, b| a.1.tag.total_cmp(&b.1.tag)).map(|(&id, _)| id)
    }

    fn remove(&mut self, lane: u8, group: usize, id: u64) -> Option<Task> {
        let task = self.tasks.remove(&id)?;
        let left = self.passes.remove(&(lane, group)).unwrap_or_default().after_take(task.tag);
        if left.times > 0 && self.tasks.values().any(|task| (task.lane, task.group) == (lane, group)) {
            self.passes.insert((lane, group), left);
        }
        Some(task)
    }

    /// Takes the head of the first group of the claim that has one, as the script does.
    fn claim(&mut self, claim: &Claim, names: &[(u8, usize, u64)]) {
        let now = self.heads();
        let find = |&head: &usize| now.iter().find(|name| (name.0, name.1) == (names[head].0, names[head].1)).copied();
        self.counted.wrong_places +=
            claim.order.iter().filter(|&&head| self.load_ms(names[head].1, claim.place).is_none()).count() as u32;
        let Some((lane, group, id)) = claim.order.iter().find_map(find) else { return };
        let busy = !self.instances[claim.place].ends_ms.is_empty();
        let is_idle = |at: usize| self.fleet.is_ours[at] && self.instances[at].ends_ms.is_empty();
        if busy && (0..self.instances.len()).any(|at| is_idle(at) && self.load_ms(group, at).is_some()) {
            self.counted.second_slots_too_early += 1;
        }
        self.taken_now = self.taken_now.max(Some((lane, self.tasks[&id].tag.to_bits())));
        if let Some(first) = self.first(lane, claim.place).filter(|&first| first != id) {
            let task = self.tasks.get_mut(&first).unwrap();
            task.passed_since_ms = if task.passed == 0 { self.now_ms } else { task.passed_since_ms };
            task.passed += 1;
            self.counted.passed_times_max = self.counted.passed_times_max.max(task.passed);
            self.counted.passed_ms_max = self.counted.passed_ms_max.max(self.now_ms - task.passed_since_ms);
        }
        let task = self.remove(lane, group, id).unwrap();
        let firsts = claim.firsts.iter().filter_map(find);
        let firsts = firsts.filter(|first| first.0 == lane && self.tasks.contains_key(&first.2));
        let first = firsts.min_by_key(|first| self.tasks[&first.2].tag.to_bits());
        if let Some((_, group, first)) = first.filter(|first| self.tasks[&first.2].tag < task.tag) {
            let passes = self.passes.entry((lane, group)).or_default();
            *passes = passes.one_more(self.tasks[&first].tag, self.now_ms);
        }
        let load = self.load_ms(group, claim.place).unwrap_or(0);
        let instance = &mut self.instances[claim.place];
        instance.warm = Some(group);
        instance.used_ms = self.now_ms;
        instance.ends_ms.push(self.now_ms + load + 3_000 + id * 7_919 % 15_000);
    }

    /// After a plan, an idle instance of ours leaves only tasks that are held.
    fn check_idle(&mut self, held: &[u64]) {
        let heads = self.heads();
        let first = heads.first().map(|&(lane, _, id)| (lane, self.tasks[&id].tag.to_bits()));
        let taken = self.taken_now.take();
        self.counted.out_of_order += u32::from(first.is_some() && taken > first);
        for (_, group, id) in heads {
            let is_idle = |at: usize| self.fleet.is_ours[at] && self.instances[at].ends_ms.is_empty();
            if !(0..self.instances.len()).any(|at| is_idle(at) && self.load_ms(group, at).is_some()) {
                continue;
            }
            if !held.contains(&id) {
                self.counted.idle_without_hold += 1;
            }
            let task = self.tasks.get_mut(&id).unwrap();
            let since = *task.held_since_ms.get_or_insert(self.now_ms);
            self.counted.hold_ms_max = self.counted.hold_ms_max.max(self.now_ms - since);
        }
    }
}
