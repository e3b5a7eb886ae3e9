//! A process works only on the data of its installation: an emptied Redis, another one, and a part of one refuse its
//! calls.

use super::faults::{block_on, connect};
use crate::{
    scenarios,
    support::{
        TestRedis, eventually,
        raw::Reply,
        world::{TTL, World, new_task},
    },
};
use shuzhiren::queue::{Error, TaskQuery, Verb};
use std::time::Duration;

scenarios! {
    an_emptied_redis_refuses_every_call_and_stays_empty
    a_process_that_knows_its_installation_makes_no_new_one
}

/// Asserts that calls of every kind are refused.
async fn all_are_refused(world: &World, holds: &str) {
    let queue = &world.queue;
    let refused = [
        queue.enqueue(&new_task()).await.map(drop),
        queue.counts().await.map(drop),
        queue.list(&TaskQuery::default()).await.map(drop),
        queue.cancel(new_task().id).await.map(drop),
        queue.heartbeat("dispatcher-1", TTL).await.map(drop),
        // Issue 11, F3: direct reads said that there is nothing.
        queue.config().await.map(drop),
        queue.disabled().await.map(drop),
    ];
    for refused in refused {
        let Err(Error::Lost(found)) = refused else { panic!("{refused:?}") };
        assert_eq!(found, holds);
    }
}

pub async fn an_emptied_redis_refuses_every_call_and_stays_empty(world: &World) {
    let lease = world.lease("gpu:1").await;
    world.enqueue().await;
    world.redis(&["FLUSHALL"]);
    all_are_refused(world, "").await;
    assert!(matches!(world.queue.renew(&lease, TTL).await, Err(Error::Lost(_))));
    assert!(matches!(world.queue.ping().await, Err(Error::Lost(_))));
    assert_eq!(world.redis(&["DBSIZE"]).number(), 0);

    // Data that is restored is taken, without a restart.
    world.restore_installation();
    world.enqueue().await;
    world.queue.ping().await.unwrap();
}

pub async fn a_process_that_knows_its_installation_makes_no_new_one(world: &World) {
    let (root, script) = (world.key(""), world.edited_script(Verb::CheckRedisRestart));
    let check = |id: &str, is_known: &str| match world.try_redis(&["EVAL", &script, "1", &root, id, is_known]) {
        Reply::Error(message) => message,
        answer => answer.list()[1].text(),
    };
    let first = world.queue.installation().to_owned();
    assert_eq!(check("new", "0"), first, "a process that starts takes what is there");
    assert_eq!(check("new", "1"), format!("NOTOURS {first}"));
    assert_eq!(check(&first, "1"), first);

    world.redis(&["FLUSHALL"]);
    world.redis(&["SET", &world.key("test-clock"), &world.now_ms().to_string()]);
    assert_eq!(check(&first, "1").trim_end(), "NOTOURS");
    assert_eq!(world.redis(&["EXISTS", &world.key("meta")]).number(), 0);
    // A process that starts begins with an empty system; those of the old one still refuse.
    assert_eq!(check("second", "0"), "second");
    all_are_refused(world, "second").await;
    // Data of a release without the key of the fence is taken when the process connects again.
    world.redis(&["HSET", &world.key("meta"), "installation", &first]);
    assert_eq!(check(&first, "1"), first);
    world.enqueue().await;
}

#[test]
fn a_redis_that_comes_back_empty_is_noticed_by_an_idle_process_and_taken_by_a_new_one() {
    block_on(async {
        let mut redis = TestRedis::start();
        let settings = redis.settings();
        let old = connect(&settings).await.unwrap();
        old.enqueue(&new_task()).await.unwrap();
        redis.kill();
        redis.wipe();
        redis.launch();
        eventually("the loss is noticed", Duration::from_secs(20), async || {
            matches!(old.ping().await, Err(Error::Lost(_))).then_some(())
        })
        .await;
        let new = connect(&settings).await.unwrap();
        assert_ne!(new.installation(), old.installation());
        new.enqueue(&new_task()).await.unwrap();
        let refused = old.enqueue(&new_task()).await.unwrap_err();
        assert!(refused.to_string().contains(new.installation()), "{refused}");
    });
}
