//! The janitor: `startBy`, retention, retries, instances that left the config.

use super::attempts::janitor;
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        eventually,
        world::{KEEP, TTL, World, completed, failed, new_task},
    },
};
use shuzhiren::{
    queue::{Renewed, Retention, Written},
    task::{FailureKind, NewTask, TaskState},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

scenarios! {
    a_task_not_started_by_its_start_by_fails
    a_claimed_task_not_started_by_its_start_by_fails_and_its_instance_is_notified
    an_overdue_task_is_not_claimed
    a_started_task_may_run_past_its_start_by
    ended_tasks_are_collected_without_a_trace
    a_task_that_holds_a_slot_is_not_collected
    the_task_of_an_instance_that_left_the_config_is_requeued
    an_instance_in_the_config_keeps_its_tasks
    many_due_retries_are_promoted
    the_janitor_runs_and_stops
}

async fn enqueue_until(world: &World, after: Duration) -> shuzhiren::task::TaskId {
    let by = world.now_ms() + u64::try_from(after.as_millis()).unwrap();
    world.create(&NewTask { start_by_ms: Some(by), ..new_task() }).await.id
}

pub async fn a_task_not_started_by_its_start_by_fails(world: &World) {
    let id = enqueue_until(world, Duration::from_secs(10)).await;
    assert_eq!(world.task(id).await.start_by_ms, Some(world.now_ms() + 10_000));
    world.advance(Duration::from_millis(9_999));
    janitor(world).await;
    assert_eq!(world.task(id).await.state, TaskState::Waiting);
    audit(world, 1).unwrap();
    world.advance(Duration::from_millis(1));
    for _ in 0..2 {
        janitor(world).await;
        let task = world.task(id).await;
        assert_eq!((task.state, task.version), (TaskState::Failed, 2));
        assert_eq!(task.failure.unwrap().kind, FailureKind::StartTimeout);
        audit(world, 1).unwrap();
    }
}

pub async fn a_claimed_task_not_started_by_its_start_by_fails_and_its_instance_is_notified(world: &World) {
    let id = enqueue_until(world, Duration::from_secs(10)).await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.advance(Duration::from_secs(10));
    janitor(world).await;
    audit(world, 1).unwrap();
    let Renewed::Ours(in_flight) = world.queue.renew(&lease, TTL).await.unwrap() else { panic!() };
    assert_eq!(in_flight.cancelled, [id]);
    let late = world.queue.start(&lease, id, claim.attempt).await.unwrap();
    assert_eq!(late, Written::AlreadyEnded(TaskState::Failed));
    world.queue.release(&lease, id).await.unwrap();
    audit(world, 1).unwrap();
}

/// No janitor was running when its `startBy` passed: it is not started late.
pub async fn an_overdue_task_is_not_claimed(world: &World) {
    let overdue = enqueue_until(world, Duration::from_secs(10)).await;
    let (early, plain) = (enqueue_until(world, Duration::from_secs(11)).await, world.enqueue().await);
    let lease = world.lease("gpu:1").await;
    world.advance(Duration::from_secs(10));
    assert_eq!(world.claim_with_slots(&lease, 3).await.unwrap().task, early);
    assert_eq!(world.claim_with_slots(&lease, 3).await.unwrap().task, plain);
    assert!(world.claim_with_slots(&lease, 3).await.is_none());
    assert_eq!(world.task(overdue).await.state, TaskState::Waiting);
    audit(world, 3).unwrap();
    janitor(world).await;
    assert_eq!(world.task(overdue).await.failure.unwrap().kind, FailureKind::StartTimeout);
    audit(world, 3).unwrap();
}

pub async fn a_started_task_may_run_past_its_start_by(world: &World) {
    let id = enqueue_until(world, Duration::from_secs(10)).await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, id, claim.attempt).await.unwrap();
    audit(world, 1).unwrap();
    world.advance(Duration::from_secs(60));
    janitor(world).await;
    assert_eq!(world.task(id).await.state, TaskState::Running);
    // Nor does it fail when it is requeued after it had started.
    world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
    world.advance(Duration::from_secs(10));
    janitor(world).await;
    assert_eq!(world.task(id).await.state, TaskState::Waiting);
    audit(world, 1).unwrap();
    assert_eq!(world.claim(&lease).await.unwrap().task, id);
}

