//! Redis is away, hangs, or refuses writes: 503 in time, and the truth afterwards.

use super::server::{Api, Options, assert_refused, data, workflow};
use crate::support::{TestRedis, eventually, raw::RawRedis};
use serde_json::json;
use shuzhiren::settings::{DiskReserve, Durability};
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// An answer of 503 comes within.
const IN_TIME: Duration = Duration::from_secs(3);

/// Every request that needs Redis is answered with 503, in time.
async fn all_are_503(api: &Api, task: &str) {
    let login = json!({"username": "admin", "password": "admin123"}).to_string();
    let submit = json!({"workflow": workflow()}).to_string();
    let requests = [
        ("POST", "/api/auth/login", login.as_str()),
        ("GET", "/api/instances", ""),
        ("GET", "/api/instances/127.0.0.1:8001", ""),
        ("PUT", "/api/instances/127.0.0.1:8001", "{\"enabled\":false}"),
        ("GET", "/api/tasks", ""),
        ("POST", "/api/tasks", &submit),
        ("GET", &format!("/api/tasks/{task}"), ""),
        ("DELETE", &format!("/api/tasks/{task}"), ""),
        ("POST", &format!("/api/tasks/{task}/retry"), ""),
        ("GET", "/api/files", ""),
        ("DELETE", &format!("/api/files/{task}"), ""),
        ("GET", "/api/config", ""),
        ("PUT", "/api/config", "{\"healthCheck\":{\"interval\":500}}"),
        ("GET", "/api/monitor/overview", ""),
        ("GET", &format!("/upload/file/{task}"), ""),
    ];
    let all = requests.iter().map(async |(method, path, body)| {
        let begun = Instant::now();
        let answer = api.json(method, path, &[], body.as_bytes()).await;
        assert_refused(&answer, 503, "redis_unavailable", &format!("{method} {path}"));
        assert!(begun.elapsed() < IN_TIME, "{method} {path}: {:?}", begun.elapsed());
    });
    let upload = async {
        let begun = Instant::now();
        let answer = super::upload::upload(api, "a.png", super::upload::PNG).await;
        assert_refused(&answer, 503, "redis_unavailable", "upload");
        assert!(begun.elapsed() < IN_TIME, "upload: {:?}", begun.elapsed());
    };
    tokio::join!(futures_util::future::join_all(all), upload);
}

async fn is_healthy_again(api: &Api) {
    eventually("the health to be good again", Duration::from_secs(15), async || {
        (api.send("GET", "/api/health", &[], b"").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_redis_is_503_in_time_and_heals() {
    let api = Api::with_instance().await;
    let task = api.submit().await;
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &api.redis.pid().to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    all_are_503(&api, &task).await;
    // Again, when its connections are known to be silent.
    all_are_503(&api, &task).await;
    signal("-CONT");
    is_healthy_again(&api).await;
    assert_eq!(api.post("/api/tasks", &json!({"workflow": workflow()})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_everything_is_503_in_time_and_heals() {
    let mut api = Api::with_instance().await;
    let task = api.submit().await;
    tokio::time::sleep(Duration::from_millis(1_100)).await; // everysec: the append-only file is flushed once a second
    api.redis.kill();
    all_are_503(&api, &task).await;
    let health = api.send("GET", "/api/health", &[], b"").await;
    let body = health.json();
    assert_eq!(
        (health.status, &body["code"], &body["data"]),
        (503, &json!(503), &json!({"status": "degraded", "redis": "disconnected"}))
    );
    assert_eq!((&body["error"]["type"], health.header("retry-after")), (&json!("redis_unavailable"), "2"));

    api.redis.launch();
    is_healthy_again(&api).await;
    assert_eq!(data(&api.get(&format!("/api/tasks/{task}")).await)["status"], "pending");
    assert_eq!(api.post("/api/tasks", &json!({"workflow": workflow()})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_writes_is_503_while_reads_go_on() {
    let api = Api::start().await;
    let task = api.submit().await;
    let mut raw = RawRedis::connect(&api.redis.socket());
    raw.run(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_refused(
        &api.post("/api/tasks", &json!({"workflow": workflow()})).await,
        503,
        "queue_memory_full",
        "out of memory",
    );
    assert_eq!(data(&api.get(&format!("/api/tasks/{task}")).await)["id"], task);
    raw.run(&["CONFIG", "SET", "maxmemory", "0"]);
    api.submit().await;
    assert_eq!(data(&api.get("/api/tasks").await)["total"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_redis_is_a_refusal_not_silence() {
    let options = Options { disk_reserve: DiskReserve::Bytes(u64::MAX), ..Options::default() };
    let api = Api::start_with(options).await;
    let mut raw = RawRedis::connect(&api.redis.socket());
    let folder = raw.run(&["CONFIG", "GET", "dir"]).texts().swap_remove(1);
    // The file of a snapshot cannot take the place of a folder, so that saving fails.
    std::fs::create_dir_all(format!("{folder}/dump.rdb/inside")).unwrap();
    raw.run(&["CONFIG", "SET", "save", "3600 1"]);
    raw.run(&["BGSAVE"]);
    let health = eventually("redis refuses writes", Duration::from_secs(20), async || {
        let health = api.get("/api/health").await;
        (health.status == 503).then_some(health)
    })
    .await;
    let body = health.json();
    let expected = json!({"status": "degraded", "redis": "refusing", "warnings": ["storage_reserve"]});
    assert_eq!((&body["data"], &body["error"]["type"]), (&expected, &json!("redis_unavailable")));
    assert!(body["message"].as_str().unwrap().contains("disk"), "{body}");
    let submit = api.post("/api/tasks", &json!({"workflow": workflow()})).await;
    assert_refused(&submit, 503, "redis_unavailable", "a full disk");
    assert!(submit.json()["message"].as_str().unwrap().contains("disk"), "{}", submit.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_made_unfit_is_warned_about() {
    let api = Api::start().await;
    let mut raw = RawRedis::connect(&api.redis.socket());
    raw.run(&["CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru"]);
    // A reconnect causes the check that is otherwise made once a minute.
    raw.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    eventually("the warning", Duration::from_secs(20), async || {
        let health = api.get("/api/health").await;
        (health.status == 200 && data(&health)["warnings"] == json!(["redis_unfit"])).then_some(())
    })
    .await;
    assert_eq!(data(&api.get("/api/monitor/overview").await)["warnings"], json!(["redis_unfit"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_no_replica_confirms_says_so() {
    let api = Api::start_on(TestRedis::start(), Durability::Replica, Options::default()).await;
    assert_eq!(data(&api.get("/api/health").await)["warnings"], json!(["not_confirmed"]));
    let submit = api.post("/api/tasks", &json!({"workflow": workflow()})).await;
    assert_refused(&submit, 503, "not_confirmed", "no replica");
    assert!(submit.json()["message"].as_str().unwrap().contains("replicas"), "{}", submit.json());
}
