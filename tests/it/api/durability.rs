//! An answer 200 still holds after Redis was killed (durability `fsync`), seen through HTTP.

use super::{
    server::{Api, Options, data, workflow},
    upload::{PNG, upload},
};
use crate::support::{TestRedis, eventually, http::Response};
use serde_json::json;
use shuzhiren::settings::Durability;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Everything that was answered with 200.
#[derive(Default)]
struct Told {
    submitted: Mutex<BTreeSet<String>>,
    cancelled: Mutex<BTreeSet<String>>,
    revived: Mutex<BTreeMap<String, u64>>,
    uploaded: Mutex<BTreeSet<String>>,
    deleted: Mutex<BTreeSet<String>>,
    /// Version of the config, and the interval it was written with.
    configs: Mutex<BTreeMap<u64, u64>>,
}

/// Only two answers are allowed while Redis is killed; a failed connection of the test would be a panic.
fn is_told(answer: &Response) -> bool {
    assert!(matches!(answer.status, 200 | 503), "{}", answer.json());
    answer.status == 200
}

fn text(answer: &Response, name: &str) -> String {
    data(answer)[name].as_str().unwrap().to_owned()
}

/// Submits, cancels every second task and revives every fourth.
async fn submit(api: &Api, told: &Told, stop: &CancellationToken) {
    for turn in 0.. {
        if stop.is_cancelled() {
            return;
        }
        let answer = api.post("/api/tasks", &json!({"workflow": workflow()})).await;
        if !is_told(&answer) {
            continue;
        }
        let id = text(&answer, "id");
        told.submitted.lock().unwrap().insert(id.clone());
        if turn % 2 == 0 && is_told(&api.delete(&format!("/api/tasks/{id}")).await) {
            told.cancelled.lock().unwrap().insert(id.clone());
            if turn % 4 == 0 {
                let answer = api.post(&format!("/api/tasks/{id}/retry"), &json!({})).await;
                // Without an answer it may live again or not.
                told.cancelled.lock().unwrap().remove(&id);
                if is_told(&answer) {
                    told.revived.lock().unwrap().insert(id, data(&answer)["revived"].as_u64().unwrap());
                }
            }
        }
    }
}

async fn store(api: &Api, told: &Told, stop: &CancellationToken) {
    for turn in 0.. {
        if stop.is_cancelled() {
            return;
        }
        let answer = upload(api, "a.png", PNG).await;
        if !is_told(&answer) {
            continue;
        }
        let id = text(&answer, "fileId");
        told.uploaded.lock().unwrap().insert(id.clone());
        if turn % 3 == 0 {
            let answer = api.delete(&format!("/api/files/{id}")).await;
            told.uploaded.lock().unwrap().remove(&id);
            if is_told(&answer) {
                told.deleted.lock().unwrap().insert(id);
            }
        }
    }
}

async fn configure(api: &Api, told: &Told, stop: &CancellationToken) {
    for interval in 1_000.. {
        if stop.is_cancelled() {
            return;
        }
        let answer = api.put("/api/config", &json!({"healthCheck": {"interval": interval}})).await;
        if is_told(&answer) {
            told.configs.lock().unwrap().insert(data(&answer)["version"].as_u64().unwrap(), interval);
        }
    }
}

fn copy<T: Clone>(told: &Mutex<T>) -> T {
    told.lock().unwrap().clone()
}

async fn check(api: &Api, told: &Told) {
    let task = async |id: &String| data(&api.get(&format!("/api/tasks/{id}")).await);
    for id in copy(&told.submitted) {
        task(&id).await;
    }
    for id in copy(&told.cancelled) {
        assert_eq!(task(&id).await["status"], "cancelled", "{id}");
    }
    for (id, life) in copy(&told.revived) {
        assert_eq!(task(&id).await["revived"], life, "{id}");
    }
    for id in copy(&told.uploaded) {
        assert_eq!(api.send("GET", &format!("/upload/file/{id}"), &[], b"").await.status, 200, "{id}");
    }
    for id in copy(&told.deleted) {
        assert_eq!(api.send("GET", &format!("/upload/file/{id}"), &[], b"").await.status, 404, "{id}");
    }
    let config = data(&api.get("/api/config").await);
    let (newest, interval) = told.configs.lock().unwrap().iter().next_back().map(|(v, i)| (*v, *i)).unwrap();
    let version = config["version"].as_u64().unwrap();
    assert!(version >= newest, "version {newest} was told, but it is {version}");
    assert!(version > newest || config["healthCheck"]["interval"] == interval, "{config}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_200_is_true_after_redis_was_killed() {
    let redis = TestRedis::start_with(&["--appendfsync", "always"]);
    let mut api = Api::start_on(redis, Durability::Fsync, Options { rate_burst: 0, ..Options::default() }).await;
    let told = Told::default();
    for round in 1..=4 {
        let stop = CancellationToken::new();
        let before = told.submitted.lock().unwrap().len();
        let pid = api.redis.pid();
        let kill = async {
            let began = Instant::now();
            let enough =
                || told.submitted.lock().unwrap().len() > before + 60 && began.elapsed() > Duration::from_millis(400);
            eventually("enough is told", Duration::from_secs(60), async || enough().then_some(())).await;
            assert!(std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
            tokio::time::sleep(Duration::from_millis(200)).await;
            stop.cancel();
        };
        tokio::join!(
            kill,
            submit(&api, &told, &stop),
            submit(&api, &told, &stop),
            submit(&api, &told, &stop),
            submit(&api, &told, &stop),
            store(&api, &told, &stop),
            store(&api, &told, &stop),
            configure(&api, &told, &stop),
        );
        api.redis.kill();
        api.redis.launch();
        eventually("the health to be good again", Duration::from_secs(15), async || {
            (api.send("GET", "/api/health", &[], b"").await.status == 200).then_some(())
        })
        .await;
        check(&api, &told).await;
        let counted = |many: usize| many > round;
        assert!(counted(told.uploaded.lock().unwrap().len()) && counted(told.revived.lock().unwrap().len()));
    }
}