pub async fn ended_tasks_are_collected_without_a_trace(world: &World) {
    let lease = world.lease("gpu:1").await;
    let before = dump(world).names();
    for number in 0..3 {
        let id = enqueue_until(world, Duration::from_secs(7)).await;
        match number {
            0 => drop(world.queue.cancel(id).await.unwrap()),
            1 => {
                let claim = world.claim(&lease).await.unwrap();
                world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
            }
            _ => {
                let claim = world.claim(&lease).await.unwrap();
                world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::NodeError)).await.unwrap();
            }
        }
        audit(world, 1).unwrap();
    }
    world.advance(KEEP);
    for _ in 0..2 {
        janitor(world).await;
        audit(world, 1).unwrap();
    }
    let mut after = dump(world).names();
    for kept in ["throughput", "speeds", "jobs"] {
        after.remove(kept);
    }
    assert_eq!(after, before);
    assert_eq!(world.queue.counts().await.unwrap().completed, 0);
}

pub async fn a_task_that_holds_a_slot_is_not_collected(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    world.claim(&lease).await.unwrap();
    world.queue.cancel(id).await.unwrap();
    world.advance(KEEP);
    janitor(world).await;
    assert!(world.queue.task(id).await.unwrap().is_some());
    audit(world, 1).unwrap();
    world.queue.release(&lease, id).await.unwrap();
    world.advance(Duration::from_secs(60));
    janitor(world).await;
    assert!(world.queue.task(id).await.unwrap().is_none());
    audit(world, 1).unwrap();
}

pub async fn the_task_of_an_instance_that_left_the_config_is_requeued(world: &World) {
    let (id, cancelled) = (world.enqueue().await, world.enqueue().await);
    world.queue.put_config(&super::fleet::config(&[8001]), None).await.unwrap();
    let lease = world.lease("127.0.0.1:9999").await;
    world.claim_with_slots(&lease, 2).await.unwrap();
    world.claim_with_slots(&lease, 2).await.unwrap();
    world.queue.cancel(cancelled).await.unwrap();
    janitor(world).await;
    assert_eq!(world.task(id).await.state, TaskState::Claimed, "its lease owner is alive and drains it");
    world.advance(TTL);
    janitor(world).await;
    assert_eq!(world.task(id).await.state, TaskState::Waiting);
    audit(world, 1).unwrap();
    assert!(!dump(world).names().iter().any(|key| key.contains("9999")), "no key of the instance is left");
    assert!(world.queue.leases(true).await.unwrap().count == 0);
    let lease = world.lease("127.0.0.1:8001").await;
    assert_eq!(world.claim(&lease).await.unwrap().task, id);
}

pub async fn an_instance_in_the_config_keeps_its_tasks(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("127.0.0.1:8001").await;
    world.claim(&lease).await.unwrap();
    world.advance(TTL * 10);
    // No config was ever set, so no instance has left it.
    janitor(world).await;
    assert_eq!(world.task(id).await.state, TaskState::Claimed);
    world.queue.put_config(&super::fleet::config(&[8001]), None).await.unwrap();
    janitor(world).await;
    assert_eq!(world.task(id).await.state, TaskState::Claimed);
}

pub async fn many_due_retries_are_promoted(world: &World) {
    let lease = world.lease("gpu:1").await;
    let mut ids = Vec::new();
    for _ in 0..120 {
        let id = world.enqueue().await;
        let claim = world.claim(&lease).await.unwrap();
        world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
        ids.push(id);
    }
    world.advance(Duration::from_secs(3));
    janitor(world).await;
    for id in ids {
        assert_eq!(world.task(id).await.state, TaskState::Waiting);
    }
    audit(world, 1).unwrap();
}

pub async fn the_janitor_runs_and_stops(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
    let stop = CancellationToken::new();
    let (queue, token) = (world.queue.clone(), stop.clone());
    let first = tokio::spawn(async move { queue.run_janitor(Retention::default(), token).await });
    world.advance(Duration::from_secs(3));
    eventually("promoted", Duration::from_secs(5), || async {
        (world.task(id).await.state == TaskState::Waiting).then_some(())
    })
    .await;
    let holder = world.redis(&["GET", &world.key("duty:janitor")]).text();
    assert!(holder.starts_with("janitor-"));
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(3), first).await.expect("stops").unwrap();
    assert_eq!(world.redis(&["EXISTS", &world.key("duty:janitor")]).number(), 0, "the janitor resigns when it stops");
}
