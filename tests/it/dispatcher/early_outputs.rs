//! Outputs are available as soon as their node has ended: over REST, over the WebSocket and across a takeover. They are
//! kept or deleted as the attempt ends.

use super::{
    eventually_or_log,
    http_proxy::{Action, HttpProxy},
    proxied,
};
use crate::{
    support::{
        eventually,
        stack::{Stack, WAIT_MAX},
    },
    ws::client::Client,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// Files available before the long node ends: three saved, three previews.
const EARLY: usize = 6;
/// Files at the end.
const ALL: usize = 9;

/// Graph that makes pictures and a text at once and, after `seconds`, the pictures that come first in the graph.
fn staged(seconds: f64) -> Value {
    // Ten steps a second: a socket that is silent for long is replaced, and its events meanwhile are lost.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
    let steps = (seconds * 10.0) as u32;
    json!({
        "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "late"}},
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 3, "color": 3_368_601}},
        "2": {"class_type": "TestSteps", "inputs": {"steps": steps, "seconds": seconds, "image": ["1", 0], "seed": 1}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "early"}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "5": {"class_type": "PreviewAny", "inputs": {"source": "文 \"text\""}}
    })
}

async fn submit(stack: &Stack, body: Value) -> (String, Value) {
    let id = stack.client.submit(body).await;
    let task = eventually("the early outputs", WAIT_MAX, || async {
        let task = stack.client.task(&id).await;
        let is_there = files(&task).len() == EARLY && outputs(&task).len() == EARLY + 1;
        assert!(is_there || task["finishedAt"].is_null(), "{task}\n{}", stack.log());
        is_there.then_some(task)
    })
    .await;
    assert_eq!(task["status"], "running", "{task}\n{}", stack.log());
    (id, task)
}

fn outputs(task: &Value) -> Vec<Value> {
    task["result"]["outputs"].as_array().cloned().unwrap_or_default()
}

fn files(task: &Value) -> Vec<String> {
    let links = task["result"]["files"].as_array().cloned().unwrap_or_default();
    links.iter().map(|link| link.as_str().unwrap().to_owned()).collect()
}

fn ids(outputs: &[Value]) -> BTreeSet<String> {
    outputs.iter().filter_map(|output| output["fileId"].as_str()).map(str::to_owned).collect()
}

/// The registered files, if the store holds exactly their objects (one per content).
async fn kept_files(stack: &Stack) -> Option<BTreeSet<String>> {
    let files = stack.client.get("/api/files?limit=200").await;
    let items = files["items"].as_array().unwrap();
    let texts = |field: &str| items.iter().map(|file| file[field].as_str().unwrap().to_owned()).collect();
    let contents: BTreeSet<String> = texts("sha256");
    (contents.len() == stack.stored_files().len()).then(|| texts("fileId"))
}

