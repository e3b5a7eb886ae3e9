//! Attempts that do not succeed: retried, requeued, or the end of the task.

use super::attempts::janitor;
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{TTL, World, completed, failed, new_task},
    },
};
use shuzhiren::{
    queue::{Acquired, Token, Written},
    task::{Attempt, Failure, FailureKind, InstanceId, Outcome, TaskState},
};
use std::time::Duration;

scenarios! {
    a_retry_waits_and_avoids_the_instance
    an_avoided_instance_may_claim_after_five_seconds
    the_only_instance_is_not_avoided
    a_failed_last_attempt_fails_the_task
    a_final_failure_is_final
    a_requeued_task_keeps_its_place_and_its_attempts
    a_second_loss_is_poison
    requeued_attempts_are_not_counted
    no_requeue_counts_as_an_attempt
    a_delayed_task_waits_for_its_time
    a_forged_delay_changes_nothing
    a_retry_keeps_its_place
    history_keeps_the_last_twenty
    history_holds_a_short_error
}

pub async fn a_retry_waits_and_avoids_the_instance(world: &World) {
    let id = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let claim = world.claim(&one).await.unwrap();
    world.queue.start(&one, id, claim.attempt).await.unwrap();
    for _ in 0..2 {
        let written = world.queue.settle(&one, id, claim.attempt, &failed(FailureKind::PromptLost)).await.unwrap();
        assert_eq!(written, Written::Retrying);
        audit(world, 1).unwrap();
    }
    let task = world.task(id).await;
    assert_eq!((task.state, task.attempt), (TaskState::Delayed, Attempt::new(1)));
    assert_eq!(task.failure.unwrap().kind, FailureKind::PromptLost);
    let pause = task.retry_at_ms.unwrap() - world.now_ms();
    assert!(pause <= 2_000, "{pause}");
    assert_eq!((task.started_ms, task.attempts.len()), (None, 1));
    assert_eq!(task.attempts[0].outcome.as_deref(), Some("prompt_lost"));

    world.advance(Duration::from_secs(2));
    janitor(world).await;
    assert_eq!(world.task(id).await.state, TaskState::Waiting);
    audit(world, 1).unwrap();
    // Repeated after the task was promoted: the same answer.
    let written = world.queue.settle(&one, id, claim.attempt, &failed(FailureKind::PromptLost)).await.unwrap();
    assert_eq!(written, Written::Retrying);
    let late = world.queue.settle(&one, id, claim.attempt, &completed()).await.unwrap();
    assert_eq!(late, Written::NotThisAttempt);
    assert!(world.claim(&one).await.is_none(), "its instance must avoid it");
    let claim = world.claim(&two).await.unwrap();
    assert_eq!((claim.task, claim.attempt), (id, Attempt::new(2)));
    assert_eq!(world.task(id).await.failure, None);
    audit(world, 1).unwrap();
}

pub async fn the_only_instance_is_not_avoided(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::OutOfMemory)).await.unwrap();
    world.advance(Duration::from_secs(2));
    janitor(world).await;
    assert_eq!(world.claim(&lease).await.unwrap().task, id, "no other instance exists");
}

pub async fn an_avoided_instance_may_claim_after_five_seconds(world: &World) {
    let id = world.enqueue().await;
    let other = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let _busy_elsewhere = world.lease("gpu:2").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::OutOfMemory)).await.unwrap();
    world.advance(Duration::from_secs(2));
    janitor(world).await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(claim.task, other, "a task that avoids it does not block the lane");
    world.queue.settle(&lease, other, claim.attempt, &completed()).await.unwrap();
    world.advance(Duration::from_secs(5));
    assert!(world.claim(&lease).await.is_none());
    world.advance(Duration::from_millis(1));
    assert_eq!(world.claim(&lease).await.unwrap().task, id);
}

