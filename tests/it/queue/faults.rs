//! Redis dies, hangs, loses data or is replaced: calls fail in time, and the queue recovers by itself.

use super::{attempts::janitor, feed_events};
use crate::support::{
    TestRedis,
    audit::audit,
    eventually,
    raw::RawRedis,
    world::{World, completed, new_task},
};
use shuzhiren::{
    queue::{Error, FeedItem, Queue, QueueLimits, Wakeups},
    settings::RedisSettings,
    task::TaskState,
};
use std::{
    process::Command,
    time::{Duration, Instant},
};

const LIMITS: QueueLimits = QueueLimits { waiting_max: 0, keep_tasks: Duration::from_secs(3_600) };

pub fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

pub async fn connect(settings: &RedisSettings) -> Result<Queue, Error> {
    Queue::connect(settings, LIMITS).await
}

async fn until_redis_answers(queue: &Queue) {
    eventually("redis answers", Duration::from_secs(10), || async { queue.ping().await.ok() }).await;
}

/// Waits for a wakeup.
async fn until_woken(wakeups: &mut Wakeups) {
    for _ in 0..8 {
        if wakeups.next().await > 0 {
            return;
        }
    }
    panic!("no wakeup");
}

#[test]
fn a_killed_redis_gives_errors_in_time_and_recovers() {
    block_on(async {
        let mut redis = TestRedis::start_with(&["--appendfsync", "always"]);
        let world = World::new(&redis).await;
        let id = world.enqueue().await;
        let (mut feed, mut wakeups) = (world.queue.feed().await.unwrap(), world.queue.wakeups().await.unwrap());
        redis.kill();
        let began = Instant::now();
        let query = shuzhiren::queue::TaskQuery::default();
        let (ping, task, list) = tokio::join!(world.queue.ping(), world.queue.task(id), world.queue.list(&query));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        for error in [ping.unwrap_err(), task.unwrap_err(), list.unwrap_err()] {
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        }
        redis.launch();
        until_redis_answers(&world.queue).await;
        assert_eq!(world.queue.task(id).await.unwrap().unwrap().state, TaskState::Waiting);
        // The feed reports a gap, and then later events.
        let news = tokio::time::timeout(Duration::from_secs(15), feed.next()).await.expect("a gap");
        assert!(matches!(news, FeedItem::Gap));
        let new = new_task();
        world.queue.enqueue(&new).await.unwrap();
        loop {
            let heard = tokio::time::timeout(Duration::from_secs(15), feed.next()).await.expect("the event");
            if let FeedItem::Event(event) = heard
                && let shuzhiren::event::Event::Task(event) = *event
            {
                assert_eq!(event.id, new.id);
                break;
            }
        }
        until_woken(&mut wakeups).await;
    });
}

#[test]
fn a_hung_redis_gives_errors_in_time() {
    block_on(async {
        let redis = TestRedis::start();
        let queue = connect(&redis.settings()).await.unwrap();
        let signal = |name: &str| {
            assert!(Command::new("kill").args([name, &redis.pid().to_string()]).status().unwrap().success())
        };
        signal("-STOP");
        let began = Instant::now();
        let (ping, enqueue) = (queue.ping().await, queue.enqueue(&new_task()).await.map(drop));
        let took = began.elapsed();
        signal("-CONT");
        assert!(matches!(ping.unwrap_err(), Error::Unavailable(_)));
        assert!(matches!(enqueue.unwrap_err(), Error::Unavailable(_)));
        assert!(took < Duration::from_secs(5), "{took:?}");
        until_redis_answers(&queue).await;
        assert!(queue.enqueue(&new_task()).await.is_ok());
    });
}

