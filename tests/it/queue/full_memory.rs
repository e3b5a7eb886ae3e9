//! Redis' memory is full: each script does what it is allowed to.

use super::faults::block_on;
use crate::support::{
    TestRedis, eventually,
    world::{TTL, World, completed, new_task},
};
use shuzhiren::queue::{Error, Queue};
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
