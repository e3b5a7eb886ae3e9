//! Every way in which a task ends, and that the metric of endings counts each once.

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

/// What this process has counted: completed, failed, cancelled.
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
    // What a dispatcher ends for its instance is counted there, by the same words.
    assert_eq!(settle(new_task(), completed()).await, Written::Done);
    assert_eq!(settle(new_task(), failed(FailureKind::NodeError)).await, Written::Done);
    let once = NewTask { max_attempts: 1, ..new_task() };
    assert_eq!(settle(once, failed(FailureKind::Stalled)).await, Written::Done);
    assert_eq!(counted().await, before);

    // By poison.
    let poison = world.enqueue().await;
    let mut attempt = None;
    for expected in [Written::Done, Written::AlreadyEnded(TaskState::Failed)] {
        // Nobody else is there: after some seconds the instance that it avoids will do.
        world.advance(Duration::from_secs(6));
        world.queue.acquire(&lease.instance, "d", &lease.token, Duration::from_secs(60)).await.unwrap();
        let claim = world.claim(&lease).await.unwrap();
        let written = world.queue.requeue(&lease, poison, claim.attempt, true, "it died").await.unwrap();
        assert_eq!(written, expected);
        attempt = Some(claim.attempt);
    }
    assert_eq!(counted().await[1], before[1] + 1);
    // Asked again because the answer was lost, it is answered the same; here both came.
    world.queue.requeue(&lease, poison, attempt.unwrap(), true, "it died").await.unwrap();
    assert_eq!(counted().await[1], before[1] + 2);
    // By its `startBy`, waiting and claimed; one that has begun is left alone.
    let soon = || NewTask { start_by_ms: Some(world.now_ms() + 1_000), ..new_task() };
    let (begun, late) = (soon(), soon());
    world.create(&begun).await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, claim.task, claim.attempt).await.unwrap();
    world.create(&late).await;
    world.advance(Duration::from_secs(2));
    world.queue.tidy_once().await.unwrap();
    // By the sweep: what it should run is lost.
    let lost = world.enqueue().await;
    world.redis(&["DEL", &world.key(&format!("payload:{lost}"))]);
    assert!(world.queue.heal().await.unwrap() > 0);
    for id in [poison, late.id, lost] {
        assert_eq!(world.task(id).await.state.status(), Status::Failed);
    }
    // By its owner, twice asked.
    for _ in 0..2 {
        world.queue.cancel(begun.id).await.unwrap();
    }
    world.queue.release(&lease, begun.id).await.unwrap();
    world.queue.tidy_once().await.unwrap();
    assert_eq!(world.queue.heal().await.unwrap(), 0);
    assert_eq!(counted().await, [before[0], before[1] + 4, before[2] + 1]);
}
