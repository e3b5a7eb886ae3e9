//! After an index entry is lost or forged, one sweep makes all indexes agree with the task hashes again.

use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{TTL, World, completed, failed, new_task},
    },
};
use shuzhiren::{
    queue::{FileKind, FileRecord, Renewed},
    task::{FailureKind, FileId, FileInput, InstanceId, NewTask, TaskState},
};
use std::time::Duration;

scenarios! {
    every_lost_key_is_rebuilt
    every_lost_member_is_rebuilt
    a_consistent_queue_needs_no_repair
    a_lost_slot_is_adopted_by_its_owner
    a_task_whose_hash_is_lost_leaves_no_trace
    a_task_whose_payload_is_lost_fails
}

/// Makes a task in every state, with files and a `startBy`.
async fn populate(world: &World) {
    let file = FileRecord {
        id: FileId::new(),
        kind: FileKind::Upload,
        filename: "a.png".into(),
        content_type: "image/png".into(),
        size_bytes: 1,
        sha256: "00".into(),
        owner: "alice".into(),
        task_id: None,
        created_ms: 0,
        task_expires_ms: None,
        shares: None,
    };
    world.queue.add_file(&file).await.unwrap();
    for number in 0..9 {
        let mut new = NewTask { start_by_ms: Some(world.now_ms() + 1_000_000), ..new_task() };
        new.payload.files = vec![FileInput { node_id: "1".into(), input: "image".into(), file_id: file.id }];
        if number % 2 == 1 {
            new.facts.eligible = (0..9).map(|number| InstanceId::new(format!("gpu:{number}"))).collect();
        }
        let id = world.create(&new).await.id;
        if number < 2 {
            continue;
        }
        let lease = world.lease(&format!("gpu:{number}")).await;
        let claim = world.claim(&lease).await.unwrap();
        let (id, attempt) = (if claim.task == id { id } else { claim.task }, claim.attempt);
        match number {
            2 => drop(world.queue.start(&lease, id, attempt).await.unwrap()),
            3 => drop(world.queue.settle(&lease, id, attempt, &completed()).await.unwrap()),
            4 => drop(world.queue.settle(&lease, id, attempt, &failed(FailureKind::NodeError)).await.unwrap()),
            5 => drop(world.queue.settle(&lease, id, attempt, &failed(FailureKind::Stalled)).await.unwrap()),
            6 => drop(world.queue.cancel(id).await.unwrap()),
            7 => drop(world.queue.requeue(&lease, id, attempt, false, "test").await.unwrap()),
            _ => {}
        }
    }
    audit(world, 1).unwrap();
}

/// Returns true if the key is an index of tasks, which can be rebuilt.
fn is_index(key: &str) -> bool {
    let own = [
        "task:",
        "payload:",
        "instance:",
        "file",
        "content:",
        "object:",
        "totals",
        "fair:",
        "meta",
        "installation:",
        "throughput",
        "test-clock",
        "leases",
        "jobs",
        "speeds",
    ];
    !own.iter().any(|prefix| key.starts_with(prefix))
}

async fn repair(world: &World, what: &str) {
    let wrong = world.queue.repair_indexes().await.unwrap();
    if let Err(finding) = audit(world, 1) {
        panic!("after {what} was lost ({wrong} repairs): {finding}");
    }
    assert_eq!(world.queue.repair_indexes().await.unwrap(), 0, "{what}: the second sweep finds nothing");
}

pub async fn every_lost_key_is_rebuilt(world: &World) {
    populate(world).await;
    for key in dump(world).names().into_iter().filter(|key| is_index(key)) {
        world.redis(&["DEL", &world.key(&key)]);
        repair(world, &key).await;
    }
}

pub async fn every_lost_member_is_rebuilt(world: &World) {
    populate(world).await;
    for key in dump(world).names().into_iter().filter(|key| is_index(key)) {
        let name = world.key(&key);
        let (members, remove): (Vec<String>, &str) = match world.redis(&["TYPE", &name]).text().as_str() {
            "zset" => (world.redis(&["ZRANGE", &name, "0", "-1"]).texts(), "ZREM"),
            "set" => (world.redis(&["SMEMBERS", &name]).texts(), "SREM"),
            "hash" => (world.redis(&["HKEYS", &name]).texts(), "HDEL"),
            "none" => continue,
            other => panic!("{key} is a {other}"),
        };
        for member in members {
            world.redis(&[remove, &name, &member]);
            repair(world, &format!("{member} of {key}")).await;
        }
    }
}

pub async fn a_consistent_queue_needs_no_repair(world: &World) {
    populate(world).await;
    let before = dump(world);
    assert_eq!(world.queue.repair_indexes().await.unwrap(), 0);
    assert!(before == dump(world));
}

pub async fn a_lost_slot_is_adopted_by_its_owner(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.redis(&["DEL", &world.key("in-flight:gpu:1")]);
    repair(world, "the slot").await;
    let Renewed::Ours(in_flight) = world.queue.renew(&lease, TTL).await.unwrap() else { panic!() };
    assert_eq!(in_flight.tasks, [(id, claim.attempt)]);
    assert_eq!(world.task(id).await.state, TaskState::Claimed);
}

pub async fn a_task_whose_hash_is_lost_leaves_no_trace(world: &World) {
    populate(world).await;
    let tasks = dump(world).tasks();
    for (id, task) in tasks {
        world.redis(&["DEL", &world.key(&format!("task:{id}")), &world.key(&format!("payload:{id}"))]);
        world.queue.repair_indexes().await.unwrap();
        // Only the lease owner frees its slot.
        if let Some(instance) = task.get("instance") {
            world.redis(&["HDEL", &world.key(&format!("in-flight:{instance}")), &id]);
            world.redis(&["SREM", &world.key(&format!("cancelled:{instance}")), &id]);
        }
        // Only the task hash names the files that it needs.
        for key in dump(world).names().into_iter().filter(|key| key.starts_with("uses:")) {
            world.redis(&["SREM", &world.key(&key), &id]);
        }
        audit(world, 1).unwrap();
    }
}

pub async fn a_task_whose_payload_is_lost_fails(world: &World) {
    let (id, sound) = (world.enqueue().await, world.enqueue().await);
    world.redis(&["DEL", &world.key(&format!("payload:{id}"))]);
    let lease = world.lease("gpu:1").await;
    assert_eq!(world.claim(&lease).await.unwrap().task, sound, "it does not block the lane");
    world.queue.repair_indexes().await.unwrap();
    let task = world.task(id).await;
    assert_eq!((task.state, task.failure.unwrap().kind), (TaskState::Failed, FailureKind::StorageFailed));
    world.advance(Duration::from_secs(1));
}
