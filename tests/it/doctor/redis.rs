//! A Redis that may lose tasks, or is unreachable.

use super::diagnose;
use crate::support::{TestRedis, stack::free_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_may_lose_tasks_is_reported_with_advice() {
    let primary_port = free_port();
    let _primary = TestRedis::start_with(&["--port", &primary_port.to_string()]);
    let replica_of = format!("127.0.0.1 {primary_port}");
    let folder = tempfile::tempdir().unwrap();
    let storage = super::storage(folder.path());
    let full = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let cases: [(&[&str], &str, &str, &str, &str); 10] = [
        (&full, "local", "redis.queue", "fail", "set it to noeviction"),
        (&full[2..], "local", "redis.queue", "warn", "before you set maxmemory"),
        (&["--replicaof", &replica_of], "local", "redis.queue", "fail", "address of the primary"),
        (&["--appendonly", "no"], "local", "redis.queue", "warn", "set appendonly yes"),
        (&["--appendonly", "no"], "fsync", "redis.queue", "fail", "set appendonly yes"),
        (&["--appendfsync", "everysec"], "fsync", "redis.queue", "fail", "set appendfsync always"),
        (&["--appendfsync", "no"], "local", "redis.persistence", "warn", "set appendfsync everysec"),
        (&["--maxmemory", "1mb"], "local", "redis.memory", "warn", "raise maxmemory"),
        (&[], "local", "redis.memory", "warn", "set maxmemory"),
        (&["--hash-max-listpack-value", "64"], "local", "redis.packing", "warn", "hash-max-listpack-value 512"),
    ];
    for (options, durability, check, level, advice) in cases {
        let redis = TestRedis::start_with(options);
        let settings = [
            ("REDIS_URL", redis.url()),
            ("SHUZHIREN_STORAGE_URL", storage.clone()),
            ("SHUZHIREN_DURABILITY", durability.to_owned()),
        ];
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let found = diagnose(&[], &settings).await;
        let (seen, said, todo) = found.of(check);
        assert!(seen == level && todo.contains(advice), "{options:?} {durability}: {seen}: {said} → {todo}");
        assert_eq!(found.code, i32::from(level == "fail"), "{options:?}: {:#}", found.report);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_kept_tasks_is_stated_as_a_rate() {
    let redis = TestRedis::start_with(&["--maxmemory", "1gb", "--hash-max-listpack-value", "512"]);
    let folder = tempfile::tempdir().unwrap();
    let (url, storage) = (redis.url(), super::storage(folder.path()));
    let settings = [("REDIS_URL", url.as_str()), ("SHUZHIREN_STORAGE_URL", &storage), ("SHUZHIREN_KEEP_TASKS", "48h")];
    let found = diagnose(&[], &settings).await;
    assert_eq!((found.of("redis.memory").0, found.of("redis.packing").0), ("ok", "ok"));
    let (_, said, _) = found.of("redis.retention");
    assert_eq!(
        said,
        "ended tasks are kept for 48.0 h: about 0.69 GB for each task per second; 1074 MB carry about 1.2 tasks per second"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_redis_is_a_failure_and_the_other_checks_still_run() {
    let folder = tempfile::tempdir().unwrap();
    let locked_port = free_port();
    let _locked = TestRedis::start_with(&["--port", &locked_port.to_string(), "--requirepass", "a password"]);
    for (url, advice) in [
        (format!("redis://127.0.0.1:{}", free_port()), "start it"),
        (format!("redis://127.0.0.1:{locked_port}"), "user"),
        (format!("redis://:wrong@127.0.0.1:{locked_port}"), "password"),
        ("http://127.0.0.1:6379".to_owned(), "scheme"),
    ] {
        let found =
            diagnose(&[], &[("REDIS_URL", &url), ("SHUZHIREN_STORAGE_URL", &super::storage(folder.path()))]).await;
        let (level, said, todo) = found.of("redis");
        assert!(level == "fail" && todo.contains(advice), "{url}: {said} → {todo}");
        assert!(!found.report.to_string().contains("wrong@"), "the password must not be printed");
        assert_eq!((found.of("store").0, found.of("instances").0), ("ok", "skip"));
        assert_eq!(found.code, 1);
    }
}
