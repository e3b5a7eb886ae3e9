//! Faults of machines: the instance is quarantined, the task runs elsewhere, and trials decide.

use super::attempts::janitor;
use crate::{
    scenarios,
    support::{
        audit::audit,
        world::{TTL, World, completed, failed},
    },
};
use shuzhiren::{
    fleet::Quarantine,
    queue::{Acquired, Claim, Lease, NodeFault, Revived, Token, Written},
    task::{Failure, FailureKind, InstanceId, TaskId, TaskState},
};
use std::time::Duration;

scenarios! {
    a_machine_fault_quarantines_the_instance_and_costs_no_attempt
    a_task_that_breaks_two_sound_machines_is_their_cause
    trials_that_fail_come_at_growing_intervals
    a_trial_prefers_other_tasks
    only_a_run_after_the_fault_proves_the_machine
    two_unexplained_failures_in_a_row_are_the_machine
    an_operator_or_a_restart_ends_a_quarantine
    a_takeover_keeps_the_quarantine
    a_task_waits_for_the_instance_that_it_prefers
    a_stale_owner_blames_no_machine
    a_revived_task_has_caused_no_faults
}

pub(super) const TRIAL_AFTER: Duration = Duration::from_secs(60);

pub(super) async fn fault(world: &World, lease: &Lease, claim: &Claim, is_machine: bool) -> Written {
    let kind = if is_machine { FailureKind::MachineFault } else { FailureKind::NodeError };
    let failure = Failure {
        node_id: Some("3".to_owned()),
        node_type: Some("KSampler".to_owned()),
        exception_type: Some("torch.AcceleratorError".to_owned()),
        ..Failure::new(kind, "CUDA error: device lost")
    };
    let fault = NodeFault { failure: &failure, is_machine, outputs: &[], prefers: &[], trial_after: TRIAL_AFTER };
    world.queue.node_fault(lease, claim.task, claim.attempt, &fault).await.unwrap()
}

pub(super) async fn quarantine(world: &World, lease: &Lease) -> Option<Quarantine> {
    let status = world.queue.instances(std::slice::from_ref(&lease.instance)).await.unwrap();
    status[0].as_ref().and_then(|status| status.quarantine.clone())
}

/// Claims the task, and meets a fault.
pub(super) async fn meets_fault(world: &World, lease: &Lease, task: TaskId, is_machine: bool) -> Written {
    let claim = world.claim(lease).await.unwrap();
    assert_eq!(claim.task, task);
    fault(world, lease, &claim, is_machine).await
}

pub(super) async fn renew(world: &World, leases: &[&Lease]) {
    for lease in leases {
        world.queue.renew(lease, TTL).await.unwrap();
    }
}

pub(super) async fn completes(world: &World, lease: &Lease, task: TaskId) {
    let claim = world.claim(lease).await.unwrap();
    assert_eq!(claim.task, task);
    assert_eq!(world.queue.settle(lease, task, claim.attempt, &completed()).await.unwrap(), Written::Done);
}

/// Bug report 1.
pub async fn a_machine_fault_quarantines_the_instance_and_costs_no_attempt(world: &World) {
    let id = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let claim = world.claim(&one).await.unwrap();
    world.queue.start(&one, id, claim.attempt).await.unwrap();
    for _ in 0..2 {
        assert_eq!(fault(world, &one, &claim, true).await, Written::Done);
        audit(world, 1).unwrap();
    }
    let task = world.task(id).await;
    assert_eq!((task.state, task.started_ms, task.attempts.len()), (TaskState::Waiting, None, 1));
    assert_eq!(task.attempts[0].outcome.as_deref(), Some("machine_fault"));
    assert_eq!(world.field(id, "uncounted"), "1");
    let known = quarantine(world, &one).await.unwrap();
    assert_eq!((known.since_ms, known.trial_at_ms), (world.now_ms(), world.now_ms() + 60_000));
    assert_eq!((known.trials, known.task_id, known.attempt), (0, id, claim.attempt));
    assert_eq!(known.reason(), "torch.AcceleratorError: CUDA error: device lost (node 3, KSampler)");
    let other = world.enqueue().await;
    assert!(world.claim(&one).await.is_none(), "a quarantined instance gets no task");
    completes(world, &two, id).await;
    completes(world, &two, other).await;
    // After the delay one task is the trial; it succeeds.
    world.advance(TRIAL_AFTER);
    let trial = world.enqueue().await;
    completes(world, &one, trial).await;
    assert_eq!(quarantine(world, &one).await, None);
    // It avoids the instance where it failed.
    renew(world, &[&one, &two]).await;
    let again = world.enqueue().await;
    meets_fault(world, &one, again, true).await;
    world.queue.end_quarantine(&one.instance, Some(&one)).await.unwrap();
    assert!(world.claim(&one).await.is_none());
    completes(world, &two, again).await;
    audit(world, 1).unwrap();
}

