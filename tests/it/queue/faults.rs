//! Redis goes away, hangs, forgets, is the wrong one: nothing hangs, everything comes back by itself.

use super::{attempts::janitor, events};
use crate::support::{
    TestRedis,
    audit::audit,
    eventually,
    raw::Raw,
    world::{World, completed, new_task},
};
use shuzhiren::{
    queue::{Error, News, Queue, QueueLimits, Wakeups},
    settings::{Durability, RedisSettings, Secret},
    task::{TaskId, TaskState},
};
use std::{
    process::Command,
    time::{Duration, Instant},
};

const LIMITS: QueueLimits = QueueLimits { waiting_max: 0, keep_tasks: Duration::from_secs(3_600) };

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

async fn connect(settings: &RedisSettings) -> Result<Queue, Error> {
    Queue::connect(settings, LIMITS).await
}

async fn back(queue: &Queue) {
    eventually("redis is back", Duration::from_secs(10), || async { queue.ping().await.ok() }).await;
}

/// Waits for the bell.
async fn rings(wakeups: &mut Wakeups) {
    for _ in 0..8 {
        if wakeups.next().await > 0 {
            return;
        }
    }
    panic!("the bell does not ring");
}

#[test]
fn a_killed_redis_gives_errors_in_time_and_heals() {
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
        back(&world.queue).await;
        assert_eq!(world.queue.task(id).await.unwrap().unwrap().state, TaskState::Waiting);
        // Who listened is told that something may be missing, and hears what comes.
        let news = tokio::time::timeout(Duration::from_secs(15), feed.next()).await.expect("a gap");
        assert!(matches!(news, News::Gap));
        let new = new_task();
        world.queue.enqueue(&new).await.unwrap();
        loop {
            let heard = tokio::time::timeout(Duration::from_secs(15), feed.next()).await.expect("the event");
            if let News::Event(event) = heard
                && let shuzhiren::event::Event::Task(event) = *event
            {
                assert_eq!(event.id, new.id);
                break;
            }
        }
        rings(&mut wakeups).await;
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
        back(&queue).await;
        assert!(queue.enqueue(&new_task()).await.is_ok());
    });
}

#[test]
fn forgotten_scripts_and_forgotten_everything_heal() {
    block_on(async {
        let redis = TestRedis::start();
        let world = World::new(&redis).await;
        let mut wakeups = world.queue.wakeups().await.unwrap();
        let mut feed = world.queue.feed().await.unwrap();
        world.enqueue().await;
        world.redis(&["SCRIPT", "FLUSH"]);
        world.enqueue().await;
        rings(&mut wakeups).await;
        world.redis(&["FLUSHALL"]);
        world.pass(Duration::from_secs(1));
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
        assert!(matches!(feed.next().await, News::Event(_)));
        world.enqueue().await;
        rings(&mut wakeups).await;
    });
}

#[test]
fn the_bell_rings_at_once_and_misses_nothing() {
    block_on(async {
        let redis = TestRedis::start();
        let world = World::new(&redis).await;
        world.enqueue().await;
        let mut wakeups = world.queue.wakeups().await.unwrap();
        let began = Instant::now();
        assert_eq!(wakeups.next().await, 0, "what was there before is for the first claim");
        assert!(began.elapsed() > Duration::from_millis(1_500), "it waited");
        for _ in 0..5 {
            world.enqueue().await;
        }
        let mut told = 0;
        while told < 5 {
            let began = Instant::now();
            told += wakeups.next().await;
            assert!(began.elapsed() < Duration::from_secs(1), "at once");
        }
        // A call that was given up loses nothing.
        drop(tokio::time::timeout(Duration::from_millis(1), wakeups.next()).await);
        world.enqueue().await;
        assert_eq!(wakeups.next().await, 1);
    });
}

#[test]
fn a_slow_listener_is_told_of_its_gap() {
    block_on(async {
        let redis = TestRedis::start();
        let world = World::new(&redis).await;
        let mut feed = world.queue.feed().await.unwrap();
        let mut raw = Raw::connect(&world.socket);
        let flood = "for i = 1, 60000 do redis.call('PUBLISH', ARGV[1], '{\"config\":{\"version\":' .. i .. '}}') end";
        raw.run(&["EVAL", flood, "0", &world.key("events")]);
        // The listener does not listen until Redis has got rid of everything.
        eventually("all is sent", Duration::from_secs(20), async || {
            let clients = Raw::connect(&world.socket).run(&["CLIENT", "LIST", "TYPE", "pubsub"]).text();
            clients.contains(" omem=0 ").then_some(())
        })
        .await;
        let mut gaps = 0;
        for _ in 0..120_000 {
            match tokio::time::timeout(Duration::from_secs(2), feed.next()).await {
                Ok(News::Gap) => gaps += 1,
                Ok(News::Event(_)) => {}
                Err(_silence) => break,
            }
        }
        assert!(gaps > 0, "60,000 messages do not fit");
        let id = world.enqueue().await;
        loop {
            if let shuzhiren::event::Event::Task(event) = events::next(&mut feed).await
                && event.id == id
            {
                break;
            }
        }
    });
}

