//! Messages that a client of the documented protocol gets.

use super::stage::{Dispatcher, Stage, new_task, text_output};
use serde_json::{Value, json};
use shuzhiren::{
    fleet::{InstanceReport, Phase},
    queue::Written,
    task::{Failure, FailureKind, FileId, InstanceId, Outcome, Output, OutputKind},
};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_followed_from_submit_to_its_files() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let dispatcher = stage.dispatcher().await;
    let id = stage.submit("admin").await;
    let claim = dispatcher.begin().await;
    dispatcher.progress(claim, 25).await;
    dispatcher.progress(claim, 50).await;
    let file = FileId::new();
    let image = Output {
        kind: OutputKind::Image,
        file_id: Some(file),
        filename: Some("a.png".to_owned()),
        content_type: Some("image/png".to_owned()),
        text: None,
        ..text_output(String::new())
    };
    dispatcher.complete(claim, vec![image, text_output("a cat".to_owned())]).await;

    let mut received: Vec<Value> = Vec::new();
    while received.last().is_none_or(|message| message["type"] != "task_completed") {
        let message = client.next().await.unwrap();
        if message["data"]["taskId"] == id.to_string() {
            received.push(message);
        }
    }
    let facts = |message: &Value| (message["data"]["status"].clone(), message["data"]["progress"].clone());
    let states: Vec<_> = received.iter().map(facts).collect();
    let expected = [("pending", 0), ("running", 0), ("running", 25), ("running", 50), ("completed", 100)];
    assert_eq!(states, expected.map(|(status, progress)| (json!(status), json!(progress))));
    assert!(received[..4].iter().all(|message| message["type"] == "task_progress"));
    let running = &received[3]["data"];
    assert_eq!(
        (&running["currentNode"], &running["nodesDone"], &running["nodesTotal"]),
        (&json!("9"), &json!(1), &json!(4))
    );
    assert_eq!((&running["attempt"], &running["instanceId"]), (&json!(1), &json!("127.0.0.1:8001")));
    let result = &received[4]["data"]["result"];
    let url = format!("http://files.example/upload/file/{file}");
    assert_eq!(result["files"], json!([url]));
    assert_eq!(result["outputs"][0]["url"], url);
    assert_eq!(result["outputs"][1]["text"], "a cat");
    let versions: Vec<u64> = received.iter().map(|message| message["data"]["version"].as_u64().unwrap()).collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    assert!(received.iter().all(|message| now - message["timestamp"].as_u64().unwrap() < 60_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_and_cancelled_tasks_end_as_task_failed() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let dispatcher = stage.dispatcher().await;
    let failing = stage.submit("admin").await;
    let (task, attempt) = dispatcher.begin().await;
    let failure = Failure { node_id: Some("9".to_owned()), ..Failure::new(FailureKind::NodeError, "boom") };
    let outcome = Outcome::Failed { failure, outputs: vec![] };
    assert_eq!(stage.queue.settle(&dispatcher.lease, task, attempt, &outcome).await.unwrap(), Written::Done);
    let message = client.until_ended(failing).await;
    assert_eq!((&message["type"], &message["data"]["status"]), (&json!("task_failed"), &json!("failed")));
    let error = &message["data"]["error"];
    assert_eq!(
        (&error["type"], &error["message"], &error["nodeId"]),
        (&json!("node_error"), &json!("boom"), &json!("9"))
    );

    let cancelled = stage.submit("admin").await;
    stage.queue.cancel(cancelled).await.unwrap();
    let message = client.until_ended(cancelled).await;
    assert_eq!((&message["type"], &message["data"]["status"]), (&json!("task_failed"), &json!("cancelled")));
    assert!(message["data"]["error"]["message"].is_string());
}

/// The ending of the first life, the second life and its ending arrive in this order.
#[tokio::test(flavor = "multi_thread")]
async fn a_revived_task_is_reported_after_its_ending() {
    let stage = Stage::start().await;
    let dispatcher = stage.dispatcher().await;
    let mut client = stage.client().await;
    let id = stage.submit("admin").await;
    stage.queue.cancel(id).await.unwrap();
    let first = client.until_ended(id).await;
    assert_eq!(first["data"].get("revived"), None);
    stage.queue.revive(id).await.unwrap();
    let message = client.until("the revival", |message| message["data"]["taskId"] == id.to_string()).await;
    assert_eq!((&message["type"], &message["data"]["status"]), (&json!("task_progress"), &json!("pending")));
    assert_eq!((&message["data"]["revived"], &message["data"]["progress"]), (&json!(1), &json!(0)));
    // A client that reconnects now does not get the old ending.
    client
        .send(json!({"type": "subscribe", "data": {"all": true, "since": cursor_before(&first)}, "requestId": "r"}))
        .await;
    client.until_type("subscribed").await;
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.next().await.unwrap()["type"], "pong", "the first ending is not replayed");
    let claim = dispatcher.begin().await;
    dispatcher.progress(claim, 30).await;
    dispatcher.complete(claim, vec![]).await;
    let ended = client.until_ended(id).await;
    assert_eq!((&ended["type"], &ended["data"]["revived"]), (&json!("task_completed"), &json!(1)));
    assert!(ended["data"]["version"].as_u64() > message["data"]["version"].as_u64());
}

