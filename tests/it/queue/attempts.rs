//! Claims, and the fencing of an attempt's writes.

use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{TTL, World, completed, failed},
    },
};
use shuzhiren::{
    queue::{Claimed, Lease, ProgressOf, Queue, Renewed, Written},
    task::{Attempt, FailureKind, Progress, TaskId, TaskState},
};
use std::time::Duration;

scenarios! {
    a_claim_sent_twice_claims_once
    a_claim_is_replayed_only_while_its_task_runs
    an_instance_claims_no_more_tasks_than_its_slots
    a_disabled_instance_claims_nothing
    a_stale_token_changes_nothing
    an_old_attempt_changes_nothing
    a_retry_on_the_same_instance_is_a_new_attempt
    a_claim_lost_in_a_failover_is_reclaimed
    a_stale_holder_cannot_reclaim_a_task
    only_ended_tasks_are_released
    a_task_can_finish_without_a_recorded_start
    progress_records_the_start
}

pub async fn write_all(queue: &Queue, lease: &Lease, task: TaskId, attempt: Attempt) -> Vec<Written> {
    let progress = Progress { percent: 7, ..Progress::default() };
    vec![
        queue.start(lease, task, attempt).await.unwrap(),
        queue.progress(lease, task, attempt, &progress).await.unwrap(),
        queue.settle(lease, task, attempt, &completed()).await.unwrap(),
        queue.settle(lease, task, attempt, &failed(FailureKind::NodeError)).await.unwrap(),
        queue.settle(lease, task, attempt, &failed(FailureKind::PromptLost)).await.unwrap(),
        queue.requeue(lease, task, attempt, true, "test").await.unwrap(),
    ]
}

pub async fn a_claim_sent_twice_claims_once(world: &World) {
    world.enqueue().await;
    world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let Claimed::Task(claim) = world.queue.claim(&lease, "nonce", 2, 32).await.unwrap() else { panic!() };
        seen.push((claim.task, claim.attempt, claim.payload.workflow.get().to_owned()));
    }
    assert_eq!(seen[0], seen[1]);
    audit(world, 1).unwrap();
    assert_ne!(world.claim_with_slots(&lease, 2).await.unwrap().task, seen[0].0);
    audit(world, 2).unwrap();
}

pub async fn a_claim_is_replayed_only_while_its_task_runs(world: &World) {
    world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let Claimed::Task(claim) = world.queue.claim(&lease, "nonce", 1, 32).await.unwrap() else { panic!() };
    world.queue.cancel(claim.task).await.unwrap();
    assert!(matches!(world.queue.claim(&lease, "nonce", 1, 32).await.unwrap(), Claimed::Nothing));
    // A new lease discards the nonce of the old one.
    world.queue.release(&lease, claim.task).await.unwrap();
    world.queue.release_lease(&lease).await.unwrap();
    let next = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let Claimed::Task(claim) = world.queue.claim(&lease, "nonce", 1, 32).await.unwrap() else { panic!() };
    assert_eq!(claim.task, next);
}

pub async fn an_instance_claims_no_more_tasks_than_its_slots(world: &World) {
    for _ in 0..3 {
        world.enqueue().await;
    }
    let lease = world.lease("gpu:1").await;
    assert!(world.claim(&lease).await.is_some());
    assert!(world.claim(&lease).await.is_none());
    assert!(world.claim_with_slots(&lease, 2).await.is_some());
    assert!(world.claim_with_slots(&lease, 2).await.is_none());
    audit(world, 2).unwrap();
}

pub async fn a_disabled_instance_claims_nothing(world: &World) {
    world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    world.queue.set_enabled(&lease.instance, false).await.unwrap();
    assert!(world.claim(&lease).await.is_none());
    // Its keys were removed while it was not in the config.
    world.redis(&["DEL", &world.key("instance:gpu:1")]);
    let lease = world.lease("gpu:1").await;
    assert!(world.claim(&lease).await.is_none());
    world.queue.set_enabled(&lease.instance, true).await.unwrap();
    assert!(world.claim(&lease).await.is_some());
}

/// A paused owner resumes after another dispatcher took its instance.
pub async fn a_stale_token_changes_nothing(world: &World) {
    let id = world.enqueue().await;
    world.enqueue().await;
    let old = world.lease("gpu:1").await;
    let claim = world.claim(&old).await.unwrap();
    world.advance(TTL);
    let new = world.lease("gpu:1").await;
    let before = dump(world);
    assert_eq!(write_all(&world.queue, &old, id, claim.attempt).await, [Written::Fenced; 6]);
    assert_eq!(world.queue.release(&old, id).await.unwrap(), Written::Fenced);
    assert_eq!(world.queue.reclaim(&old, id, claim.attempt).await.unwrap(), Written::Fenced);
    assert_eq!(world.queue.report(&old, &Default::default(), true).await.unwrap(), Written::Fenced);
    assert_eq!(world.queue.renew(&old, TTL).await.unwrap(), Renewed::Lost);
    assert!(world.claim_with_slots(&old, 5).await.is_none());
    world.queue.release_lease(&old).await.unwrap();
    assert!(before == dump(world), "a fenced write changed a key");
    // The new owner continues the same attempt.
    assert_eq!(world.queue.settle(&new, id, claim.attempt, &completed()).await.unwrap(), Written::Done);
    audit(world, 1).unwrap();
}

