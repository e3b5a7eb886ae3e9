//! Users, passwords and rights: a refusal says whose it is and names the command, and what is documented is enough.

use super::{
    cluster::start_node,
    faults::{block_on, connect},
    server_check::free_port,
};
use crate::support::{TestRedis, eventually, raw::RawRedis, world::new_task};
use shuzhiren::{
    queue::{Claimed, Enqueued, Error, Lease, Token},
    settings::{Durability, RedisSettings, Secret},
    task::InstanceId,
};
use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

fn at(url: String, durability: Durability) -> RedisSettings {
    RedisSettings {
        redis_url: Some(Secret::new(url)),
        redis_url_file: None,
        redis_ca: None,
        namespace: "test".to_owned(),
        durability,
        durability_replicas: 1,
    }
}

/// A sentinel that watches the primary `main`. Dropping it kills it.
struct Sentinel {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    fn start(primary: u16, lines: &str) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let config = folder.path().join("sentinel.conf");
        let watched = format!("port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {primary} 1\n{lines}");
        std::fs::write(&config, watched).unwrap();
        let server = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let child = Command::new(server)
            .arg(config)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port, _folder: folder }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_denied_command_is_named_and_the_documented_rights_are_enough() {
    block_on(async {
        let port = free_port();
        let redis = TestRedis::start_with(&["--port", &port.to_string()]);
        let mut raw = RawRedis::connect(&redis.socket());
        for (user, denied) in [
            ("a", "-info"),
            ("b", "-evalsha"),
            ("c", "-publish"),
            ("d", "-zadd"),
            ("e", "-hset"),
            ("f", "-xadd"),
            ("g", "-xread"),
        ] {
            raw.run(&["ACL", "SETUSER", user, "on", ">right", "~*", "&*", "+@all", denied]);
            let refused = connect(&at(format!("redis://{user}:right@127.0.0.1:{port}"), Durability::Local)).await;
            let refused = refused.unwrap_err();
            let is_named = refused.to_string().to_lowercase().contains(&denied[1..]);
            assert!(matches!(refused, Error::Unusable(_)) && is_named, "{denied}: {refused:?}");
        }
        // fred answers a subscription itself: only the server knows that it was denied.
        for rules in [["+@all", "-subscribe", "&*"], ["+@all", "resetchannels", "&other"]] {
            raw.run(&[["ACL", "SETUSER", "h", "on", ">right", "~*"].as_slice(), &rules].concat());
            let queue = connect(&at(format!("redis://h:right@127.0.0.1:{port}"), Durability::Local)).await;
            let refused = match queue {
                Ok(queue) => queue.feed().await.unwrap_err(),
                Err(refused) => refused,
            };
            let refused = refused.to_string().to_uppercase();
            assert!(["SUBSCRIBE", "COMMAND PUBLISH"].iter().any(|name| refused.contains(name)), "{rules:?}: {refused}");
        }
        let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/README.md")).unwrap();
        let line = guide.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap().replace("{shuzhiren}", "{test}");
        raw.run(&line.split(' ').collect::<Vec<_>>());
        let settings = at(format!("redis://shuzhiren:password@127.0.0.1:{port}"), Durability::Local);
        let queue = connect(&settings).await.unwrap();
        let _feed = queue.feed().await.unwrap();
        let mut wakeups = queue.wakeups().await.unwrap();
        assert!(matches!(queue.enqueue(&new_task()).await.unwrap(), Enqueued::Created(_)));
        let woken = async { while wakeups.next().await == 0 {} };
        tokio::time::timeout(Duration::from_secs(20), woken).await.expect("a wakeup");
    });
}

