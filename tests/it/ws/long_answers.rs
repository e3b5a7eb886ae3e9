//! Long answers: what a client asks for never closes its socket, however long it is and however slowly it is read.

use super::{
    client::Client,
    stage::{Dispatcher, Stage, new_task, text_output},
};
use serde_json::{Value, json, value::RawValue};
use shuzhiren::task::{BatchId, NewTask, Output, TaskFacts, TaskId};
use std::{collections::BTreeSet, time::Duration};

/// Runs a task with these outputs.
async fn ended(stage: &Stage, dispatcher: &Dispatcher, outputs: Vec<Output>) -> TaskId {
    let id = stage.submit("admin").await;
    let claim = dispatcher.claim().await;
    dispatcher.complete(claim, outputs).await;
    id
}

/// A client that receives slowly, as through a narrow line.
async fn slow_client(stage: &Stage) -> Client {
    let token = stage.admin_token(Duration::from_secs(600)).await;
    let mut client = Client::connect_narrow(stage.address, &token).await;
    assert_eq!(client.next().await.unwrap()["type"], "global_status");
    client
}

/// Subscribes and reads all pieces of the answer and the ending of every task.
async fn subscribed(client: &mut Client, ids: &[TaskId]) -> Vec<Value> {
    client.send(json!({"type": "subscribe", "data": {"taskIds": ids}, "requestId": "1"})).await;
    let (mut pieces, mut endings) = (Vec::new(), BTreeSet::new());
    let is_whole = |pieces: &[Value]| pieces.last().is_some_and(|piece: &Value| piece["data"]["more"] != true);
    while endings.len() < ids.len() || !is_whole(&pieces) {
        let message = client.next().await.unwrap_or_else(|code| panic!("closed with {code}"));
        match message["type"].as_str().unwrap() {
            "subscribed" => pieces.push(message),
            "task_completed" | "task_failed" => {
                endings.insert(message["data"]["taskId"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }
    pieces
}

fn ids(pieces: &[Value]) -> BTreeSet<String> {
    let tasks = pieces.iter().flat_map(|piece| piece["data"]["tasks"].as_array().unwrap());
    tasks.map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_ended_tasks_as_one_subscribe_may_name_are_answered() {
    let stage = Stage::start().await;
    let batch = BatchId::of(TaskId::new());
    let all: Vec<TaskId> = (0..500).map(|index| batch.task(index)).collect();
    let mut packed = Vec::new();
    for id in &all {
        let metadata = Some(RawValue::from_string(format!(r#"{{"note":"{}"}}"#, "x".repeat(1_024))).unwrap());
        let facts = TaskFacts { metadata, ..TaskFacts::default() };
        packed.push(stage.queue.pack(NewTask { id: *id, facts, ..new_task("admin") }).await.unwrap());
    }
    stage.queue.enqueue_batch(&packed).await.unwrap();
    assert_eq!(stage.queue.cancel_batch(batch).await.unwrap(), 500);
    let mut client = slow_client(&stage).await;
    let pieces = subscribed(&mut client, &all).await;
    assert_eq!(pieces.len(), 1, "they fit into one message");
    assert_eq!(ids(&pieces), all.iter().map(ToString::to_string).collect());
    assert_eq!(pieces[0]["data"].get("more"), None);
    assert_eq!(client.ask("ping", json!({})).await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn very_long_tasks_are_answered_in_pieces_and_cut() {
    let stage = Stage::start().await;
    let dispatcher = stage.dispatcher().await;
    let texts = vec![text_output("x".repeat(65_000)); 16];
    let mut all = Vec::new();
    for _ in 0..40 {
        all.push(ended(&stage, &dispatcher, texts.clone()).await);
    }
    // Whole, but 40 of them are more than one piece.
    for _ in 0..80 {
        all.push(ended(&stage, &dispatcher, vec![text_output("y".repeat(60_000))]).await);
    }
    let mut client = slow_client(&stage).await;
    let pieces = subscribed(&mut client, &all).await;
    assert!(pieces.len() > 1, "one piece");
    for piece in &pieces {
        let length = piece.to_string().len();
        assert!(length < 5 << 20, "a piece of {length} bytes");
        assert_eq!(piece["requestId"], "1");
    }
    assert_eq!(ids(&pieces), all.iter().map(ToString::to_string).collect());
    let first = &pieces[0]["data"]["tasks"][0]["result"];
    assert_eq!((&first["outputs"][0]["truncated"], first["outputs"].as_array().unwrap().len()), (&json!(true), 16));
    let last = pieces.last().unwrap()["data"]["tasks"].as_array().unwrap().last().unwrap();
    assert_eq!(last["result"]["outputs"][0]["text"].as_str().unwrap().len(), 60_000, "a short one is whole");
    assert_eq!(client.ask("ping", json!({})).await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn endings_behind_a_long_answer_arrive() {
    let stage = Stage::start().await;
    let dispatcher = stage.dispatcher().await;
    let texts = vec![text_output("x".repeat(65_000)); 16];
    let ended = [ended(&stage, &dispatcher, texts.clone()).await, ended(&stage, &dispatcher, texts.clone()).await];
    let mut live = Vec::new();
    for _ in 0..5 {
        live.push(stage.submit("admin").await);
    }
    let all: Vec<TaskId> = ended.iter().chain(&live).copied().collect();
    let mut client = slow_client(&stage).await;
    client.send(json!({"type": "subscribe", "data": {"taskIds": all}})).await;
    for _ in 0..5 {
        let claim = dispatcher.begin().await;
        dispatcher.complete(claim, texts.clone()).await;
    }
    let (mut seen, expected) = (BTreeSet::new(), all.iter().map(ToString::to_string).collect::<BTreeSet<String>>());
    while seen != expected {
        let message = client.next().await.unwrap_or_else(|code| panic!("closed with {code}"));
        if message["type"] == "task_completed" {
            assert_eq!(message["data"]["result"]["outputs"][0]["truncated"], true);
            seen.insert(message["data"]["taskId"].as_str().unwrap().to_owned());
        }
    }
}
