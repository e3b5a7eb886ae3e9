//! Verdicts on faults of machines: bad tasks fail without stopping the fleet, and broken machines fail no good task.

use super::quarantine::{TRIAL_AFTER, completes, fault, meets_fault, quarantine, renew};
use crate::{
    scenarios,
    support::{
        audit::audit,
        world::{World, new_task},
    },
};
use shuzhiren::{
    queue::{Claim, Lease, Written},
    task::{FailureKind, NewTask, TaskFacts, TaskId, TaskState},
};
use std::time::Duration;

scenarios! {
    different_bad_tasks_fail_and_give_both_machines_back
    a_bad_graph_that_is_submitted_often_stops_no_machine
    two_broken_machines_fail_no_task_that_a_third_can_run
    a_fleet_that_is_broken_condemns_no_workflow
    a_task_that_breaks_three_sound_machines_is_the_cause
    a_broken_machine_is_proven_by_a_known_workflow
    a_machine_that_was_released_or_restarted_gets_unsuspected_tasks
    only_fresh_tasks_are_tried_early
    no_trial_is_early_while_another_instance_is_open
    a_task_whose_cause_cannot_be_found_fails
}

const FAILED: Written = Written::AlreadyEnded(TaskState::Failed);

async fn of_workflow(world: &World, hash: &str) -> TaskId {
    let new = new_task();
    let facts = TaskFacts { workflow_hash: Some(hash.to_owned()), ..new.facts.clone() };
    world.create(&NewTask { facts, ..new }).await.id
}

async fn kind_of(world: &World, id: TaskId) -> Option<FailureKind> {
    world.task(id).await.failure.map(|failure| failure.kind)
}

/// Each machine claims a task, before each meets a fault.
async fn meet_faults(world: &World, leases: [&Lease; 2]) {
    let claims = [world.claim(leases[0]).await.unwrap(), world.claim(leases[1]).await.unwrap()];
    for (lease, claim) in leases.into_iter().zip(&claims) {
        assert_eq!(fault(world, lease, claim, true).await, Written::Done);
    }
}

/// Claims any task, and meets a machine's fault.
async fn any_meets_fault(world: &World, lease: &Lease) -> (TaskId, Written) {
    let claim = world.claim(lease).await.unwrap();
    (claim.task, fault(world, lease, &claim, true).await)
}

async fn pause(world: &World, leases: &[&Lease], seconds: u64) {
    world.advance(Duration::from_secs(seconds));
    renew(world, leases).await;
}

/// Four bad graphs in parallel ahead of a good one: the good one runs in the second early trials.
pub async fn different_bad_tasks_fail_and_give_both_machines_back(world: &World) {
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let leases = [&one, &two];
    let mut bad = Vec::new();
    for hash in ["b1", "b2", "b3", "b4"] {
        bad.push(of_workflow(world, hash).await);
    }
    let good = of_workflow(world, "good").await;
    meet_faults(world, [&one, &two]).await;
    for lease in leases {
        assert!(world.claim(lease).await.is_none());
    }
    pause(world, &leases, 3).await;
    meet_faults(world, leases).await;
    audit(world, 1).unwrap();
    pause(world, &leases, 5).await;
    assert!(world.claim(&two).await.is_none());
    pause(world, &leases, 1).await;
    completes(world, &two, good).await;
    assert_eq!(quarantine(world, &two).await, None);
    assert_eq!(meets_fault(world, &two, bad[0], true).await, FAILED);
    assert_eq!(meets_fault(world, &two, bad[2], true).await, FAILED);
    assert_eq!(quarantine(world, &one).await, None, "given back with the verdict");
    assert_eq!(meets_fault(world, &one, bad[1], true).await, FAILED);
    assert_eq!(meets_fault(world, &one, bad[3], true).await, FAILED);
    for task in bad {
        assert_eq!(kind_of(world, task).await, Some(FailureKind::Poison));
        assert!(world.task(task).await.attempts.len() <= 2);
    }
    assert_eq!((quarantine(world, &one).await, quarantine(world, &two).await), (None, None));
    audit(world, 2).unwrap();
}