pub async fn a_failed_last_attempt_fails_the_task(world: &World) {
    let mut new = new_task();
    new.max_attempts = 2;
    world.create(&new).await;
    let leases = [world.lease("gpu:1").await, world.lease("gpu:2").await];
    for (lease, expected) in leases.iter().zip([Written::Retrying, Written::Done]) {
        let claim = world.claim(lease).await.unwrap();
        for _ in 0..2 {
            let outcome = failed(FailureKind::InstanceUnreachable);
            assert_eq!(world.queue.settle(lease, new.id, claim.attempt, &outcome).await.unwrap(), expected);
            audit(world, 1).unwrap();
        }
        if expected == Written::Done {
            let other = world.queue.settle(lease, new.id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
            assert_eq!(other, Written::AlreadyEnded(TaskState::Failed));
        }
        world.advance(Duration::from_secs(300));
        janitor(world).await;
    }
    let task = world.task(new.id).await;
    assert_eq!((task.state, task.attempts.len()), (TaskState::Failed, 2));
    assert_eq!(task.failure.unwrap().message, "it \"broke\"\nbadly");
}

pub async fn a_final_failure_is_final(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    for _ in 0..2 {
        let outcome = failed(FailureKind::NodeError);
        assert_eq!(world.queue.settle(&lease, id, claim.attempt, &outcome).await.unwrap(), Written::Done);
        audit(world, 1).unwrap();
    }
    let task = world.task(id).await;
    assert_eq!((task.state, task.started_ms, task.version), (TaskState::Failed, None, 3));
    assert_eq!(task.attempts[0].outcome.as_deref(), Some("node_error"));
    // Other endings arrive too late.
    let late = world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::RunTimeout)).await.unwrap();
    assert_eq!(late, Written::AlreadyEnded(TaskState::Failed));
    let late = world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
    assert_eq!(late, Written::AlreadyEnded(TaskState::Failed));
    let late = world.queue.requeue(&lease, id, claim.attempt, false, "late").await.unwrap();
    assert_eq!(late, Written::AlreadyEnded(TaskState::Failed));
    assert_eq!(world.task(id).await.version, 3);
    audit(world, 1).unwrap();
}

pub async fn a_requeued_task_keeps_its_place_and_its_attempts(world: &World) {
    let ids = [world.enqueue().await, world.enqueue().await, world.enqueue().await];
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, ids[0], claim.attempt).await.unwrap();
    for _ in 0..2 {
        let written = world.queue.requeue(&lease, ids[0], claim.attempt, false, "drained").await.unwrap();
        assert_eq!(written, Written::Done);
        audit(world, 1).unwrap();
    }
    let task = world.task(ids[0]).await;
    assert_eq!((task.state, task.started_ms), (TaskState::Waiting, None));
    assert_eq!(task.attempts[0].outcome.as_deref(), Some("released"));
    assert_eq!(world.queue.wait_facts(&task).await.unwrap().position, Some(0));
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!((claim.task, claim.attempt, claim.max_attempts), (ids[0], Attempt::new(2), 4));
}

pub async fn a_second_loss_is_poison(world: &World) {
    let id = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let claim = world.claim(&one).await.unwrap();
    let written = world.queue.requeue(&one, id, claim.attempt, true, "it went away").await.unwrap();
    assert_eq!(written, Written::Done);
    assert!(world.claim(&one).await.is_none(), "the lost instance is avoided");
    let claim = world.claim(&two).await.unwrap();
    for _ in 0..2 {
        let written = world.queue.requeue(&two, id, claim.attempt, true, "it went \"away\"").await.unwrap();
        assert_eq!(written, Written::AlreadyEnded(TaskState::Failed));
        audit(world, 1).unwrap();
    }
    // The same attempt reports another outcome: the answer is not that this outcome ended the task.
    let other = world.queue.settle(&two, id, claim.attempt, &failed(FailureKind::NodeError)).await.unwrap();
    assert_eq!(other, Written::AlreadyEnded(TaskState::Failed));
    let failure = world.task(id).await.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Poison);
    assert!(failure.message.contains("it went \"away\""), "{}", failure.message);
}

