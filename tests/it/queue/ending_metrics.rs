//! The metric of ended tasks counts each way of ending exactly once.

use crate::{
    scenarios,
    support::world::{World, completed, failed, new_task},
};
use shuzhiren::{
    metrics,
    queue::Written,
    task::{FailureKind, NewTask, Status, TaskState},
};
use std::time::Duration;

scenarios! {
    every_ending_is_counted_once
}

/// Reads this process's counters: completed, failed, cancelled.
async fn counted() -> [u64; 3] {
    metrics::install();
    let text = metrics::render().await;
    ["completed", "failed", "cancelled"].map(|outcome| {
        let name = format!("shuzhiren_tasks_ended_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(name.as_str())).map_or(0, |count| count.parse().unwrap())
    })
}

pub async fn every_ending_is_counted_once(world: &World) {
    let before = counted().await;
    let lease = world.lease("gpu:1").await;
    let settle = async |new: NewTask, outcome| {
        world.create(&new).await;
        let claim = world.claim(&lease).await.unwrap();
        world.queue.settle(&lease, claim.task, claim.attempt, &outcome).await.unwrap()
    };
    // The dispatcher counts endings that it reports itself, with the same labels.
    assert_eq!(settle(new_task(), completed()).await, Written::Done);
    assert_eq!(settle(new_task(), failed(FailureKind::NodeError)).await, Written::Done);
    let once = NewTask { max_attempts: 1, ..new_task() };
    assert_eq!(settle(once, failed(FailureKind::Stalled)).await, Written::Done);
    assert_eq!(counted().await, before);

    // Failed as poison.
    let poison = world.enqueue().await;
    let mut attempt = None;
    for expected in [Written::Done, Written::AlreadyEnded(TaskState::Failed)] {
        // No other instance exists: after some seconds the avoided instance may claim it.
        world.advance(Duration::from_secs(6));
        world.queue.acquire(&lease.instance, "d", &lease.token, Duration::from_secs(60)).await.unwrap();
        let claim = world.claim(&lease).await.unwrap();
        let written = world.queue.requeue(&lease, poison, claim.attempt, true, "it died").await.unwrap();
        assert_eq!(written, expected);
        attempt = Some(claim.attempt);
    }
    assert_eq!(counted().await[1], before[1] + 1);
    // A call repeated after a lost reply gets the same reply; here both replies arrived.
    world.queue.requeue(&lease, poison, attempt.unwrap(), true, "it died").await.unwrap();
    assert_eq!(counted().await[1], before[1] + 2);
    // Failed by its `startBy`, while waiting and while claimed; a started task is not affected.
    let soon = || NewTask { start_by_ms: Some(world.now_ms() + 1_000), ..new_task() };
    let (begun, late) = (soon(), soon());
    world.create(&begun).await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, claim.task, claim.attempt).await.unwrap();
    world.create(&late).await;
    world.advance(Duration::from_secs(2));
    world.queue.run_janitor_once().await.unwrap();
    // Failed by the sweep: its payload is lost.
    let lost = world.enqueue().await;
    world.redis(&["DEL", &world.key(&format!("payload:{lost}"))]);
    assert!(world.queue.repair_indexes().await.unwrap() > 0);
    for id in [poison, late.id, lost] {
        assert_eq!(world.task(id).await.state.status(), Status::Failed);
    }
    // Cancelled twice.
    for _ in 0..2 {
        world.queue.cancel(begun.id).await.unwrap();
    }
    world.queue.release(&lease, begun.id).await.unwrap();
    world.queue.run_janitor_once().await.unwrap();
    assert_eq!(world.queue.repair_indexes().await.unwrap(), 0);
    assert_eq!(counted().await, [before[0], before[1] + 4, before[2] + 1]);
}