/// A bad graph must not quarantine the fleet.
pub async fn a_task_that_breaks_two_sound_machines_is_their_cause(world: &World) {
    let killer = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    meets_fault(world, &one, killer, true).await;
    let claim = world.claim(&two).await.unwrap();
    for _ in 0..2 {
        let written = fault(world, &two, &claim, true).await;
        assert_eq!(written, Written::AlreadyEnded(TaskState::Failed));
        audit(world, 1).unwrap();
    }
    let script_again = world.queue.settle(&two, killer, claim.attempt, &completed()).await.unwrap();
    assert_eq!(script_again, Written::AlreadyEnded(TaskState::Failed));
    let task = world.task(killer).await;
    let failure = task.failure.unwrap();
    assert_eq!((failure.kind, failure.node_id.as_deref()), (FailureKind::Poison, Some("3")));
    assert!(failure.message.contains("the cause") && failure.message.contains("device lost"), "{}", failure.message);
    assert_eq!((quarantine(world, &one).await, quarantine(world, &two).await), (None, None));
    // If it has really broken them, the next task shows that, and is not blamed.
    let next = world.enqueue().await;
    meets_fault(world, &one, next, true).await;
    assert!(quarantine(world, &one).await.is_some());
    assert_eq!(meets_fault(world, &two, next, true).await, Written::Done);
    assert_eq!(world.task(next).await.state, TaskState::Waiting);
    assert!(quarantine(world, &two).await.is_some(), "the first quarantine is not lifted with the second");
    assert!(quarantine(world, &one).await.is_some());
    audit(world, 1).unwrap();
    // A quarantine that another task has lengthened stays.
    let bad = world.enqueue().await;
    world.advance(Duration::from_secs(1));
    let (five, six) = (world.lease("gpu:5").await, world.lease("gpu:6").await);
    completes(world, &five, next).await;
    meets_fault(world, &five, bad, true).await;
    world.advance(TRIAL_AFTER);
    let other = world.enqueue().await;
    meets_fault(world, &five, other, true).await;
    assert_eq!(meets_fault(world, &six, bad, true).await, Written::AlreadyEnded(TaskState::Failed));
    assert_eq!(quarantine(world, &five).await.unwrap().task_id, other);
}

pub async fn trials_that_fail_come_at_growing_intervals(world: &World) {
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let ids = [world.enqueue().await, world.enqueue().await];
    let claims = [world.claim_with_slots(&one, 2).await.unwrap(), world.claim_with_slots(&one, 2).await.unwrap()];
    world.advance(Duration::from_secs(1));
    fault(world, &one, &claims[0], true).await;
    world.advance(Duration::from_secs(1));
    // The second prompt was there already: it is no trial.
    fault(world, &one, &claims[1], true).await;
    assert_eq!(quarantine(world, &one).await.unwrap().trials, 0);
    completes(world, &two, ids[0]).await;
    completes(world, &two, ids[1]).await;
    for (trials, delay) in [(1, 120), (2, 240), (3, 480)] {
        world.advance(Duration::from_secs(500));
        let (task, other) = (world.enqueue().await, world.enqueue().await);
        let claim = world.claim_with_slots(&one, 2).await.unwrap();
        assert!(world.claim_with_slots(&one, 2).await.is_none(), "one trial at a time");
        fault(world, &one, &claim, true).await;
        let known = quarantine(world, &one).await.unwrap();
        assert_eq!((known.trials, known.trial_at_ms - world.now_ms()), (trials, delay * 1_000));
        completes(world, &two, task).await;
        completes(world, &two, other).await;
    }
    // A fault soon after a successful trial continues the quarantine; a later one does not.
    for (pause, trials) in [(599, 4), (602, 0)] {
        world.advance(Duration::from_secs(1_000));
        let task = world.enqueue().await;
        completes(world, &one, task).await;
        world.advance(Duration::from_secs(pause));
        let task = world.enqueue().await;
        meets_fault(world, &one, task, true).await;
        assert_eq!(quarantine(world, &one).await.unwrap().trials, trials);
        completes(world, &two, task).await;
    }
    audit(world, 2).unwrap();
}