/// A right that is taken away under a running process ends the script in the middle.
#[test]
fn what_is_acknowledged_without_the_right_to_publish_runs() {
    block_on(async {
        let port = free_port();
        let redis = TestRedis::start_with(&["--port", &port.to_string()]);
        let mut raw = RawRedis::connect(&redis.socket());
        raw.run(&["ACL", "SETUSER", "writer", "on", ">right", "~*", "&*", "+@all"]);
        let settings = at(format!("redis://writer:right@127.0.0.1:{port}"), Durability::Local);
        let (queue, new) = (connect(&settings).await.unwrap(), new_task());
        raw.run(&["ACL", "SETUSER", "writer", "-publish"]);
        let refused = queue.enqueue(&new).await.unwrap_err();
        assert!(matches!(&refused, Error::Refused(why) if why.contains("PUBLISH")), "{refused:?}");
        assert!(matches!(queue.enqueue(&new).await.unwrap(), Enqueued::Replayed(_)));
        raw.run(&["ACL", "SETUSER", "writer", "+publish"]);
        let lease = Lease { instance: InstanceId::new("gpu:1"), token: Token::new() };
        queue.acquire(&lease.instance, "dispatcher-1", &lease.token, Duration::from_secs(60)).await.unwrap();
        let claimed = queue.claim(&lease, "1", 1, 32).await.unwrap();
        assert!(matches!(&claimed, Claimed::Task(claim) if claim.task == new.id), "{claimed:?}");
        assert_eq!(queue.counts().await.unwrap().pending, 1);
        assert_eq!(queue.repair_indexes().await.unwrap(), 0);
    });
}

#[test]
fn a_right_that_is_taken_away_is_named_until_it_is_back() {
    block_on(async {
        let port = free_port();
        let redis = TestRedis::start_with(&["--port", &port.to_string()]);
        let mut raw = RawRedis::connect(&redis.socket());
        raw.run(&["ACL", "SETUSER", "a", "on", ">right", "~*", "&*", "+@all"]);
        let queue = connect(&at(format!("redis://a:right@127.0.0.1:{port}"), Durability::Local)).await.unwrap();
        let mut control = RawRedis::connect(&redis.socket());
        let mut ping_names = async |denied: Option<&str>, change: [&str; 2]| {
            for rule in change {
                control.run(&["ACL", "SETUSER", "a", rule]);
            }
            // A reconnect causes the check that is otherwise made twice a minute.
            control.run(&["CLIENT", "KILL", "USER", "a", "SKIPME", "yes"]);
            eventually("the right is noticed", Duration::from_secs(20), async || match (queue.ping().await, denied) {
                (Ok(()), None) => Some(()),
                (Err(Error::Refused(why)), Some(name)) => why.contains(name).then_some(()),
                _ => None,
            })
            .await;
        };
        ping_names(Some("PUBLISH, ZADD"), ["-publish", "-zadd"]).await;
        ping_names(None, ["+publish", "+zadd"]).await;
    });
}

/// The check was made a minute later, or never.
#[test]
fn a_refused_write_is_named_at_once_and_until_writes_are_taken() {
    block_on(async {
        let redis = TestRedis::start();
        let queue = connect(&redis.settings()).await.unwrap();
        let mut raw = RawRedis::connect(&redis.socket());
        let mut named = async |change: &[&str], words: Option<&str>| {
            raw.run(change);
            let refused = queue.enqueue(&new_task()).await;
            assert_eq!(refused.is_err(), words.is_some(), "{change:?}: {refused:?}");
            eventually("the refusal is noticed", Duration::from_secs(20), async || {
                match (queue.ping().await, queue.check_rights(), words) {
                    (Ok(()), Ok(()), None) => Some(()),
                    (Err(Error::Refused(why)), Err(_), Some(words)) => why.contains(words).then_some(()),
                    _ => None,
                }
            })
            .await;
        };
        named(&["CONFIG", "SET", "min-replicas-to-write", "1"], Some("min-replicas-to-write")).await;
        named(&["CONFIG", "SET", "min-replicas-to-write", "0"], None).await;
        named(&["ACL", "SETUSER", "default", "-xadd"], Some("XADD")).await;
        named(&["ACL", "SETUSER", "default", "+@all"], None).await;
    });
}

/// Only the silence was named.
#[test]
fn a_redis_without_a_free_connection_is_named() {
    block_on(async {
        let redis = TestRedis::start();
        let queue = connect(&redis.settings()).await.unwrap();
        let mut raw = RawRedis::connect(&redis.socket());
        raw.run(&["CONFIG", "SET", "maxclients", "1"]);
        raw.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        eventually("the refusal is noticed", Duration::from_secs(30), async || match queue.ping().await {
            Err(error) => error.refusal().filter(|why| why.contains("maxclients")).map(drop),
            Ok(()) => None,
        })
        .await;
        raw.run(&["CONFIG", "SET", "maxclients", "1000"]);
        eventually("it answers again", Duration::from_secs(30), async || queue.ping().await.ok()).await;
    });
}