pub async fn a_bad_graph_that_is_submitted_often_stops_no_machine(world: &World) {
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let leases = [&one, &two];
    let mut bad = Vec::new();
    for _ in 0..6 {
        bad.push(of_workflow(world, "bad").await);
    }
    let good = of_workflow(world, "good").await;
    meet_faults(world, [&one, &two]).await;
    // The others are as suspect as the first two: the good one goes first.
    pause(world, &leases, 3).await;
    completes(world, &two, good).await;
    assert_eq!(meets_fault(world, &two, bad[0], true).await, FAILED);
    for _ in 0..9 {
        for lease in leases {
            let Some(claim) = world.claim(lease).await else { continue };
            fault(world, lease, &claim, true).await;
            assert_eq!(quarantine(world, lease).await, None, "its workflow is condemned");
        }
    }
    assert_eq!((quarantine(world, &one).await, quarantine(world, &two).await), (None, None));
    for task in bad {
        assert_eq!((kind_of(world, task).await, world.task(task).await.attempts.len()), (Some(FailureKind::Poison), 2));
    }
    // A workflow that has ever completed is not condemned.
    let innocent = of_workflow(world, "bad").await;
    completes(world, &one, innocent).await;
    let unlucky = of_workflow(world, "bad").await;
    meets_fault(world, &one, unlucky, true).await;
    assert!(quarantine(world, &one).await.is_some());
    audit(world, 1).unwrap();
}

/// The same workflow on both, for the first time: nothing is condemned before a machine has worked.
pub async fn two_broken_machines_fail_no_task_that_a_third_can_run(world: &World) {
    let (one, two, sound) = (world.lease("gpu:1").await, world.lease("gpu:2").await, world.lease("gpu:3").await);
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(of_workflow(world, "first").await);
    }
    meets_fault(world, &one, tasks[0], true).await;
    // It meets both, and each for the first time.
    assert_eq!(meets_fault(world, &two, tasks[0], true).await, Written::Done);
    assert!(quarantine(world, &one).await.is_some() && quarantine(world, &two).await.is_some());
    for trial in 0..3 {
        for task in &tasks[1..] {
            assert_eq!(world.task(*task).await.state, TaskState::Waiting);
        }
        pause(world, &[&one, &two, &sound], 4_000).await;
        assert_eq!(any_meets_fault(world, &one).await.1, Written::Done, "trial {trial}");
        assert_eq!(any_meets_fault(world, &two).await.1, Written::Done, "trial {trial}");
    }
    for task in tasks {
        completes(world, &sound, task).await;
    }
    audit(world, 1).unwrap();
}

/// Both machines break: the tasks that met them first look like the cause, but the others wait for trials.
pub async fn a_fleet_that_is_broken_condemns_no_workflow(world: &World) {
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(of_workflow(world, "first").await);
    }
    meet_faults(world, [&one, &two]).await;
    pause(world, &[&one, &two], 60).await;
    meets_fault(world, &two, tasks[2], true).await;
    pause(world, &[&one, &two], 120).await;
    assert_eq!(meets_fault(world, &two, tasks[0], true).await, FAILED);
    assert_eq!(meets_fault(world, &one, tasks[1], true).await, FAILED);
    assert_eq!(meets_fault(world, &one, tasks[2], true).await, Written::Done);
    assert!(quarantine(world, &one).await.is_some());
    audit(world, 1).unwrap();
}

pub async fn a_task_that_breaks_three_sound_machines_is_the_cause(world: &World) {
    let mut leases = Vec::new();
    for number in 1..=4 {
        leases.push(world.lease(&format!("gpu:{number}")).await);
    }
    let killer = world.enqueue().await;
    assert_eq!(meets_fault(world, &leases[0], killer, true).await, Written::Done);
    assert_eq!(meets_fault(world, &leases[1], killer, true).await, Written::Done);
    assert_eq!(meets_fault(world, &leases[2], killer, true).await, FAILED);
    assert_eq!(kind_of(world, killer).await, Some(FailureKind::Poison));
    for lease in &leases {
        assert_eq!(quarantine(world, lease).await, None);
    }
    // Restricted to two, it has no other.
    let restricted = world.enqueue().await;
    let claim = world.claim(&leases[3]).await.unwrap();
    let only = [leases[3].instance.clone(), leases[2].instance.clone()];
    world.queue.restrict_to(&leases[3], restricted, claim.attempt, &only).await.unwrap();
    assert_eq!(meets_fault(world, &leases[3], restricted, true).await, Written::Done);
    assert_eq!(meets_fault(world, &leases[2], restricted, true).await, FAILED);
    audit(world, 1).unwrap();
}