/// A task that breaks the only machine at each trial must not keep the others from proving it.
pub async fn a_trial_prefers_other_tasks(world: &World) {
    let killer = world.enqueue().await;
    let one = world.lease("gpu:1").await;
    meets_fault(world, &one, killer, true).await;
    world.advance(TRIAL_AFTER);
    let good = world.enqueue().await;
    completes(world, &one, good).await;
    assert_eq!(meets_fault(world, &one, killer, true).await, Written::AlreadyEnded(TaskState::Failed));
    // Without another task it is the trial itself, and not blamed for a machine that stays broken.
    let alone = world.enqueue().await;
    meets_fault(world, &one, alone, true).await;
    for _ in 0..3 {
        world.advance(Duration::from_secs(3_600));
        assert_eq!(meets_fault(world, &one, alone, true).await, Written::Done);
    }
    world.advance(Duration::from_secs(3_600));
    completes(world, &one, alone).await;
    assert_eq!(quarantine(world, &one).await, None);
    audit(world, 1).unwrap();
}

pub async fn only_a_run_after_the_fault_proves_the_machine(world: &World) {
    let (early, bad) = (world.enqueue().await, world.enqueue().await);
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let before = world.claim_with_slots(&one, 2).await.unwrap();
    let claim = world.claim_with_slots(&one, 2).await.unwrap();
    world.advance(Duration::from_secs(1));
    fault(world, &one, &claim, true).await;
    world.queue.settle(&one, early, before.attempt, &completed()).await.unwrap();
    assert!(quarantine(world, &one).await.is_some(), "its prompt had ended before the fault");
    completes(world, &two, bad).await;
    world.advance(TRIAL_AFTER);
    let trial = world.enqueue().await;
    completes(world, &one, trial).await;
    assert_eq!(quarantine(world, &one).await, None);
}

pub async fn two_unexplained_failures_in_a_row_are_the_machine(world: &World) {
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let first = world.enqueue().await;
    meets_fault(world, &one, first, false).await;
    assert_eq!(world.task(first).await.attempts[0].outcome.as_deref(), Some("node_error"));
    assert_eq!(quarantine(world, &one).await, None, "one says nothing");
    let second = world.enqueue().await;
    meets_fault(world, &one, second, false).await;
    assert!(quarantine(world, &one).await.is_some());
    // The first fails elsewhere, too: it was the task.
    let claim = world.claim(&two).await.unwrap();
    assert_eq!(claim.task, first);
    world.queue.settle(&two, first, claim.attempt, &failed(FailureKind::NodeError)).await.unwrap();
    assert_eq!(quarantine(world, &one).await, None);
    // The second succeeds elsewhere: it was the machine, and one more failure shows it.
    completes(world, &two, second).await;
    let third = world.enqueue().await;
    meets_fault(world, &one, third, false).await;
    assert_eq!(quarantine(world, &one).await.unwrap().task_id, third);
    completes(world, &two, third).await;
    // A success takes all doubts back.
    world.advance(TRIAL_AFTER);
    let trial = world.enqueue().await;
    completes(world, &one, trial).await;
    let fourth = world.enqueue().await;
    meets_fault(world, &one, fourth, false).await;
    assert_eq!(quarantine(world, &one).await, None);
    audit(world, 1).unwrap();
}

pub async fn an_operator_or_a_restart_ends_a_quarantine(world: &World) {
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let other = Lease { token: Token::new(), ..one.clone() };
    for end in 0..3 {
        let task = world.enqueue().await;
        meets_fault(world, &one, task, true).await;
        assert_eq!(quarantine(world, &one).await.unwrap().trials, 0, "the last one is forgotten");
        assert!(!world.queue.end_quarantine(&one.instance, Some(&other)).await.unwrap());
        assert!(quarantine(world, &one).await.is_some(), "a stale owner ends nothing");
        match end {
            0 => assert!(world.queue.end_quarantine(&one.instance, None).await.unwrap()),
            1 => assert!(world.queue.end_quarantine(&one.instance, Some(&one)).await.unwrap()),
            _ => world.queue.set_enabled(&one.instance, true).await.unwrap(),
        }
        assert_eq!(quarantine(world, &one).await, None);
        assert!(!world.queue.end_quarantine(&one.instance, None).await.unwrap());
        if end == 0 {
            // The operator's word does not prove the machine: a fault is not the task's.
            completes(world, &two, task).await;
            let task = world.enqueue().await;
            meets_fault(world, &one, task, true).await;
            assert_eq!(world.field(task, "faults"), "0");
            world.queue.end_quarantine(&one.instance, Some(&one)).await.unwrap();
            completes(world, &two, task).await;
        } else {
            completes(world, &two, task).await;
        }
        let task = world.enqueue().await;
        completes(world, &one, task).await;
    }
}

