//! Writes that fail in part: what is acknowledged is whole, and what is broken fails alone.

use super::files::{record, task_with_files};
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{TTL, World, new_task},
    },
};
use shuzhiren::{
    queue::{BatchEnqueued, Enqueued, Error, FileKind, PackedTask, ProgressOf, Renewed, Written},
    task::{BatchId, InstanceId, NewTask, Progress, TaskFacts, TaskId, TaskState},
};
use std::time::Duration;

scenarios! {
    a_task_without_its_indexes_is_not_acknowledged
    a_batch_without_its_indexes_is_not_acknowledged
    what_a_repeat_acknowledges_runs
    what_is_left_of_a_failed_enqueue_is_removed
    broken_progress_fails_alone
    a_broken_renewal_fails_alone
}

/// A task in every index.
fn indexed(world: &World) -> NewTask {
    let facts = TaskFacts { eligible: vec![InstanceId::new("gpu:1")], ..TaskFacts::default() };
    NewTask { facts, start_by_ms: Some(world.now_ms() + 1_000_000), ..new_task() }
}

/// Sorted sets to which an enqueue only adds: with another type they interrupt the script, as a missing right does.
const INDEXES: [&str; 4] = ["index:pending", "index:pending:alice", "narrowed", "start-by"];

/// Stores a text under a key.
fn break_key(world: &World, name: &str) {
    world.redis(&["SET", &world.key(name), "of another type"]);
}

fn delete_key(world: &World, name: &str) {
    world.redis(&["DEL", &world.key(name)]);
}

fn is_corrupt<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Corrupt(_)))
}

pub async fn a_task_without_its_indexes_is_not_acknowledged(world: &World) {
    for name in INDEXES {
        let new = indexed(world);
        break_key(world, name);
        for call in ["the first", "the repeated"] {
            let answer = world.queue.enqueue(&new).await;
            assert!(is_corrupt(&answer), "{call} call with a broken {name}: {answer:?}");
        }
        delete_key(world, name);
        let answer = world.queue.enqueue(&new).await.unwrap();
        assert!(matches!(answer, Enqueued::Created(_)), "{name}: {answer:?}");
        audit(world, 1).unwrap();
        world.queue.cancel(new.id).await.unwrap();
    }
}

pub async fn a_batch_without_its_indexes_is_not_acknowledged(world: &World) {
    let batch = BatchId::of(TaskId::new());
    let tasks: Vec<PackedTask> =
        (0..3).map(|index| PackedTask::new(NewTask { id: batch.task(index), ..indexed(world) }).unwrap()).collect();
    let batch_key = format!("batch:{}", &batch.task(0).to_string()[..32]);
    for name in [INDEXES[0], &batch_key] {
        break_key(world, name);
        for _call in 0..2 {
            let answer = world.queue.enqueue_batch(&tasks).await;
            assert!(is_corrupt(&answer), "{name}: {answer:?}");
        }
        delete_key(world, name);
    }
    assert!(matches!(world.queue.enqueue_batch(&tasks).await.unwrap(), BatchEnqueued::Created(_)));
    audit(world, 1).unwrap();
}

/// After the hashes only the uses of files, which the sweep derives from them, the wake-up and the events are missing.
pub async fn what_a_repeat_acknowledges_runs(world: &World) {
    let file = record(FileKind::Upload, None);
    world.queue.add_file(&file).await.unwrap();
    for name in [format!("uses:{}", file.id), "jobs".to_owned()] {
        let new = NewTask { owner: format!("a new owner of {name}"), ..task_with_files(&[file.id]) };
        break_key(world, &name);
        let answer = world.queue.enqueue(&new).await;
        assert!(is_corrupt(&answer), "{name}: {answer:?}");
        delete_key(world, &name);
        let answer = world.queue.enqueue(&new).await.unwrap();
        assert!(matches!(answer, Enqueued::Replayed(_)), "{name}: {answer:?}");
        world.queue.repair_indexes().await.unwrap();
        audit(world, 1).unwrap();
        let lease = world.lease(&format!("gpu:{name}")).await;
        assert_eq!(world.claim(&lease).await.map(|claim| claim.task), Some(new.id), "{name}");
    }
}

pub async fn what_is_left_of_a_failed_enqueue_is_removed(world: &World) {
    // Its owner has no other task.
    let new = NewTask { owner: "bob".to_owned(), ..indexed(world) };
    world.enqueue().await;
    for name in ["index:pending", "index:pending:bob", "narrowed", "start-by"] {
        break_key(world, name);
        assert!(world.queue.enqueue(&new).await.is_err());
        delete_key(world, name);
        world.queue.repair_indexes().await.unwrap();
        let left =
            dump(world).names().into_iter().find(|name| name.contains("bob") || name.contains(&new.id.to_string()));
        assert_eq!(left, None, "{name}");
        audit(world, 1).unwrap();
    }
}

pub async fn broken_progress_fails_alone(world: &World) {
    let mut attempts = Vec::new();
    for number in 0..3 {
        world.enqueue().await;
        let lease = world.lease(&format!("gpu:{number}")).await;
        let claim = world.claim(&lease).await.unwrap();
        attempts.push((lease, claim));
    }
    let progress = Progress { percent: 3, ..Progress::default() };
    let many: Vec<_> = attempts
        .iter()
        .map(|(lease, claim)| ProgressOf {
            lease,
            task: claim.task,
            attempt: claim.attempt,
            progress: &progress,
            ran: Duration::ZERO,
        })
        .collect();
    let broken = format!("task:{}", attempts[1].1.task);
    // An error of Lua, then one of Redis.
    world.redis(&["HSET", &world.key(&broken), "version", "no number"]);
    for error in ["attempt to perform arithmetic", "WRONGTYPE"] {
        let written = world.queue.progress_of_many(&many).await.unwrap();
        let [Ok(Written::Done), Err(Error::Corrupt(details)), Ok(Written::Done)] = &written[..] else {
            panic!("{written:?}")
        };
        assert!(details.contains(error), "{details}");
        break_key(world, &broken);
    }
    for one in [&many[0], &many[2]] {
        let task = world.task(one.task).await;
        assert_eq!((task.state, task.progress), (TaskState::Running, progress.clone()));
    }
}

pub async fn a_broken_renewal_fails_alone(world: &World) {
    let leases = [world.lease("gpu:0").await, world.lease("gpu:1").await, world.lease("gpu:2").await];
    break_key(world, "in-flight:gpu:1");
    world.advance(Duration::from_secs(5));
    let renewed = world.queue.renew_many(&leases.iter().collect::<Vec<_>>(), TTL).await.unwrap();
    assert!(matches!(renewed[..], [Ok(Renewed::Ours(_)), Err(Error::Corrupt(_)), Ok(Renewed::Ours(_))]), "{renewed:?}");
    // The lease whose owner got no answer ends when it expects.
    world.advance(TTL - Duration::from_secs(5));
    let free: Vec<_> =
        world.queue.leases(false).await.unwrap().free.into_iter().map(|(instance, _)| instance).collect();
    assert_eq!(free, [InstanceId::new("gpu:1")]);
}