pub async fn a_broken_machine_is_proven_by_a_known_workflow(world: &World) {
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let known = of_workflow(world, "known").await;
    completes(world, &two, known).await;
    let bad = of_workflow(world, "bad").await;
    meets_fault(world, &one, bad, true).await;
    pause(world, &[&one, &two], 60).await;
    let same = of_workflow(world, "bad").await;
    let unknown = world.enqueue().await;
    let mut behind = Vec::new();
    for hash in ["new", "known"] {
        behind.push(of_workflow(world, hash).await);
    }
    completes(world, &one, behind[1]).await;
    assert_eq!(quarantine(world, &one).await, None);
    // Proven, it takes what comes first again; in the next trial, what no fault speaks against.
    completes(world, &one, bad).await;
    meets_fault(world, &one, same, true).await;
    pause(world, &[&one, &two], 1_000).await;
    completes(world, &one, unknown).await;
}

pub async fn a_machine_that_was_released_or_restarted_gets_unsuspected_tasks(world: &World) {
    let (one, _two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    for is_operator in [true, false] {
        let bad = world.enqueue().await;
        meets_fault(world, &one, bad, true).await;
        let owner = (!is_operator).then_some(&one);
        assert!(world.queue.end_quarantine(&one.instance, owner).await.unwrap());
        pause(world, &[&one], 6).await;
        let good = world.enqueue().await;
        completes(world, &one, good).await;
        completes(world, &one, bad).await;
    }
}

pub async fn only_fresh_tasks_are_tried_early(world: &World) {
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let leases = [&one, &two];
    for _ in 0..2 {
        world.enqueue().await;
    }
    meet_faults(world, leases).await;
    pause(world, &leases, 59).await;
    for lease in leases {
        assert!(world.claim(lease).await.is_none(), "each has met a fault");
    }
    let fresh = world.enqueue().await;
    completes(world, &one, fresh).await;
}

pub async fn no_trial_is_early_while_another_instance_is_open(world: &World) {
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let first = world.enqueue().await;
    meets_fault(world, &one, first, true).await;
    pause(world, &[&one, &two], 59).await;
    let fresh = world.enqueue().await;
    assert!(world.claim(&one).await.is_none());
    completes(world, &two, first).await;
    pause(world, &[&one, &two], 1).await;
    completes(world, &one, fresh).await;
}

/// The only machine breaks for good. Its tasks wait for trials; after five in vain the first of them fails.
pub async fn a_task_whose_cause_cannot_be_found_fails(world: &World) {
    let one = world.lease("gpu:1").await;
    let task = world.enqueue().await;
    assert_eq!(meets_fault(world, &one, task, true).await, Written::Done);
    for _ in 0..4 {
        pause(world, &[&one], 3_600).await;
        assert_eq!(meets_fault(world, &one, task, true).await, Written::Done);
    }
    pause(world, &[&one], 3_600).await;
    let claim: Claim = world.claim(&one).await.unwrap();
    for _ in 0..2 {
        assert_eq!(fault(world, &one, &claim, true).await, FAILED);
    }
    let failure = world.task(task).await.failure.unwrap();
    assert_eq!((failure.kind, failure.node_id.as_deref()), (FailureKind::MachineFault, Some("3")));
    assert!(failure.message.contains("more than 4 times"), "{}", failure.message);
    assert!(quarantine(world, &one).await.is_some_and(|known| known.trial_at_ms > world.now_ms() + TRIAL_MS));
    audit(world, 1).unwrap();
}

#[allow(clippy::cast_possible_truncation, reason = "a minute")]
const TRIAL_MS: u64 = TRIAL_AFTER.as_millis() as u64;
