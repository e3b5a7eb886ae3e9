//! Properties of plans in random fleets, and examples.

mod world;

use super::{Fleet, Head, Place, Policy};
use crate::schedule::passes::Passes;
use proptest::{prelude::*, test_runner::Config};
use world::{Step, World, fleets, steps};

/// Small limits, so that they matter in short runs.
fn policy() -> Policy {
    Policy { passes_max: 5, passed_ms_max: 40_000, ..Policy::warm(10_000) }
}

fn run(policy: Policy, fleet: world::RandomFleet, steps: &[Step]) -> World {
    let mut world = World::new(policy, fleet);
    for step in steps {
        world.step(step);
    }
    world.drain();
    world
}

proptest! {
    #![proptest_config(Config { cases: 150, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_first_task_is_passed_over_within_both_bounds(fleet in fleets(), steps in steps()) {
        let world = run(policy(), fleet, &steps);
        prop_assert!(world.counted.passed_times_max <= 5, "{} times", world.counted.passed_times_max);
        prop_assert!(world.counted.passed_ms_max <= 40_000, "{} ms", world.counted.passed_ms_max);
    }

    #[test]
    fn an_instance_gets_no_task_that_it_cannot_run(fleet in fleets(), steps in steps()) {
        prop_assert_eq!(run(policy(), fleet, &steps).counted.wrong_places, 0);
    }

    #[test]
    fn an_idle_instance_takes_a_task_unless_each_is_held_within_its_hold(fleet in fleets(), steps in steps()) {
        let world = run(policy(), fleet, &steps);
        prop_assert_eq!(world.counted.idle_without_hold, 0);
        prop_assert!(world.counted.hold_ms_max <= 25_000, "{} ms", world.counted.hold_ms_max);
    }

    #[test]
    fn a_second_slot_stays_empty_while_an_idle_instance_can_run_the_task(fleet in fleets(), steps in steps()) {
        prop_assert_eq!(run(policy(), fleet, &steps).counted.second_slots_too_early, 0);
    }

    #[test]
    fn every_task_that_an_instance_can_run_is_taken_in_the_end(fleet in fleets(), steps in steps()) {
        prop_assert_eq!(run(policy(), fleet, &steps).runnable_left(), 0);
    }

    #[test]
    fn fifo_takes_tasks_by_lane_and_tag(fleet in fleets(), steps in steps()) {
        let world = run(Policy::fifo(), fleet.of_equals(), &steps);
        prop_assert_eq!(world.counted.out_of_order, 0);
    }
}

/// Load times by head and place.
struct Loads(Vec<Vec<Option<u64>>>, Vec<Vec<usize>>);

impl Loads {
    fn new(loads: &[&[Option<u64>]]) -> Self {
        let holders = |row: &&[Option<u64>]| (0..row.len()).filter(|&place| row[place] == Some(0)).collect();
        Self(loads.iter().map(|row| row.to_vec()).collect(), loads.iter().map(holders).collect())
    }
}

impl Fleet for Loads {
    fn load_ms(&self, head: usize, place: usize) -> Option<u64> {
        self.0[head][place]
    }

    fn holders(&self, head: usize) -> &[usize] {
        &self.1[head]
    }
}

fn head(tag: f64) -> Head {
    Head {
        lane: 1,
        tag,
        waiting: 1,
        is_in_window: true,
        run_ms: 10_000,
        passes: Passes::default(),
        held_since_ms: None,
    }
}

fn idle(used_ms: u64) -> Place {
    Place { is_ours: true, free_slots: 1, busy_slots: 0, idle_ms: 0, used_ms }
}

fn busy_until(idle_ms: u64) -> Place {
    Place { free_slots: 0, busy_slots: 1, idle_ms, ..idle(0) }
}

/// Returns (place, head) of each claim.
fn claims(policy: &Policy, heads: &[Head], places: &[Place], fleet: &Loads) -> Vec<(usize, usize)> {
    let plan = policy.plan(heads, places, fleet, 1_000);
    plan.claims.iter().map(|claim| (claim.place, claim.order[0])).collect()
}

const COLD: Option<u64> = Some(20_000);

#[test]
fn a_warm_place_takes_its_task_before_earlier_ones() {
    let fleet = Loads::new(&[&[COLD], &[Some(0)]]);
    let plan = Policy::warm(20_000).plan(&[head(1.0), head(2.0)], &[idle(0)], &fleet, 1_000);
    assert_eq!((plan.claims[0].order.clone(), plan.claims[0].firsts.clone()), (vec![1, 0], vec![0]));
    assert_eq!(claims(&Policy::fifo(), &[head(1.0), head(2.0)], &[idle(0)], &fleet), [(0, 0)]);
}

#[test]
fn outside_of_the_window_warmth_does_not_count() {
    let fleet = Loads::new(&[&[COLD], &[Some(0)]]);
    let late = Head { is_in_window: false, ..head(200.0) };
    assert_eq!(claims(&Policy::warm(20_000), &[head(1.0), late], &[idle(0)], &fleet), [(0, 0)]);
}