#[test]
fn the_queue_recovers_from_flushed_scripts_and_flushed_data() {
    block_on(async {
        let redis = TestRedis::start();
        let world = World::new(&redis).await;
        let mut wakeups = world.queue.wakeups().await.unwrap();
        let mut feed = world.queue.feed().await.unwrap();
        world.enqueue().await;
        world.redis(&["SCRIPT", "FLUSH"]);
        world.enqueue().await;
        until_woken(&mut wakeups).await;
        world.redis(&["FLUSHALL"]);
        world.restore_installation();
        world.advance(Duration::from_secs(1));
        assert_eq!(world.queue.counts().await.unwrap(), Default::default());
        let id = world.enqueue().await;
        let lease = world.lease("gpu:1").await;
        let claim = world.claim(&lease).await.unwrap();
        assert_eq!(claim.task, id);
        audit(&world, 1).unwrap();
        assert_eq!(
            world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap(),
            shuzhiren::queue::Written::Done
        );
        janitor(&world).await;
        audit(&world, 1).unwrap();
        assert!(matches!(feed.next().await, FeedItem::Event(_)));
        world.enqueue().await;
        until_woken(&mut wakeups).await;
    });
}

#[test]
fn wakeups_are_immediate_and_complete() {
    block_on(async {
        let redis = TestRedis::start();
        let world = World::new(&redis).await;
        world.enqueue().await;
        let mut wakeups = world.queue.wakeups().await.unwrap();
        let began = Instant::now();
        assert_eq!(wakeups.next().await, 0, "earlier tasks are left to the first claim");
        assert!(began.elapsed() > Duration::from_millis(1_500), "the call blocked");
        for _ in 0..5 {
            world.enqueue().await;
        }
        let mut added = 0;
        while added < 5 {
            let began = Instant::now();
            added += wakeups.next().await;
            assert!(began.elapsed() < Duration::from_secs(1), "at once");
        }
        // A call that was dropped loses nothing.
        drop(tokio::time::timeout(Duration::from_millis(1), wakeups.next()).await);
        world.enqueue().await;
        assert_eq!(wakeups.next().await, 1);
    });
}

#[test]
fn a_slow_feed_reports_a_gap() {
    block_on(async {
        let redis = TestRedis::start();
        let world = World::new(&redis).await;
        let mut feed = world.queue.feed().await.unwrap();
        let mut raw = RawRedis::connect(&world.socket);
        let flood = "for i = 1, 60000 do redis.call('PUBLISH', ARGV[1], '{\"config\":{\"version\":' .. i .. '}}') end";
        raw.run(&["EVAL", flood, "0", &world.key("events")]);
        // The feed is not read until Redis has sent everything.
        eventually("all is sent", Duration::from_secs(20), async || {
            let clients = RawRedis::connect(&world.socket).run(&["CLIENT", "LIST", "TYPE", "pubsub"]).text();
            clients.contains(" omem=0 ").then_some(())
        })
        .await;
        let mut gaps = 0;
        for _ in 0..120_000 {
            match tokio::time::timeout(Duration::from_secs(2), feed.next()).await {
                Ok(FeedItem::Gap) => gaps += 1,
                Ok(FeedItem::Event(_)) => {}
                Err(_silence) => break,
            }
        }
        assert!(gaps > 0, "60,000 messages do not fit");
        let id = world.enqueue().await;
        loop {
            if let shuzhiren::event::Event::Task(event) = feed_events::next(&mut feed).await
                && event.id == id
            {
                break;
            }
        }
    });
}

#[test]
fn a_restarted_redis_is_detected_as_a_new_process() {
    block_on(async {
        let mut redis = TestRedis::start_with(&["--appendfsync", "always"]);
        let queue = connect(&redis.settings()).await.unwrap();
        let lease = shuzhiren::queue::Lease {
            instance: shuzhiren::task::InstanceId::new("gpu:1"),
            token: shuzhiren::queue::Token::new(),
        };
        queue.acquire(&lease.instance, "me", &lease.token, Duration::from_secs(1)).await.unwrap();
        redis.kill();
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        redis.launch();
        until_redis_answers(&queue).await;
        // The lease expired while Redis was down; it may not be taken before its owner could renew.
        let thief = shuzhiren::queue::Token::new();
        let answer = queue.acquire(&lease.instance, "thief", &thief, Duration::from_secs(1)).await.unwrap();
        assert!(matches!(answer, shuzhiren::queue::Acquired::Held(_)), "{answer:?}");
        assert!(matches!(
            queue.renew(&lease, Duration::from_secs(1)).await.unwrap(),
            shuzhiren::queue::Renewed::Ours(_)
        ));
    });
}
