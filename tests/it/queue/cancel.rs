//! Cancelling is final at once; the slot becomes free when the instance has stopped.

use super::attempts::{janitor, write_all};
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{TTL, World, completed, failed},
    },
};
use shuzhiren::{
    queue::{Cancelled, Lease, Renewed, Written},
    task::{FailureKind, TaskId, TaskState},
};
use std::time::Duration;

scenarios! {
    a_waiting_task_is_cancelled
    a_delayed_task_is_cancelled
    a_running_task_is_cancelled_and_its_instance_notified
    a_result_after_a_cancel_is_refused_and_frees_the_slot
    a_finished_task_is_not_cancelled
    a_task_in_the_middle_of_a_lane_is_cancelled
    the_next_lease_owner_sees_a_cancel
}

async fn cancelled(world: &World, id: TaskId) -> shuzhiren::task::Task {
    match world.queue.cancel(id).await.unwrap() {
        Cancelled::Cancelled(task) => *task,
        other => panic!("not cancelled: {other:?}"),
    }
}

async fn cancelled_in_flight(world: &World, lease: &Lease) -> Vec<TaskId> {
    match world.queue.renew(lease, TTL).await.unwrap() {
        Renewed::Ours(in_flight) => in_flight.cancelled,
        Renewed::Lost => panic!("lost"),
    }
}

pub async fn a_waiting_task_is_cancelled(world: &World) {
    let id = world.enqueue().await;
    for _ in 0..2 {
        let task = cancelled(world, id).await;
        assert_eq!((task.state, task.version, task.cancel_pending), (TaskState::Cancelled, 2, false));
        assert_eq!((task.finished_ms, task.attempts.len()), (Some(world.now_ms()), 0));
        audit(world, 1).unwrap();
    }
    let lease = world.lease("gpu:1").await;
    assert!(world.claim(&lease).await.is_none());
    assert!(matches!(world.queue.cancel(TaskId::new()).await.unwrap(), Cancelled::NotFound));
}

pub async fn a_delayed_task_is_cancelled(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
    assert!(!cancelled(world, id).await.cancel_pending);
    audit(world, 1).unwrap();
    world.advance(Duration::from_secs(10));
    janitor(world).await;
    let task = world.task(id).await;
    assert_eq!((task.state, task.retry_at_ms), (TaskState::Cancelled, None));
    audit(world, 1).unwrap();
}

pub async fn a_running_task_is_cancelled_and_its_instance_notified(world: &World) {
    let id = world.enqueue().await;
    let waiting = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, id, claim.attempt).await.unwrap();
    let task = cancelled(world, id).await;
    assert_eq!((task.state, task.cancel_pending), (TaskState::Cancelled, true));
    assert_eq!(task.attempts[0].outcome.as_deref(), Some("cancelled"));
    audit(world, 1).unwrap();
    assert_eq!(cancelled_in_flight(world, &lease).await, [id]);
    assert!(world.claim(&lease).await.is_none(), "the slot stays in use until the prompt is gone");
    // Late writes of the attempt change nothing.
    let before = dump(world);
    assert_eq!(
        world.queue.start(&lease, id, claim.attempt).await.unwrap(),
        Written::AlreadyEnded(TaskState::Cancelled)
    );
    assert!(before == dump(world));
    assert_eq!(world.queue.release(&lease, id).await.unwrap(), Written::Done);
    assert!(!world.task(id).await.cancel_pending);
    assert!(cancelled_in_flight(world, &lease).await.is_empty());
    assert_eq!(world.claim(&lease).await.unwrap().task, waiting);
    audit(world, 1).unwrap();
}

pub async fn a_result_after_a_cancel_is_refused_and_frees_the_slot(world: &World) {
    for late in [completed(), failed(FailureKind::NodeError), failed(FailureKind::Stalled)] {
        let id = world.enqueue().await;
        let lease = world.lease("gpu:1").await;
        let claim = world.claim(&lease).await.unwrap();
        let version = cancelled(world, id).await.version;
        for _ in 0..2 {
            let written = world.queue.settle(&lease, id, claim.attempt, &late).await.unwrap();
            assert_eq!(written, Written::AlreadyEnded(TaskState::Cancelled));
            audit(world, 1).unwrap();
        }
        let task = world.task(id).await;
        assert_eq!((task.state, task.version, task.cancel_pending), (TaskState::Cancelled, version, false));
        let Renewed::Ours(in_flight) = world.queue.renew(&lease, TTL).await.unwrap() else { panic!() };
        assert_eq!(in_flight, Default::default());
        let refused = write_all(&world.queue, &lease, id, claim.attempt).await;
        assert_eq!(refused, [Written::AlreadyEnded(TaskState::Cancelled); 6]);
        world.queue.release_lease(&lease).await.unwrap();
    }
}

pub async fn a_finished_task_is_not_cancelled(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
    let before = dump(world);
    let Cancelled::AlreadyEnded(task) = world.queue.cancel(id).await.unwrap() else { panic!() };
    assert_eq!(task.state, TaskState::Completed);
    assert!(before == dump(world));
}

pub async fn a_task_in_the_middle_of_a_lane_is_cancelled(world: &World) {
    let ids = [world.enqueue().await, world.enqueue().await, world.enqueue().await];
    cancelled(world, ids[1]).await;
    audit(world, 1).unwrap();
    let lease = world.lease("gpu:1").await;
    assert_eq!(world.claim_with_slots(&lease, 9).await.unwrap().task, ids[0]);
    assert_eq!(world.claim_with_slots(&lease, 9).await.unwrap().task, ids[2]);
    assert!(world.claim_with_slots(&lease, 9).await.is_none());
    audit(world, 2).unwrap();
}

pub async fn the_next_lease_owner_sees_a_cancel(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    cancelled(world, id).await;
    world.advance(TTL);
    let lease = world.lease("gpu:1").await;
    let Renewed::Ours(in_flight) = world.queue.renew(&lease, TTL).await.unwrap() else { panic!() };
    assert_eq!((in_flight.tasks, in_flight.cancelled), (vec![(id, claim.attempt)], vec![id]));
}
