//! Keys for API nodes in Redis: encrypted by the caller, given to each attempt, gone when their task ends.

use crate::{
    scenarios,
    support::{
        audit::audit,
        world::{World, completed, failed, new_task},
    },
};
use shuzhiren::{
    queue::{Enqueued, Revived, Written},
    task::{FailureKind, NewTask},
};
use std::time::Duration;

scenarios! {
    every_attempt_gets_the_keys_and_none_are_left
    a_task_that_had_keys_is_revived_with_new_ones
}

fn with_keys(keys: &str) -> NewTask {
    NewTask { keys: Some(keys.to_owned()), ..new_task() }
}

pub async fn every_attempt_gets_the_keys_and_none_are_left(world: &World) {
    let new = with_keys("encrypted:v1:a");
    assert!(matches!(world.queue.enqueue(&new).await.unwrap(), Enqueued::Created(_)));
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(claim.keys.as_deref(), Some("encrypted:v1:a"));
    let again = world.queue.read_claim(new.id, claim.attempt).await.unwrap().unwrap();
    assert_eq!(again.keys, claim.keys, "after a takeover");
    let stalled = failed(FailureKind::InstanceUnreachable);
    assert_eq!(world.queue.settle(&lease, new.id, claim.attempt, &stalled).await.unwrap(), Written::Retrying);
    world.advance(Duration::from_secs(600));
    world.queue.acquire(&lease.instance, "d", &lease.token, Duration::from_secs(3_600)).await.unwrap();
    world.queue.run_janitor_once().await.unwrap();
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(claim.keys.as_deref(), Some("encrypted:v1:a"), "in the next attempt");
    world.queue.settle(&lease, new.id, claim.attempt, &completed()).await.unwrap();
    assert_eq!(world.field(new.id, "keys"), "");

    let without = world.enqueue().await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!((claim.task, claim.keys), (without, None));
    audit(world, 1).unwrap();
}

pub async fn a_task_that_had_keys_is_revived_with_new_ones(world: &World) {
    let new = with_keys("encrypted:v1:a");
    world.queue.enqueue(&new).await.unwrap();
    world.queue.cancel(new.id).await.unwrap();
    assert_eq!(world.field(new.id, "keys"), "");
    let before = world.task(new.id).await.version;
    assert!(matches!(world.queue.revive(new.id).await.unwrap(), Revived::KeysGone));
    assert_eq!(world.task(new.id).await.version, before, "nothing has changed");
    let revived = world.queue.revive_with(new.id, Some("encrypted:v1:b")).await.unwrap();
    assert!(matches!(revived, Revived::Revived(task) if task.expires_ms.is_none()));
    let lease = world.lease("gpu:1").await;
    assert_eq!(world.claim(&lease).await.unwrap().keys.as_deref(), Some("encrypted:v1:b"));
    audit(world, 1).unwrap();
}