#[test]
fn a_redis_that_came_back_is_a_new_process() {
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
        back(&queue).await;
        // Its second ran out while Redis was away; nobody may take it before it could renew.
        let thief = shuzhiren::queue::Token::new();
        let answer = queue.acquire(&lease.instance, "thief", &thief, Duration::from_secs(1)).await.unwrap();
        assert!(matches!(answer, shuzhiren::queue::Acquired::Held(_)), "{answer:?}");
        assert!(matches!(
            queue.renew(&lease, Duration::from_secs(1)).await.unwrap(),
            shuzhiren::queue::Renewed::Ours(_)
        ));
    });
}

#[test]
fn what_cannot_be_used_is_said_at_start() {
    block_on(async {
        let port = free_port().to_string();
        let _redis = TestRedis::start_with(&["--requirepass", "right", "--port", &port]);
        let with = |url: String, namespace: &str, durability| RedisSettings {
            redis_url: Some(Secret::new(url)),
            redis_url_file: None,
            namespace: namespace.to_owned(),
            durability,
        };
        let good = format!("redis://:right@127.0.0.1:{port}");
        let local = Durability::Local;
        let none = RedisSettings { redis_url: None, ..with(String::new(), "a", local) };
        let missing_file = RedisSettings { redis_url_file: Some("/nowhere/url".into()), ..none.clone() };
        for (settings, word) in [
            (with("nonsense".into(), "a", local), "REDIS_URL is not usable"),
            (with("http://:secret@x".into(), "a", local), "REDIS_URL is not usable"),
            (none, "REDIS_URL is not set"),
            (missing_file, "/nowhere/url"),
            (with(good.clone(), "a}b", local), "namespace"),
            (with(good.clone(), "a", Durability::Fsync), "appendfsync always"),
            (with(format!("redis://127.0.0.1:{port}"), "a", local), "NOAUTH"),
            (with(format!("redis://:secret@127.0.0.1:{port}"), "a", local), "WRONGPASS"),
        ] {
            let error = connect(&settings).await.unwrap_err();
            assert!(matches!(error, Error::Unusable(_)), "{word}: {error:?}");
            assert!(error.to_string().contains(word) && !error.to_string().contains("secret"), "{error}");
        }
        let began = Instant::now();
        let absent = connect(&with("redis+unix:///nowhere/redis.sock".into(), "a", local)).await.unwrap_err();
        assert!(matches!(absent, Error::Unavailable(_)), "{absent:?}");
        assert!(began.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_url_may_come_from_a_file() {
    block_on(async {
        let redis = TestRedis::start();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, format!("{}\n", redis.url())).unwrap();
        let settings = RedisSettings { redis_url: None, redis_url_file: Some(path), ..redis.settings() };
        connect(&settings).await.unwrap().ping().await.unwrap();
    });
}

#[test]
fn fsync_is_given_by_a_server_that_always_syncs() {
    block_on(async {
        let redis = TestRedis::start_with(&["--appendfsync", "always"]);
        let queue = connect(&RedisSettings { durability: Durability::Fsync, ..redis.settings() }).await.unwrap();
        assert!(matches!(queue.enqueue(&new_task()).await.unwrap(), shuzhiren::queue::Enqueued::Created(_)));
    });
}

#[test]
fn replica_durability_waits_for_a_replica() {
    block_on(async {
        let primary = TestRedis::start_with(&["--port", "0"]);
        let settings = RedisSettings { durability: Durability::Replica, ..primary.settings() };
        let queue = connect(&settings).await.unwrap();
        let new = new_task();
        let began = Instant::now();
        let error = queue.enqueue(&new).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)) && error.to_string().contains("replica"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(3));
        // It is safe to say again.
        assert!(queue.enqueue(&new).await.is_err());
        assert_eq!(queue.counts().await.unwrap().pending, 1);
        assert_eq!(queue.task(new.id).await.unwrap().unwrap().id, new.id);
    });
}

#[test]
fn a_replica_confirms_many_writes_together() {
    block_on(async {
        let port = free_port();
        let primary = TestRedis::start_with(&["--port", &port.to_string()]);
        let replica = TestRedis::start_with(&["--replicaof", &format!("127.0.0.1 {port}")]);
        eventually("the replica is in step", Duration::from_secs(20), async || {
            let info = Raw::connect(&primary.socket()).run(&["INFO", "replication"]).text();
            info.contains("state=online").then_some(())
        })
        .await;
        let settings = RedisSettings { durability: Durability::Replica, ..primary.settings() };
        let queue = connect(&settings).await.unwrap();
        let writes = (0..200).map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.enqueue(&new_task()).await.map(drop) })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap().unwrap();
        }
        assert_eq!(Raw::connect(&replica.socket()).run(&["ZCARD", "{test}:index:all"]).number(), 200);
        // A replica is refused as the place to write to.
        let error = connect(&replica.settings()).await.unwrap_err();
        assert!(error.to_string().contains("replica"), "{error}");
        // And a primary that was made one refuses writes in words.
        Raw::connect(&primary.socket()).run(&["REPLICAOF", "127.0.0.1", "1"]);
        let refused = queue.put_config(&super::fleet::config(&[1]), None).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(_) | Error::Unavailable(_)), "{refused:?}");
        assert!(queue.task(TaskId::new()).await.is_ok() || queue.ping().await.is_ok());
    });
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
