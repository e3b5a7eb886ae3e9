//! Deletion of very many files in several calls, because a script blocks Redis while it runs.

use super::{
    files::{record, task_with_files},
    retention::task_with_outputs,
};
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{KEEP, World, failed},
    },
};
use shuzhiren::{
    queue::{FileKind, Retention, Verb},
    task::FailureKind,
};
use std::time::Duration;

scenarios! {
    a_task_with_many_outputs_is_deleted_in_several_calls
    many_outputs_of_an_abandoned_attempt_are_deleted_in_several_calls
}

/// Maximum number of files of one call, as in the script.
const FILES_MAX: u64 = 500;

async fn outputs(world: &World) -> u64 {
    world.queue.files(Some(FileKind::Output), 0, 1).await.unwrap().0
}

/// Calls `gc.lua` once. Returns the number in its reply.
fn collect(world: &World) -> String {
    world.redis(&["EVAL", &world.edited_script(Verb::Gc), "1", &world.key(""), "50", "0"]).list()[1].text()
}

pub async fn a_task_with_many_outputs_is_deleted_in_several_calls(world: &World) {
    let (id, _) = task_with_outputs(world, 600).await;
    world.advance(KEEP);
    assert_eq!(
        (collect(world), outputs(world).await),
        ("50".to_owned(), 600 - FILES_MAX),
        "the reply says that more may be due"
    );
    assert!(world.queue.task(id).await.unwrap().is_some(), "the task is deleted with the last of its outputs");
    audit(world, 1).unwrap();
    assert_eq!((collect(world), outputs(world).await), ("1".to_owned(), 0));
    assert!(world.queue.task(id).await.unwrap().is_none());
    audit(world, 1).unwrap();
}

pub async fn many_outputs_of_an_abandoned_attempt_are_deleted_in_several_calls(world: &World) {
    let lease = world.lease("gpu:1").await;
    let id = world.enqueue().await;
    let mut files = Vec::new();
    // Twice, before the leftovers of the first attempt are deleted.
    for round in 0..2 {
        world.advance(Duration::from_secs(10));
        world.queue.acquire(&lease.instance, "d", &lease.token, Duration::from_secs(60)).await.unwrap();
        let claim = world.claim(&lease).await.unwrap();
        assert_eq!(claim.task, id);
        for _ in 0..550 {
            let file = record(FileKind::Output, Some(id));
            world.queue.add_file(&file).await.unwrap();
            files.push(file.id);
        }
        if round == 0 {
            world.queue.requeue(&lease, id, claim.attempt, false, "test").await.unwrap();
        } else {
            world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
        }
        audit(world, 1).unwrap();
        assert_eq!(outputs(world).await, 550 * (round + 1), "no call drops more than the limit");
    }
    // One file is now an input of another task, one was deleted by hand.
    let next = task_with_files(&files[..1]);
    world.create(&next).await;
    world.queue.delete_file(files[1]).await.unwrap();
    world.queue.cancel(id).await.unwrap();
    assert_eq!((collect(world), outputs(world).await), ("50".to_owned(), 1_099 - FILES_MAX));
    assert_eq!((collect(world), outputs(world).await), ("50".to_owned(), 1_099 - 2 * FILES_MAX));
    assert_eq!((collect(world), outputs(world).await), ("0".to_owned(), 1));
    audit(world, 1).unwrap();
    assert!(!dump(world).names().iter().any(|key| key.starts_with("given-up")));
    assert!(
        !world.redis(&["HKEYS", &world.key(&format!("task:{id}"))]).texts().iter().any(|it| it.starts_with("gone"))
    );
    world.queue.cancel(next.id).await.unwrap();
    world.advance(KEEP);
    world.queue.run_janitor_once_with(Retention::default()).await.unwrap();
    assert_eq!(outputs(world).await, 0);
    audit(world, 1).unwrap();
}
