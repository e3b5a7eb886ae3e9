//! What very many files would take long is done in bites: Redis answers nobody else meanwhile.

use super::{
    files::{needing, record},
    retention::made,
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
    a_task_with_very_many_outputs_is_collected_in_bites
    an_attempt_with_very_many_outputs_is_given_up_in_bites
}

/// Files of one call, as the script has it.
const BITE: u64 = 500;

async fn outputs(world: &World) -> u64 {
    world.queue.files(Some(FileKind::Output), 0, 1).await.unwrap().0
}

/// One call of the collector; gives what it says.
fn collect(world: &World) -> String {
    world.redis(&["EVAL", &world.edited_script(Verb::Gc), "1", &world.key(""), "50", "0"]).list()[1].text()
}

pub async fn a_task_with_very_many_outputs_is_collected_in_bites(world: &World) {
    let (id, _) = made(world, 600).await;
    world.advance(KEEP);
    assert_eq!((collect(world), outputs(world).await), ("50".to_owned(), 600 - BITE), "as if more were due");
    assert!(world.queue.task(id).await.unwrap().is_some(), "it goes with the last of them");
    audit(world, 1).unwrap();
    assert_eq!((collect(world), outputs(world).await), ("1".to_owned(), 0));
    assert!(world.queue.task(id).await.unwrap().is_none());
    audit(world, 1).unwrap();
}

pub async fn an_attempt_with_very_many_outputs_is_given_up_in_bites(world: &World) {
    let lease = world.lease("gpu:1").await;
    let id = world.enqueue().await;
    let mut files = Vec::new();
    // Twice, before anybody has dropped what is left of the first.
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
        assert_eq!(outputs(world).await, 550 * (round + 1), "no call drops so many");
    }
    // One of them is another task's input by now, one was deleted by hand.
    let next = needing(&files[..1]);
    world.create(&next).await;
    world.queue.delete_file(files[1]).await.unwrap();
    world.queue.cancel(id).await.unwrap();
    assert_eq!((collect(world), outputs(world).await), ("50".to_owned(), 1_099 - BITE));
    assert_eq!((collect(world), outputs(world).await), ("50".to_owned(), 1_099 - 2 * BITE));
    assert_eq!((collect(world), outputs(world).await), ("0".to_owned(), 1));
    audit(world, 1).unwrap();
    assert!(!dump(world).names().iter().any(|key| key.starts_with("given-up")));
    assert!(
        !world.redis(&["HKEYS", &world.key(&format!("task:{id}"))]).texts().iter().any(|it| it.starts_with("gone"))
    );
    world.queue.cancel(next.id).await.unwrap();
    world.advance(KEEP);
    world.queue.tidy_once_with(Retention::default()).await.unwrap();
    assert_eq!(outputs(world).await, 0);
    audit(world, 1).unwrap();
}
