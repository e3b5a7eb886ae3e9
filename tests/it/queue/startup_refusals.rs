//! A Redis that cannot hold a queue is refused at start, with a message that says what to do.

use super::server_check::free_port;
use crate::support::{
    TestRedis, eventually,
    lossy::{LossyLink, Upstream},
    stack::Role,
};
use std::{path::Path, time::Duration};

/// Starts an api on this Redis. Its log is in `folder`.
fn api(redis: &TestRedis, folder: &Path, durability: &str) -> Role {
    api_at(&redis.url(), folder, durability)
}

fn api_at(url: &str, folder: &Path, durability: &str) -> Role {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let storage = format!("file://{}", folder.join("files").display());
    let variables = [
        ("REDIS_URL", url),
        ("SHUZHIREN_STORAGE_URL", &storage),
        ("SHUZHIREN_ADMIN_PASSWORD", "a long enough password"),
        ("SHUZHIREN_JWT_SECRET", "0123456789abcdef-a-key-of-tests-only-0123456789"),
        ("SHUZHIREN_DURABILITY", durability),
    ];
    Role::spawn(&["api", "--listen", &listen], port, &variables, &folder.join("log"))
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_would_lose_tasks_is_refused_with_a_message() {
    let primary_port = free_port();
    let _primary = TestRedis::start_with(&["--port", &primary_port.to_string()]);
    let replica_of = format!("127.0.0.1 {primary_port}");
    for (options, durability, words) in [
        (
            &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"][..],
            "local",
            &["allkeys-lru", "set it to noeviction"][..],
        ),
        (&["--replicaof", &replica_of], "local", &["read-only replica", "address of the primary"]),
        (&[], "fsync", &["appendfsync always"]),
        (&["--appendonly", "no"], "fsync", &["appendonly yes"]),
    ] {
        let redis = TestRedis::start_with(options);
        let folder = tempfile::tempdir().unwrap();
        let code = api(&redis, folder.path(), durability).wait_exit(Duration::from_secs(60)).await;
        let said = log(folder.path());
        assert!(code.is_some_and(|code| code != 0), "{options:?}: {code:?} {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{options:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_risky_redis_is_warned_about() {
    for (options, durability, word) in [
        (&["--appendonly", "no"][..], "local", "set appendonly yes"),
        (&["--maxmemory-policy", "volatile-ttl"], "local", "set it to noeviction before you set maxmemory"),
        (&[], "replica", "the number of connected replicas is 0"),
        // No replica, so every write is refused: the program waits, and the log says why.
        (&["--min-replicas-to-write", "1"], "local", "NOREPLICAS"),
    ] {
        let redis = TestRedis::start_with(options);
        let folder = tempfile::tempdir().unwrap();
        let _api = api(&redis, folder.path(), durability);
        eventually(word, Duration::from_secs(60), async || log(folder.path()).contains(word).then_some(())).await;
    }
}

/// An unanswered query proves nothing about the server, so the program must retry rather than exit.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_during_the_check_is_retried() {
    let redis = TestRedis::start_with(&["--appendfsync", "always"]);
    let link = LossyLink::start(Upstream::Unix(redis.socket())).await;
    link.cut_on_word(Some("appendfsync"));
    let folder = tempfile::tempdir().unwrap();
    let api = api_at(&format!("redis://127.0.0.1:{}", link.port), folder.path(), "fsync");
    let said = async |word: &'static str| {
        eventually(word, Duration::from_secs(60), async || log(folder.path()).contains(word).then_some(())).await;
    };
    said("redis unreachable; retrying").await;
    link.cut_on_word(None);
    said("api started").await;
    drop(api);
}
