//! Connecting: usable and unusable servers, and the durability that a server can give.

use super::faults::{block_on, connect};
use crate::support::{RedisPair, TestRedis, raw::RawRedis, world::new_task};
use shuzhiren::{
    queue::Error,
    settings::{Durability, RedisSettings, Secret},
    task::TaskId,
};
use std::time::{Duration, Instant};

#[test]
fn unusable_settings_are_reported_at_start() {
    block_on(async {
        let port = free_port().to_string();
        let _redis = TestRedis::start_with(&["--requirepass", "right", "--port", &port]);
        let with = |url: String, namespace: &str, durability| RedisSettings {
            redis_url: Some(Secret::new(url)),
            redis_url_file: None,
            redis_ca: None,
            namespace: namespace.to_owned(),
            durability,
            durability_replicas: 1,
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
        assert!(matches!(error, Error::NotConfirmed(_)) && error.to_string().contains("replica"), "{error}");
        assert!(queue.is_unconfirmed());
        assert!(began.elapsed() < Duration::from_secs(3));
        // The server is asked before it is written to.
        assert!(queue.enqueue(&new).await.is_err());
        assert_eq!(queue.counts().await.unwrap().pending, 0);
    });
}

#[test]
fn a_replica_confirms_many_writes_together() {
    block_on(async {
        let RedisPair { primary, replica, .. } = RedisPair::start().await;
        let settings = RedisSettings { durability: Durability::Replica, ..primary.settings() };
        let queue = connect(&settings).await.unwrap();
        let writes = (0..200).map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.enqueue(&new_task()).await.map(drop) })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap().unwrap();
        }
        assert_eq!(RawRedis::connect(&replica.socket()).run(&["ZCARD", "{test}:index:pending"]).number(), 200);
        // A replica is refused at start.
        let error = connect(&replica.settings()).await.unwrap_err();
        assert!(error.to_string().contains("replica"), "{error}");
        // A primary that became a replica refuses writes with a clear error.
        RawRedis::connect(&primary.socket()).run(&["REPLICAOF", "127.0.0.1", "1"]);
        let refused = queue.put_config(&super::fleet::config(&[1]), None).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(_) | Error::Unavailable(_)), "{refused:?}");
        assert!(queue.task(TaskId::new()).await.is_ok() || queue.ping().await.is_ok());
    });
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