#[test]
fn sentinels_have_passwords_of_their_own_or_none() {
    block_on(async {
        let port = free_port();
        let _redis = TestRedis::start_with(&["--requirepass", "right", "--port", &port.to_string()]);
        let own = Sentinel::start(port, "requirepass other\nsentinel auth-pass main right\n");
        let none = Sentinel::start(port, "sentinel auth-pass main right\n");
        let url = |sentinel: &Sentinel, password: &str, more: &str| {
            let address = format!("127.0.0.1:{}?sentinelServiceName=main{more}", sentinel.port);
            at(format!("valkey-sentinel://:{password}@{address}"), Durability::Local)
        };
        for good in [url(&own, "right", "&sentinelPassword=other"), url(&none, "right", "")] {
            let queue =
                eventually("the sentinel answers", Duration::from_secs(20), || async { connect(&good).await.ok() })
                    .await;
            assert!(matches!(queue.enqueue(&new_task()).await.unwrap(), Enqueued::Created(_)));
        }
        for (settings, whose) in [
            (url(&own, "right", "&sentinelPassword=wrong"), "the sentinel 127.0.0.1:"),
            (url(&own, "wrong", "&sentinelPassword=other"), "redis refuses the password of the user `default`"),
        ] {
            let refused = connect(&settings).await.unwrap_err();
            assert!(matches!(&refused, Error::Unusable(why) if why.starts_with(whose)), "{whose}: {refused:?}");
        }
    });
}

#[test]
fn a_policy_that_is_changed_under_a_running_process_is_noticed() {
    block_on(async {
        shuzhiren::metrics::install();
        let redis = TestRedis::start();
        let queue = connect(&redis.settings()).await.unwrap();
        let is = async |value: &str| {
            let line = format!("shuzhiren_redis_unfit {value}");
            let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
            while !shuzhiren::metrics::render().await.lines().any(|found| found == line) {
                assert!(tokio::time::Instant::now() < deadline, "{line}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        is("0").await;
        let mut raw = RawRedis::connect(&redis.socket());
        raw.run(&["CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru"]);
        // A reconnect causes the check that is otherwise made twice a minute.
        raw.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        is("1").await;
        assert!(queue.is_unfit());
        raw.run(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        raw.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        is("0").await;
    });
}

#[test]
fn fsync_checks_every_node_of_a_cluster() {
    block_on(async {
        let ((owner, port), (other, other_port)) = (start_node(), start_node());
        let (mut owner, mut other) = (RawRedis::connect(&owner.socket()), RawRedis::connect(&other.socket()));
        owner.run(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
        other.run(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
        owner.run(&["CLUSTER", "MEET", "127.0.0.1", &other_port.to_string()]);
        for raw in [&mut owner, &mut other] {
            eventually("the cluster is whole", Duration::from_secs(20), || {
                std::future::ready(raw.run(&["CLUSTER", "INFO"]).text().contains("cluster_state:ok").then_some(()))
            })
            .await;
        }
        owner.run(&["CONFIG", "SET", "appendfsync", "always"]);
        other.run(&["CONFIG", "SET", "appendonly", "no"]);
        let settings = at(format!("valkey-cluster://127.0.0.1:{port}"), Durability::Fsync);
        let refused = connect(&settings).await.unwrap_err();
        assert!(matches!(refused, Error::Unusable(_)), "{refused:?}");
        assert!(refused.to_string().contains(&format!("127.0.0.1:{other_port}")), "{refused}");
        other.run(&["CONFIG", "SET", "appendonly", "yes"]);
        other.run(&["CONFIG", "SET", "appendfsync", "always"]);
        let queue = connect(&settings).await.unwrap();
        assert!(matches!(queue.enqueue(&new_task()).await.unwrap(), Enqueued::Created(_)));
    });
}