/// Returns the cursor just before this ending.
fn cursor_before(ending: &serde_json::Value) -> String {
    let (process, number) = ending["data"]["cursor"].as_str().unwrap().rsplit_once('-').unwrap();
    format!("{process}-{}", number.parse::<u64>().unwrap() - 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_reported_and_progress_never_falls_within_an_attempt() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let dispatcher = stage.dispatcher().await;
    let id = stage.submit("admin").await;
    let claim = dispatcher.begin().await;
    dispatcher.progress(claim, 60).await;
    let failure = Failure::new(FailureKind::InstanceUnreachable, "gone");
    let outcome = Outcome::Failed { failure, outputs: vec![] };
    let written = stage.queue.settle(&dispatcher.lease, claim.0, claim.1, &outcome).await.unwrap();
    assert_eq!(written, Written::Retrying);
    let mut last = (0, 0);
    loop {
        let message = client.until("progress", |message| message["data"]["taskId"] == id.to_string()).await;
        let attempt = message["data"]["attempt"].as_u64().unwrap();
        let progress = message["data"]["progress"].as_u64().unwrap();
        assert!((attempt, progress) >= last, "{message} after {last:?}");
        last = (attempt, progress);
        if message["data"]["status"] == "pending" && attempt > 0 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_announced_when_it_changes() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let dispatcher = stage.dispatcher().await;
    let report = InstanceReport { alive: true, phase: Phase::Up, last_heartbeat_ms: 1, ..InstanceReport::default() };
    stage.queue.report(&dispatcher.lease, &report, true).await.unwrap();
    let status = client.until_type("instance_status").await;
    let data = &status["data"];
    assert_eq!(data["instanceId"], "127.0.0.1:8001");
    assert_eq!((&data["alive"], &data["busy"], &data["enabled"]), (&json!(true), &json!(false), &json!(true)));
    assert_eq!(data["phase"], "up");
    let id = stage.submit("admin").await;
    dispatcher.begin().await;
    let busy = client.until("busy", |message| message["data"]["busy"] == true).await;
    assert_eq!((&busy["type"], &busy["data"]["currentTaskId"]), (&json!("instance_status"), &json!(id)));
    stage.queue.set_enabled(&InstanceId::new("127.0.0.1:8001"), false).await.unwrap();
    let disabled = client.until("disabled", |message| message["data"]["enabled"] == false).await;
    assert_eq!(
        (&disabled["data"]["instanceId"], &disabled["data"]["phase"]),
        (&json!("127.0.0.1:8001"), &json!("draining"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_global_status_is_sent_at_most_once_a_second() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let dispatcher = stage.dispatcher().await;
    for _ in 0..30 {
        stage.submit("admin").await;
        dispatcher.run_one().await;
    }
    let (begun, mut count) = (Instant::now(), 0);
    let last = loop {
        let status = client.until_type("global_status").await;
        count += 1;
        if status["data"]["completedTasks"] == 30 {
            break status;
        }
    };
    assert!(count as f64 <= begun.elapsed().as_secs_f64() + 2.0, "{count} in {:?}", begun.elapsed());
    for field in ["totalInstances", "aliveInstances", "busyInstances", "pendingTasks", "runningTasks", "completedTasks"]
    {
        assert!(last["data"][field].is_u64(), "{field}");
    }
    let quiet = tokio::time::timeout(Duration::from_millis(2_500), client.until_type("global_status")).await;
    assert!(quiet.is_err(), "no message without a change: {quiet:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_carry_the_request_id() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let id = stage.submit("admin").await;
    assert_eq!(client.ask("ping", json!({})).await["type"], "pong");
    let task = client.ask("get_task", json!({"taskId": id})).await;
    assert_eq!(
        (&task["type"], &task["data"]["id"], &task["data"]["status"]),
        (&json!("task"), &json!(id), &json!("pending"))
    );
    let unknown = client.ask("get_task", json!({"taskId": new_task("a").id})).await;
    assert_eq!((&unknown["type"], &unknown["data"]["type"]), (&json!("error"), &json!("not_found")));
    assert_eq!(client.ask("subscribe", json!({"all": true})).await["type"], "subscribed");
    assert_eq!(client.ask("unsubscribe", json!({"taskIds": [id]})).await["type"], "subscribed");
    assert_eq!(client.ask("nonsense", json!({})).await["data"]["type"], "unknown_type");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribing_to_tasks_excludes_others() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let dispatcher = stage.dispatcher().await;
    let (first, second) = (stage.submit("admin").await, stage.submit("admin").await);
    let subscribed = client.ask("subscribe", json!({"taskIds": [second]})).await;
    assert_eq!(subscribed["data"]["all"], false);
    dispatcher.run_one().await;
    dispatcher.run_one().await;
    loop {
        let message = client.next().await.unwrap();
        assert_ne!(message["data"]["taskId"], first.to_string());
        if message["type"] == "task_completed" {
            assert_eq!(message["data"]["taskId"], second.to_string());
            break;
        }
    }
    client.ask("unsubscribe", json!({"all": true})).await;
    let third = stage.submit("admin").await;
    let other = Dispatcher::attach(stage.queue.clone(), "127.0.0.1:8002").await;
    assert_eq!(other.run_one().await, third);
    client.send(json!({"type": "ping"})).await;
    loop {
        let message = client.next().await.unwrap();
        assert_ne!(message["data"]["taskId"], third.to_string());
        if message["type"] == "pong" {
            break;
        }
    }
}
