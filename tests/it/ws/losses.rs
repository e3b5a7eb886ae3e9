//! Guarantees of the WebSocket when messages, Redis or the whole process are lost (queue.md §6.2).

use super::{
    client::{Client, WAIT_MAX},
    stage::{Dispatcher, Stage, new_task},
};
use crate::support::{
    TestRedis, eventually,
    lossy::{LossyLink, Upstream},
    stack::{Stack, free_port, workflow},
};
use serde_json::json;
use shuzhiren::{
    queue::{Claimed, Queue, Written},
    task::{Outcome, TaskId},
    ws::Timing,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Starts a stage whose hub reaches Redis over a lossy link and compares versions at each `check` interval.
async fn lossy_stage(check: Duration) -> (Stage, LossyLink) {
    let redis = TestRedis::start();
    let link = LossyLink::to_redis(Upstream::Unix(redis.socket())).await;
    let way = Some(format!("redis://127.0.0.1:{}", link.port));
    let stage = Stage::start_over(redis, way, Timing { check, ..Timing::default() }, |_| {}).await;
    (stage, link)
}

/// Reads until every task of `ids` has ended. Versions must never decrease, and no message may follow an ending.
async fn read_until_all_ended(client: &mut Client, ids: &BTreeSet<String>) {
    let (mut versions, mut ended) = (BTreeMap::<String, u64>::new(), BTreeSet::new());
    while ended.len() < ids.len() {
        let message =
            client.next().await.unwrap_or_else(|code| panic!("closed with {code}: {} of {}", ended.len(), ids.len()));
        let Some(id) = message["data"]["taskId"].as_str().filter(|id| ids.contains(*id)) else { continue };
        let version = message["data"]["version"].as_u64().unwrap();
        let before = versions.insert(id.to_owned(), version);
        assert!(before.is_none_or(|before| version > before), "{version} after {before:?}: {message}");
        assert!(!ended.contains(id), "after its ending: {message}");
        if message["type"] == "task_completed" {
            ended.insert(id.to_owned());
        }
    }
}

async fn run_one(stage: &Stage, dispatcher: &Dispatcher) -> String {
    let id = stage.submit("admin").await;
    let claim = dispatcher.begin().await;
    for percent in [10, 40, 80] {
        dispatcher.progress(claim, percent).await;
    }
    dispatcher.complete(claim, vec![]).await;
    id.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_arrives_even_if_some_messages_are_lost() {
    let (stage, link) = lossy_stage(Duration::from_millis(500)).await;
    let (mut one, mut two) = (stage.client().await, stage.client().await);
    let dispatcher = stage.dispatcher().await;
    link.lose_published(5);
    let mut ids = BTreeSet::new();
    for _ in 0..150 {
        ids.insert(run_one(&stage, &dispatcher).await);
    }
    tokio::join!(read_until_all_ended(&mut one, &ids), read_until_all_ended(&mut two, &ids));
    assert!(link.lost_count() > 30, "{} messages were lost", link.lost_count());
}

/// Includes tasks of which every message was lost.
#[tokio::test(flavor = "multi_thread")]
async fn every_ending_arrives_even_if_all_messages_are_lost_for_a_while() {
    let (stage, link) = lossy_stage(Duration::from_millis(500)).await;
    let mut client = stage.client().await;
    let dispatcher = stage.dispatcher().await;
    let ids = BTreeSet::from([run_one(&stage, &dispatcher).await]);
    read_until_completed(&mut client, ids).await;
    let waiting = stage.submit("admin").await;
    client.until("the waiting task", |message| message["data"]["taskId"] == waiting.to_string()).await;
    link.lose_published(100);
    let mut ids = BTreeSet::from([dispatcher.run_one().await.to_string()]);
    for _ in 0..20 {
        ids.insert(run_one(&stage, &dispatcher).await);
    }
    assert!(ids.contains(&waiting.to_string()));
    read_until_completed(&mut client, ids).await;
    assert!(link.lost_count() >= 100, "{} messages were lost", link.lost_count());
    link.lose_published(0);
    read_until_completed(&mut client, BTreeSet::from([run_one(&stage, &dispatcher).await])).await;
}

async fn read_until_completed(client: &mut Client, mut missing: BTreeSet<String>) {
    while !missing.is_empty() {
        let message = client.until_type("task_completed").await;
        missing.remove(message["data"]["taskId"].as_str().unwrap());
    }
}

/// Repeats a call until Redis answers.
async fn retry_until_answered<T, F: Future<Output = shuzhiren::queue::Result<T>>>(call: impl Fn() -> F) -> T {
    eventually("redis answers", WAIT_MAX, async || call().await.ok()).await
}

async fn run_stubbornly(queue: &Queue, dispatcher: &Dispatcher) -> TaskId {
    let (new, nonce) = (new_task("admin"), uuid::Uuid::new_v4().to_string());
    retry_until_answered(|| queue.enqueue(&new)).await;
    let (task, attempt) = eventually("a claim", WAIT_MAX, async || {
        match queue.claim(&dispatcher.lease, &nonce, 10_000, 32).await.ok()? {
            Claimed::Task(claim) => Some((claim.task, claim.attempt)),
            Claimed::Nothing => None,
        }
    })
    .await;
    let outcome = Outcome::Completed(vec![]);
    let written = retry_until_answered(|| queue.settle(&dispatcher.lease, task, attempt, &outcome)).await;
    assert_eq!(written, Written::Done);
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_arrives_even_if_redis_is_killed_midstream() {
    let redis = TestRedis::start_with(&["--appendfsync", "always"]);
    let timing = Timing { check: Duration::from_secs(1), ..Timing::default() };
    let mut stage = Stage::start_over(redis, None, timing, |_| {}).await;
    let mut client = stage.client().await;
    let (queue, dispatcher) = (stage.queue.clone(), stage.dispatcher().await);
    let running = tokio::spawn(async move {
        let mut ids = BTreeSet::new();
        for _ in 0..60 {
            ids.insert(run_stubbornly(&queue, &dispatcher).await.to_string());
        }
        ids
    });
    let mut received = BTreeSet::new();
    while received.len() < 20 {
        received.insert(client.until_type("task_completed").await["data"]["taskId"].as_str().unwrap().to_owned());
    }
    stage.redis.kill();
    tokio::time::sleep(Duration::from_millis(500)).await;
    stage.redis.launch();
    while received.len() < 60 {
        let message = client.until_type("task_completed").await;
        let id = message["data"]["taskId"].as_str().unwrap().to_owned();
        assert!(received.insert(id.clone()), "{id} ended twice");
    }
    assert_eq!(running.await.unwrap(), received);
}

/// Behaves like a real client: reconnects, subscribes to its tasks again and continues.
async fn follow(port: u16, token: String, ids: Vec<String>) -> usize {
    let (mut missing, mut connections): (BTreeSet<String>, usize) = (ids.into_iter().collect(), 0);
    while !missing.is_empty() {
        let Some(mut client) = Client::try_connect(([127, 0, 0, 1], port).into(), &token).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        connections += 1;
        client.send(json!({"type": "subscribe", "data": {"taskIds": missing}})).await;
        while let Ok(message) = client.next().await {
            if matches!(message["type"].as_str(), Some("task_completed" | "task_failed")) {
                missing.remove(message["data"]["taskId"].as_str().unwrap());
                if missing.is_empty() {
                    break;
                }
            }
        }
    }
    connections
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_killed_process_get_every_ending() {
    const CLIENTS: usize = 40;
    let stack = Stack::start(2, 1).await;
    let port = free_port();
    let mut process = stack.add_ws(port);
    let mut ids = Vec::new();
    for seed in 0..40 {
        ids.push(stack.client.submit(json!({"workflow": workflow::quick(seed)})).await);
    }
    let long = stack.client.submit(json!({"workflow": workflow::steps(600, 60.0)})).await;
    ids.push(long.clone());
    let clients: Vec<_> =
        (0..CLIENTS).map(|_| tokio::spawn(follow(port, stack.client.token.clone(), ids.clone()))).collect();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..3 {
        let metrics = format!("http://127.0.0.1:{port}/metrics");
        eventually("all clients are connected", WAIT_MAX, async || {
            let text = http.get(&metrics).send().await.ok()?.text().await.ok()?;
            text.contains(&format!("shuzhiren_ws_sessions {CLIENTS}\n")).then_some(())
        })
        .await;
        process.kill();
        process = stack.add_ws(port);
    }
    stack.client.delete(&format!("/api/tasks/{long}")).await;
    for client in clients {
        let connections = tokio::time::timeout(Duration::from_secs(60), client).await.expect("in time").unwrap();
        assert!(connections >= 4, "{connections}");
    }
}