/// Asserts that the result is complete, in graph order, and keeps the early outputs with their ids.
async fn check_complete(stack: &Stack, early: &Value, task: &Value) {
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    let nodes: Vec<String> = outputs(task).iter().map(|output| output["nodeId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(nodes, ["9", "9", "9", "3", "3", "3", "4", "4", "4", "5"], "{task}");
    assert_eq!(outputs(task).iter().filter(|output| output["temporary"] == true).count(), 3);
    for output in outputs(task).iter().filter(|output| output["kind"] == "image") {
        assert_eq!((&output["width"], &output["height"]), (&json!(64), &json!(48)), "{output}");
        assert!(output.get("source").is_none(), "{output}");
    }
    assert!(ids(&outputs(early)).is_subset(&ids(&outputs(task))), "an early output was replaced");
    assert_eq!(files(task).len(), ALL);
    // Duplicate bytes are deleted just after the end.
    let named = ids(&outputs(task));
    eventually("the files of the task are kept", WAIT_MAX, || async {
        (kept_files(stack).await.as_ref() == Some(&named)).then_some(())
    })
    .await;
}

fn downloads(proxy: &HttpProxy) -> usize {
    proxy.requests("GET /view")
}

#[tokio::test]
async fn outputs_appear_as_each_node_ends_and_each_file_is_downloaded_once() {
    let (stack, proxy) = proxied(&[]).await;
    let address = ([127, 0, 0, 1], stack.api.port).into();
    let token = format!("Bearer {}", stack.client.token);
    let mut socket = Client::connect(address, &[("authorization", &token)]).await.unwrap();
    let (id, early) = submit(&stack, json!({"workflow": staged(2.0)})).await;
    for link in files(&early) {
        assert!(stack.client.download(&link).await.starts_with(b"\x89PNG"), "{link}");
    }
    assert_eq!(outputs(&early).iter().filter(|output| output["text"] == "文 \"text\"").count(), 1, "{early}");
    assert_eq!(downloads(&proxy), EARLY);

    let (mut published, mut version, mut order) = (vec![], 0, vec![]);
    loop {
        let message = socket.until("an event of the task", |message| message["data"]["taskId"] == id.as_str()).await;
        let (kind, data) = (message["type"].as_str().unwrap(), &message["data"]);
        assert!(data["version"].as_u64().unwrap() > version, "{message}");
        version = data["version"].as_u64().unwrap();
        if kind == "task_output" {
            assert_eq!((&data["attempt"], &data["status"]), (&json!(1), &json!("running")), "{message}");
            let some = data["outputs"].as_array().unwrap();
            assert!(some.iter().all(|output| output["nodeId"] == data["nodeId"] && output.get("source").is_none()));
            published.extend(some.clone());
        }
        order.push(kind.to_owned());
        if kind == "task_completed" {
            assert_eq!(data["result"]["files"].as_array().unwrap().len(), ALL);
            break;
        }
    }
    assert!(order.iter().any(|kind| kind == "task_progress"), "{order:?}");
    let task = stack.client.wait_ended(&id).await;
    check_complete(&stack, &early, &task).await;
    assert_eq!(downloads(&proxy), ALL, "each once");
    assert_eq!(published[..EARLY + 1], outputs(&early)[..], "published in the order of the task");
    // Outputs stored at the end of the prompt come with it.
    assert!(ids(&published).is_subset(&ids(&outputs(&task))));
}

/// The dispatcher is killed after all early outputs are published.
#[tokio::test]
async fn a_takeover_neither_duplicates_nor_loses_an_output() {
    let (mut stack, proxy) = proxied(&[]).await;
    let (id, early) = submit(&stack, json!({"workflow": staged(4.0)})).await;
    stack.dispatchers[0].kill();
    stack.add_dispatcher();
    let task = stack.client.wait_ended(&id).await;
    check_complete(&stack, &early, &task).await;
    assert_eq!((downloads(&proxy), stack.executions(&id)), (ALL, 1), "{}", stack.log());
}

#[tokio::test]
async fn outputs_of_a_dispatcher_killed_during_a_download_are_stored_by_the_next() {
    let (mut stack, proxy) = proxied(&[]).await;
    proxy.rule("GET /view", 1, Action::Hold);
    let mut workflow = staged(4.0);
    workflow["1"]["inputs"]["color"] = json!(7);
    let id = stack.client.submit(json!({"workflow": workflow})).await;
    proxy.wait_requests("GET /view", 1).await;
    stack.dispatchers[0].kill();
    proxy.release();
    stack.add_dispatcher();
    let task = stack.client.wait_ended(&id).await;
    check_complete(&stack, &json!({}), &task).await;
    assert_eq!(stack.executions(&id), 1);
}

/// Neither the end of the prompt nor the next task waits for downloads.
#[tokio::test]
async fn a_slow_download_blocks_neither_its_prompt_nor_the_next_task() {
    let (stack, proxy) = proxied(&[]).await;
    proxy.rule("GET /view", 1, Action::Hold);
    let id = stack.client.submit(json!({"workflow": staged(1.0)})).await;
    proxy.wait_requests("GET /view", 1).await;
    eventually_or_log(&stack, "the prompt ends", || stack.executions(&id) == 1 && proxy.requests("GET /history/") > 0)
        .await;
    let mut next = staged(1.0);
    next["1"]["inputs"]["color"] = json!(5);
    let next = stack.client.submit(json!({"workflow": next})).await;
    stack.client.wait_for(&next, &["running"]).await;
    assert_eq!(stack.client.task(&id).await["status"], "running");
    proxy.release();
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed");
    assert_eq!(stack.client.wait_ended(&next).await["status"], "completed");
    assert_eq!(downloads(&proxy), 2 * ALL);
}

#[tokio::test]
async fn early_outputs_stay_with_a_cancelled_task() {
    let stack = Stack::start(1, 1).await;
    let (id, early) = submit(&stack, json!({"workflow": staged(60.0)})).await;
    let cancelled = stack.client.delete(&format!("/api/tasks/{id}")).await;
    assert_eq!((&cancelled["status"], outputs(&cancelled)), (&json!("cancelled"), outputs(&early)));
    stack.wait_idle().await;
    assert_eq!(kept_files(&stack).await, Some(ids(&outputs(&early))));
}

#[tokio::test]
async fn early_outputs_stay_with_a_task_that_timed_out() {
    let stack = Stack::start(1, 1).await;
    let (id, early) = submit(&stack, json!({"workflow": staged(60.0), "timeoutMs": 5_000})).await;
    let failed = stack.client.wait_ended(&id).await;
    assert_eq!((&failed["error"]["type"], outputs(&failed)), (&json!("run_timeout"), outputs(&early)), "{failed}");
    assert_eq!(kept_files(&stack).await.map(|files| files.len()), Some(EARLY));
}

#[tokio::test]
async fn early_outputs_stay_with_a_task_whose_node_failed() {
    let stack = Stack::start(1, 1).await;
    let mut broken = staged(2.0);
    broken["2"]["inputs"]["fail_at"] = json!(15);
    let (id, early) = submit(&stack, json!({"workflow": broken})).await;
    let failed = stack.client.wait_ended(&id).await;
    assert_eq!(
        (&failed["error"]["type"], ids(&outputs(&failed))),
        (&json!("node_error"), ids(&outputs(&early))),
        "{failed}"
    );
    assert_eq!(outputs(&failed).len(), EARLY + 1);
    assert_eq!(kept_files(&stack).await.map(|files| files.len()), Some(EARLY));
}

/// The instance dies: the files of its attempt are deleted, and the next attempt makes all anew.
#[tokio::test]
async fn files_of_a_lost_attempt_are_deleted() {
    let stack = Stack::start(2, 1).await;
    let (id, early) = submit(&stack, json!({"workflow": staged(3.0)})).await;
    let instance = early["instanceId"].as_str().unwrap();
    stack.sims.iter().find(|sim| sim.addr().to_string() == instance).unwrap().kill().await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    assert!(ids(&outputs(&task)).is_disjoint(&ids(&outputs(&early))));
    assert_eq!(files(&task).len(), ALL);
    eventually("the first attempt's files are deleted", WAIT_MAX, || async {
        (kept_files(&stack).await == Some(ids(&outputs(&task)))).then_some(())
    })
    .await;
    assert_eq!(stack.client.get("/api/files").await["total"], ALL);
}

/// An instance without a cache announces outputs that its history omits [protocol §9].
#[tokio::test]
async fn outputs_missing_from_the_history_are_kept() {
    let (stack, proxy) = proxied(&[]).await;
    proxy.rule(
        "GET /history/",
        usize::MAX,
        Action::Edit(|text| {
            let mut history: Value = serde_json::from_str(&text).unwrap();
            for entry in history.as_object_mut().unwrap().values_mut() {
                entry["outputs"].as_object_mut().unwrap().remove("4");
            }
            history.to_string()
        }),
    );
    let (id, _) = submit(&stack, json!({"workflow": staged(1.0)})).await;
    let task = stack.client.wait_ended(&id).await;
    let nodes: Vec<String> =
        outputs(&task).iter().map(|output| output["nodeId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(nodes, ["9", "9", "9", "3", "3", "3", "4", "4", "4", "5"], "{task}");
    assert_eq!(kept_files(&stack).await, Some(ids(&outputs(&task))));
}

/// No event of any node arrives: all outputs are collected at the end.
#[tokio::test]
async fn without_events_all_outputs_are_stored_at_the_end() {
    let stack = super::stack_with(|faults| faults.ws_lose = vec!["executed".to_owned()]).await;
    let id = stack.client.submit(json!({"workflow": staged(0.5)})).await;
    let task = stack.client.wait_ended(&id).await;
    check_complete(&stack, &json!({}), &task).await;
    // An output that cannot be downloaded early is downloaded at the end.
    stack.sims[0].set(|faults| {
        faults.ws_lose = vec![];
        faults.view_404 = shuzhiren::sim::Times::Next(2);
    });
    let mut workflow = staged(0.5);
    workflow["1"]["inputs"]["color"] = json!(9);
    let id = stack.client.submit(json!({"workflow": workflow})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["attempt"], files(&task).len()), (&json!(1), ALL), "{task}");
    tokio::time::timeout(Duration::from_secs(5), stack.wait_idle()).await.unwrap();
    assert_eq!(kept_files(&stack).await.map(|files| files.len()), Some(2 * ALL));
}