pub async fn requeued_attempts_are_not_counted(world: &World) {
    let mut new = new_task();
    new.max_attempts = 1;
    world.create(&new).await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    for lease in [&one, &two] {
        let claim = world.claim(lease).await.unwrap();
        assert_eq!(claim.attempt.get(), claim.max_attempts);
        world.queue.requeue(lease, new.id, claim.attempt, false, "not its fault").await.unwrap();
    }
    let claim = world.claim(&one).await.unwrap();
    let again = world.queue.read_claim(new.id, claim.attempt).await.unwrap().unwrap();
    assert_eq!((again.max_attempts, again.payload.workflow.get()), (3, new.payload.workflow.get()));
    let written = world.queue.settle(&one, new.id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
    assert_eq!(written, Written::Done);
    assert_eq!(world.task(new.id).await.state, TaskState::Failed);
}

pub async fn no_requeue_counts_as_an_attempt(world: &World) {
    let mut new = new_task();
    new.max_attempts = 2;
    world.create(&new).await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let claim = world.claim(&one).await.unwrap();
    world.queue.requeue(&one, new.id, claim.attempt, false, "not its fault").await.unwrap();
    let claim = world.claim(&two).await.unwrap();
    let first_failure = world.queue.settle(&two, new.id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
    assert_eq!(first_failure, Written::Retrying);
}

pub async fn a_delayed_task_waits_for_its_time(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
    let due = world.task(id).await.retry_at_ms.unwrap();
    // A delay of zero is possible but improbable.
    if due > world.now_ms() {
        world.advance(Duration::from_millis(due - world.now_ms() - 1));
        janitor(world).await;
        assert_eq!(world.task(id).await.state, TaskState::Delayed);
        world.advance(Duration::from_millis(1));
    }
    janitor(world).await;
    let task = world.task(id).await;
    assert_eq!((task.state, task.retry_at_ms), (TaskState::Waiting, None));
}

pub async fn a_forged_delay_changes_nothing(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    let before = dump(world);
    world.redis(&["ZADD", &world.key("delayed"), "0", &id.to_string(), "1", "nobody"]);
    janitor(world).await;
    assert!(before == dump(world));
    assert_eq!(world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap(), Written::Done);
}

pub async fn a_retry_keeps_its_place(world: &World) {
    let ids = [world.enqueue().await, world.enqueue().await, world.enqueue().await];
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let claim = world.claim(&one).await.unwrap();
    world.queue.settle(&one, ids[0], claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
    world.advance(Duration::from_secs(2));
    janitor(world).await;
    assert_eq!(world.claim(&two).await.unwrap().task, ids[0]);
}

pub async fn history_keeps_the_last_twenty(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    for _ in 0..23 {
        let claim = world.claim(&lease).await.unwrap();
        world.queue.requeue(&lease, id, claim.attempt, false, "again").await.unwrap();
    }
    let attempts = world.task(id).await.attempts;
    assert_eq!((attempts.len(), attempts[0].attempt.get(), attempts[19].attempt.get()), (20, 4, 23));
    let instance = InstanceId::new("gpu:1");
    let held = world.queue.acquire(&instance, "other", &Token::new(), TTL).await.unwrap();
    assert!(matches!(held, Acquired::Held(left) if left == TTL));
}

pub async fn history_holds_a_short_error(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, id, claim.attempt).await.unwrap();
    world.queue.requeue(&lease, id, claim.attempt, true, "it \"restarted\"").await.unwrap();
    // 299 bytes and a character of three bytes: the cut must not split it.
    let long = format!("{}图图", "x".repeat(299));
    let claim = world.claim(&lease).await.unwrap();
    let outcome = Outcome::Failed { failure: Failure::new(FailureKind::Stalled, &*long), outputs: Vec::new() };
    world.queue.settle(&lease, id, claim.attempt, &outcome).await.unwrap();
    // The delay after a second attempt.
    world.advance(Duration::from_secs(4));
    janitor(world).await;
    let claim = world.claim(&lease).await.unwrap();
    let outcome = Outcome::Failed { failure: Failure::new(FailureKind::NodeError, "short"), outputs: Vec::new() };
    world.queue.settle(&lease, id, claim.attempt, &outcome).await.unwrap();
    let task = world.task(id).await;
    let errors: Vec<(FailureKind, &str)> =
        task.attempts.iter().flat_map(|attempt| &attempt.error).map(|error| (error.kind, &*error.message)).collect();
    let cut = "x".repeat(299);
    assert_eq!(
        errors,
        [
            (FailureKind::PromptLost, "it \"restarted\""),
            (FailureKind::Stalled, cut.as_str()),
            (FailureKind::NodeError, "short")
        ]
    );
    let well = world.enqueue().await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.requeue(&lease, well, claim.attempt, false, "stopped").await.unwrap();
    let claim = world.claim(&lease).await.unwrap();
    world.queue.settle(&lease, well, claim.attempt, &completed()).await.unwrap();
    let attempts = world.task(well).await.attempts;
    assert!(attempts.len() == 2 && attempts.iter().all(|attempt| attempt.error.is_none()), "{attempts:?}");
}