pub async fn a_takeover_keeps_the_quarantine(world: &World) {
    let task = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    meets_fault(world, &one, task, true).await;
    let known = quarantine(world, &one).await;
    world.queue.release_lease(&one).await.unwrap();
    let next = Lease { token: Token::new(), ..one.clone() };
    let acquired = world.queue.acquire(&next.instance, "dispatcher-2", &next.token, TTL).await.unwrap();
    assert!(matches!(acquired, Acquired::Ours(_)));
    assert!(known.is_some() && quarantine(world, &next).await == known);
    let (written, read) = world.queue.report_and_read(&next, &Default::default(), false).await.unwrap();
    assert_eq!((written, read), (Written::Done, known));
    completes(world, &two, task).await;
    world.enqueue().await;
    assert!(world.claim(&next).await.is_none());
}

/// Out of memory: the next attempt waits for an instance with more.
pub async fn a_task_waits_for_the_instance_that_it_prefers(world: &World) {
    let id = world.enqueue().await;
    let (small, large) = (world.lease("small:1").await, world.lease("large:1").await);
    let prefers = [large.instance.clone(), InstanceId::new("gone:1")];
    let fails = async || {
        let claim = world.claim(&small).await.unwrap();
        let failure = Failure::new(FailureKind::OutOfMemory, "out of memory");
        let written = world.queue.retry(&small, id, claim.attempt, (&failure, &[]), &prefers).await.unwrap();
        assert_eq!(written, Written::Retrying);
        for _ in 0..2 {
            world.advance(Duration::from_secs(6));
            renew(world, &[&small, &large]).await;
            janitor(world).await;
        }
    };
    fails().await;
    assert_eq!(world.task(id).await.prefers.unwrap().1, prefers);
    assert!(world.claim(&small).await.is_none());
    world.queue.set_enabled(&large.instance, false).await.unwrap();
    fails().await;
    world.queue.set_enabled(&large.instance, true).await.unwrap();
    assert!(world.claim(&small).await.is_none());
    world.advance(Duration::from_secs(588));
    renew(world, &[&small, &large]).await;
    assert_eq!(world.claim(&small).await.unwrap().task, id, "after ten minutes any instance will do");
}

pub async fn a_stale_owner_blames_no_machine(world: &World) {
    let id = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let claim = world.claim(&one).await.unwrap();
    let stale = Lease { token: Token::new(), ..one.clone() };
    assert_eq!(fault(world, &stale, &claim, true).await, Written::Fenced);
    assert_eq!(world.task(id).await.state, TaskState::Claimed);
    world.queue.requeue(&one, id, claim.attempt, false, "given back").await.unwrap();
    let next = world.claim(&two).await.unwrap();
    assert_eq!(fault(world, &one, &claim, true).await, Written::NotThisAttempt);
    assert_eq!(quarantine(world, &one).await, None);
    world.queue.settle(&two, id, next.attempt, &completed()).await.unwrap();
}

pub async fn a_revived_task_has_caused_no_faults(world: &World) {
    let id = world.enqueue().await;
    let (one, two, three) = (world.lease("gpu:1").await, world.lease("gpu:2").await, world.lease("gpu:3").await);
    meets_fault(world, &one, id, true).await;
    meets_fault(world, &two, id, true).await;
    assert!(meets_fault(world, &three, id, true).await == Written::AlreadyEnded(TaskState::Failed));
    assert!(matches!(world.queue.revive(id).await.unwrap(), Revived::Revived(_)));
    for lease in [&one, &two, &three] {
        world.queue.end_quarantine(&lease.instance, Some(lease)).await.unwrap();
    }
    assert_eq!(meets_fault(world, &one, id, true).await, Written::Done);
    assert_eq!(world.task(id).await.state, TaskState::Waiting);
}