#[test]
fn a_head_waits_for_a_warm_place_that_is_soon_idle() {
    let fleet = Loads::new(&[&[COLD, Some(0)]]);
    let policy = Policy::warm(20_000);
    let soon = policy.plan(&[head(1.0)], &[idle(0), busy_until(25_000)], &fleet, 1_000);
    assert_eq!((soon.claims.len(), soon.held, soon.look_again_ms), (0, vec![0], Some(31_000)));
    assert_eq!(claims(&policy, &[head(1.0)], &[idle(0), busy_until(40_000)], &fleet), [(0, 0)]);
    let enough = Head { waiting: 3, ..head(1.0) };
    assert_eq!(claims(&policy, &[enough], &[idle(0), busy_until(25_000)], &fleet), [(0, 0)], "too many wait for it");
    let long = Head { held_since_ms: Some(0), ..head(1.0) };
    let late = policy.plan(&[long], &[idle(0), busy_until(50_000)], &fleet, 30_000);
    assert_eq!(late.claims.len(), 1, "its hold has ended");
}

#[test]
fn a_due_head_goes_first_and_is_not_held() {
    let fleet = Loads::new(&[&[COLD, Some(0)], &[Some(0), COLD]]);
    let passes = Passes { times: 64, since_ms: 900, tag: 1.0 };
    let heads = [Head { passes, ..head(1.0) }, head(2.0)];
    assert_eq!(claims(&Policy::warm(20_000), &heads, &[idle(0), busy_until(2_000)], &fleet), [(0, 0)]);
}

#[test]
fn a_missing_lora_is_no_reason_to_wait_and_the_least_recent_place_loads() {
    let fleet = Loads::new(&[&[COLD, Some(4_400), Some(0)]]);
    let places = [idle(0), idle(500), busy_until(1_500)];
    assert_eq!(claims(&Policy::warm(20_000), &[head(1.0)], &places, &fleet), [(1, 0)]);
    let cold = Loads::new(&[&[COLD, COLD]]);
    assert_eq!(claims(&Policy::warm(20_000), &[head(1.0)], &[idle(900), idle(300)], &cold), [(1, 0)]);
}

#[test]
fn an_idle_place_of_another_dispatcher_goes_before_a_second_slot() {
    let fleet = Loads::new(&[&[Some(0), COLD]]);
    let second = Place { free_slots: 1, ..busy_until(9_000) };
    let foreign = Place { is_ours: false, ..idle(0) };
    let policy = Policy::warm(20_000);
    let plan = policy.plan(&[head(1.0)], &[second.clone(), foreign.clone()], &fleet, 1_000);
    assert_eq!((plan.claims.len(), plan.look_again_ms), (0, Some(3_000)));
    let waited = Head { held_since_ms: Some(1_000), ..head(1.0) };
    assert_eq!(policy.plan(&[waited], &[second, foreign], &fleet, 3_000).claims.len(), 1, "it did not take it");
}

#[test]
fn the_urgent_lane_goes_first_even_if_it_is_cold() {
    let fleet = Loads::new(&[&[COLD], &[Some(0)]]);
    let urgent = Head { lane: 0, ..head(5.0) };
    assert_eq!(claims(&Policy::warm(20_000), &[urgent, head(1.0)], &[idle(0)], &fleet), [(0, 0)]);
}

#[test]
fn a_head_that_becomes_due_within_a_plan_is_taken_by_the_next_claim() {
    let once = Policy { passes_max: 1, ..Policy::warm(20_000) };
    let soon = busy_until(2_000);
    let fleet = Loads::new(&[&[COLD, COLD, Some(0)], &[Some(0), COLD, COLD], &[COLD, Some(0), COLD]]);
    let heads = [head(1.0), head(2.0), head(3.0)];
    let places = [idle(0), idle(0), soon];
    assert_eq!(claims(&Policy::warm(20_000), &heads, &places, &fleet), [(0, 1), (1, 2)]);
    assert_eq!(claims(&once, &heads, &places, &fleet), [(0, 1), (1, 0)], "instead of the warm head");
    assert_eq!(claims(&once, &heads[..2], &places, &fleet), [(0, 1), (1, 0)], "instead of a hold");
}

#[test]
fn a_due_head_does_not_pull_the_tasks_behind_it() {
    let passes = Passes { times: 64, since_ms: 900, tag: 1.0 };
    let heads = [Head { passes, waiting: 9, ..head(1.0) }, head(2.0)];
    let fleet = Loads::new(&[&[COLD, COLD], &[COLD, Some(0)]]);
    assert_eq!(claims(&Policy::warm(20_000), &heads, &[idle(0), idle(0)], &fleet), [(0, 0), (1, 1)]);
}

#[test]
fn the_first_head_may_be_the_next_of_a_group_that_the_plan_takes_from() {
    let fleet = Loads::new(&[&[Some(0), COLD], &[COLD, COLD], &[COLD, Some(0)]]);
    let heads = [Head { waiting: 2, ..head(1.0) }, head(2.0), head(3.0)];
    let plan = Policy::warm(20_000).plan(&heads, &[idle(0), idle(0)], &fleet, 1_000);
    let firsts: Vec<&[usize]> = plan.claims.iter().map(|claim| &claim.firsts[..]).collect();
    assert_eq!((plan.claims[1].order[0], firsts), (2, vec![&[0][..], &[0, 1]]));
}