/// Both tokens are valid, but the task was claimed by another instance meanwhile.
pub async fn an_old_attempt_changes_nothing(world: &World) {
    let id = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let first = world.claim(&one).await.unwrap();
    world.queue.requeue(&one, id, first.attempt, false, "bad").await.unwrap();
    let second = world.claim(&two).await.unwrap();
    let before = dump(world);
    assert_eq!(write_all(&world.queue, &one, id, first.attempt).await, [Written::NotThisAttempt; 6]);
    // Nor with the right attempt number from the wrong instance, nor the reverse.
    assert_eq!(write_all(&world.queue, &one, id, second.attempt).await, [Written::NotThisAttempt; 6]);
    assert_eq!(write_all(&world.queue, &two, id, first.attempt).await, [Written::NotThisAttempt; 6]);
    assert_eq!(world.queue.reclaim(&one, id, second.attempt).await.unwrap(), Written::NotThisAttempt);
    assert!(before == dump(world), "an old attempt changed a key");
    assert!(world.queue.read_claim(id, first.attempt).await.unwrap().is_none());
    assert!(world.queue.read_claim(id, second.attempt).await.unwrap().is_some());
    audit(world, 1).unwrap();
}

pub async fn a_retry_on_the_same_instance_is_a_new_attempt(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let first = world.claim(&lease).await.unwrap();
    world.queue.requeue(&lease, id, first.attempt, false, "again").await.unwrap();
    let before = dump(world);
    let late = write_all(&world.queue, &lease, id, first.attempt).await;
    assert_eq!(late[..5], [Written::NotThisAttempt; 5]);
    assert_eq!(late[5], Written::Done, "a repeated requeue is answered the same");
    assert!(before == dump(world));
    let second = world.claim(&lease).await.unwrap();
    assert_eq!(second.attempt, Attempt::new(2));
    assert_eq!(write_all(&world.queue, &lease, id, first.attempt).await, [Written::NotThisAttempt; 6]);
    audit(world, 1).unwrap();
}

/// A failover lost the claim: in Redis the task is waiting, but the instance runs it.
pub async fn a_claim_lost_in_a_failover_is_reclaimed(world: &World) {
    let id = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let attempt = Attempt::new(1);
    for _ in 0..2 {
        assert_eq!(world.queue.reclaim(&one, id, attempt).await.unwrap(), Written::Done);
        audit(world, 1).unwrap();
    }
    assert_eq!(world.queue.reclaim(&two, id, attempt).await.unwrap(), Written::NotThisAttempt);
    assert_eq!(world.queue.reclaim(&two, TaskId::new(), attempt).await.unwrap(), Written::NotThisAttempt);
    assert!(world.claim(&two).await.is_none());
    assert_eq!(world.queue.settle(&one, id, attempt, &completed()).await.unwrap(), Written::Done);
    assert_eq!(world.queue.reclaim(&one, id, attempt).await.unwrap(), Written::AlreadyEnded(TaskState::Completed));
    audit(world, 1).unwrap();
}

pub async fn a_stale_holder_cannot_reclaim_a_task(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.requeue(&lease, id, claim.attempt, false, "drained").await.unwrap();
    assert_eq!(world.queue.reclaim(&lease, id, claim.attempt).await.unwrap(), Written::NotThisAttempt);
    assert_eq!(world.task(id).await.state, TaskState::Waiting);
    audit(world, 1).unwrap();
}

pub async fn only_ended_tasks_are_released(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    world.claim(&lease).await.unwrap();
    let before = dump(world);
    assert_eq!(world.queue.release(&lease, id).await.unwrap(), Written::NotThisAttempt);
    assert!(before == dump(world));
    world.queue.cancel(id).await.unwrap();
    for _ in 0..2 {
        assert_eq!(world.queue.release(&lease, id).await.unwrap(), Written::Done);
        audit(world, 1).unwrap();
    }
    // A slot of a task that no longer exists.
    world.redis(&["HSET", &world.key("in-flight:gpu:1"), &TaskId::new().to_string(), "1"]);
    let Renewed::Ours(in_flight) = world.queue.renew(&lease, TTL).await.unwrap() else { panic!() };
    assert_eq!(world.queue.release(&lease, in_flight.tasks[0].0).await.unwrap(), Written::Done);
    audit(world, 1).unwrap();
}

pub async fn a_task_can_finish_without_a_recorded_start(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    let claimed_ms = world.now_ms();
    world.advance(Duration::from_millis(70));
    assert_eq!(world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap(), Written::Done);
    let task = world.task(id).await;
    assert_eq!((task.started_ms, task.finished_ms), (Some(claimed_ms), Some(claimed_ms + 70)));
}

pub async fn progress_records_the_start(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    let progress = Progress { percent: 3, ..Progress::default() };
    let ran = Duration::from_secs(5);
    let one = ProgressOf { lease: &lease, task: id, attempt: claim.attempt, progress: &progress, ran };
    let written = world.queue.progress_of_many(&[one]).await.unwrap();
    assert!(matches!(written[..], [Ok(Written::Done)]), "{written:?}");
    let task = world.task(id).await;
    assert_eq!((task.state, task.version, task.progress), (TaskState::Running, 4, progress));
    assert_eq!(task.started_ms, Some(world.now_ms() - 5_000));
    audit(world, 1).unwrap();
}

/// Does everything that is due, as the janitor does.
pub async fn janitor(world: &World) {
    world.queue.run_janitor_once().await.unwrap();
}
