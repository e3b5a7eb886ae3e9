//! Redis' memory is full: each script does what it is allowed to.

use super::faults::block_on;
use crate::support::{
    TestRedis, eventually,
    world::{TTL, World, completed, new_task},
};
use shuzhiren::{
    queue::{BatchEnqueued, Enqueued, Error, PackedTask, Queue},
    task::{BatchId, NewTask, TaskId},
};
use std::time::Duration;

/// Results of ending, renewing and cancelling on a full Redis whose scripts are passed through `edit`.
async fn on_a_full_redis(edit: impl Fn(&str) -> String) -> [Result<(), Error>; 4] {
    let redis = TestRedis::start();
    let world = World::broken(&redis, |_, text| edit(text)).await;
    let (queue, id) = (&world.queue, world.enqueue().await);
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    let waiting = world.enqueue().await;
    world.redis(&["CONFIG", "SET", "maxmemory", "1"]);
    let results = [
        queue.renew(&lease, TTL).await.map(drop),
        queue.start(&lease, id, claim.attempt).await.map(drop),
        queue.settle(&lease, id, claim.attempt, &completed()).await.map(drop),
        queue.cancel(waiting).await.map(drop),
    ];
    assert!(matches!(queue.enqueue(&new_task()).await, Err(Error::MemoryFull(_))));
    assert!(world.claim(&lease).await.is_none());
    world.redis(&["CONFIG", "SET", "maxmemory", "0"]);
    until_accepted(queue).await;
    results
}

/// Waits until a task is accepted: the memory is read once a second.
async fn until_accepted(queue: &Queue) {
    eventually("a task is accepted", Duration::from_secs(20), async || queue.enqueue(&new_task()).await.ok()).await;
}

#[test]
fn what_runs_ends_while_the_memory_is_full() {
    block_on(async {
        for result in on_a_full_redis(str::to_owned).await {
            result.unwrap();
        }
        // The flag of the scripts makes the difference.
        for result in on_a_full_redis(|text| text.replacen("#!lua flags=allow-oom\n", "#!lua\n", 1)).await {
            assert!(matches!(result, Err(Error::MemoryFull(_))), "{result:?}");
        }
    });
}

/// At the limit itself Redis refuses the scripts that accept something.
#[test]
fn a_repeated_request_gets_its_answer_while_redis_refuses_its_script() {
    block_on(async {
        let redis = TestRedis::start();
        let world = World::new(&redis).await;
        let (known, batch) = (new_task(), BatchId::of(TaskId::new()));
        world.create(&known).await;
        let pack = |fingerprint: &str| -> Vec<_> {
            let of = |index| NewTask { id: batch.task(index), fingerprint: fingerprint.to_owned(), ..new_task() };
            (0..3).map(|index| PackedTask::new(of(index)).unwrap()).collect()
        };
        world.queue.enqueue_batch(&pack("f")).await.unwrap();
        // Any task that is left proves that its batch was accepted.
        world.redis(&["DEL", &world.key(&format!("task:{}", batch.task(0)))]);
        world.redis(&["CONFIG", "SET", "maxmemory", "1"]);
        let answer = world.queue.enqueue(&known).await.unwrap();
        assert!(matches!(&answer, Enqueued::Replayed(task) if task.id == known.id), "{answer:?}");
        let other = NewTask { fingerprint: "g".to_owned(), ..known };
        assert!(matches!(world.queue.enqueue(&other).await.unwrap(), Enqueued::Conflict));
        assert!(matches!(world.queue.enqueue(&new_task()).await, Err(Error::MemoryFull(_))));
        let answer = world.queue.enqueue_batch(&pack("f")).await.unwrap();
        assert!(matches!(&answer, BatchEnqueued::Replayed(tasks) if tasks.len() == 2), "{answer:?}");
        assert!(matches!(world.queue.enqueue_batch(&pack("g")).await.unwrap(), BatchEnqueued::Conflict));
        let new = PackedTask::new(new_task()).unwrap();
        assert!(matches!(world.queue.enqueue_batch(&[new]).await, Err(Error::MemoryFull(_))));
    });
}

#[test]
fn a_repeated_request_gets_its_answer_while_nothing_new_is_accepted() {
    block_on(async {
        let redis = TestRedis::start();
        let world = World::new(&redis).await;
        let known = new_task();
        world.create(&known).await;
        let used = world.redis(&["INFO", "memory"]).text();
        let used = used.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim();
        let limit = used.parse::<u64>().unwrap() * 100 / 94;
        world.redis(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
        eventually("the limit is noticed", Duration::from_secs(20), async || world.queue.check_memory().err()).await;
        assert!(matches!(world.queue.enqueue(&new_task()).await, Err(Error::MemoryFull(_))));
        world.queue.enqueue(&known).await.unwrap();
        world.redis(&["CONFIG", "SET", "maxmemory", "0"]);
        until_accepted(&world.queue).await;
    });
}
