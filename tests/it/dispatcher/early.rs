//! Outputs that are there as soon as their node has ended: on REST, on the WebSocket, over a takeover; and what becomes of them
//! when the attempt ends in another way.

use super::{
    eventually_or_log,
    front::{Act, Front},
    fronted,
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

/// Files that are there before the long node ends: three saved, three previews.
const EARLY: usize = 6;
/// Files in the end.
const ALL: usize = 9;

/// Pictures and a text at once; then, after so long, the pictures that are first in the graph.
fn staged(seconds: f64) -> Value {
    // Ten steps a second: a socket that says nothing for long is replaced, and what is said meanwhile is not heard.
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
    let task = eventually("what there is so far", WAIT_MAX, || async {
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

/// The registered files; their objects are all that the store holds, one for the same bytes.
async fn kept(stack: &Stack) -> Option<BTreeSet<String>> {
    let files = stack.client.get("/api/files?limit=200").await;
    let items = files["items"].as_array().unwrap();
    let texts = |field: &str| items.iter().map(|file| file[field].as_str().unwrap().to_owned()).collect();
    let contents: BTreeSet<String> = texts("sha256");
    (contents.len() == stack.stored_files().len()).then(|| texts("fileId"))
}

/// The whole result, in graph order, with what was told early under the ids it was told with.
async fn check_whole(stack: &Stack, early: &Value, task: &Value) {
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    let nodes: Vec<String> = outputs(task).iter().map(|output| output["nodeId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(nodes, ["9", "9", "9", "3", "3", "3", "4", "4", "4", "5"], "{task}");
    assert_eq!(outputs(task).iter().filter(|output| output["temporary"] == true).count(), 3);
    for output in outputs(task).iter().filter(|output| output["kind"] == "image") {
        assert_eq!((&output["width"], &output["height"]), (&json!(64), &json!(48)), "{output}");
        assert!(output.get("source").is_none(), "{output}");
    }
    assert!(ids(&outputs(early)).is_subset(&ids(&outputs(task))), "told, and then another");
    assert_eq!(files(task).len(), ALL);
    assert_eq!(kept(stack).await, Some(ids(&outputs(task))), "\n{}", stack.log());
}

fn fetched(front: &Front) -> usize {
    front.asked("GET /view")
}

#[tokio::test]
async fn outputs_appear_as_each_node_ends_and_nothing_is_fetched_twice() {
    let (stack, front) = fronted(&[]).await;
    let address = ([127, 0, 0, 1], stack.api.port).into();
    let token = format!("Bearer {}", stack.client.token);
    let mut socket = Client::connect(address, &[("authorization", &token)]).await.unwrap();
    let (id, early) = submit(&stack, json!({"workflow": staged(2.0)})).await;
    for link in files(&early) {
        assert!(stack.client.download(&link).await.starts_with(b"\x89PNG"), "{link}");
    }
    assert_eq!(outputs(&early).iter().filter(|output| output["text"] == "文 \"text\"").count(), 1, "{early}");
    assert_eq!(fetched(&front), EARLY);

    let (mut told, mut version, mut order) = (vec![], 0, vec![]);
    loop {
        let message = socket.until("news of it", |message| message["data"]["taskId"] == id.as_str()).await;
        let (kind, data) = (message["type"].as_str().unwrap(), &message["data"]);
        assert!(data["version"].as_u64().unwrap() > version, "{message}");
        version = data["version"].as_u64().unwrap();
        if kind == "task_output" {
            assert_eq!((&data["attempt"], &data["status"]), (&json!(1), &json!("running")), "{message}");
            let some = data["outputs"].as_array().unwrap();
            assert!(some.iter().all(|output| output["nodeId"] == data["nodeId"] && output.get("source").is_none()));
            told.extend(some.clone());
        }
        order.push(kind.to_owned());
        if kind == "task_completed" {
            assert_eq!(data["result"]["files"].as_array().unwrap().len(), ALL);
            break;
        }
    }
    assert!(order.iter().any(|kind| kind == "task_progress"), "{order:?}");
    let task = stack.client.wait_ended(&id).await;
    check_whole(&stack, &early, &task).await;
    assert_eq!(fetched(&front), ALL, "each once");
    assert_eq!(told[..EARLY + 1], outputs(&early)[..], "the same, in the order of the task");
    assert_eq!(ids(&told), ids(&outputs(&task)));
}

/// Killed with everything told, or in the midst of the first download.
#[tokio::test]
async fn a_takeover_neither_doubles_nor_loses_an_output() {
    let (mut stack, front) = fronted(&[]).await;
    let (id, early) = submit(&stack, json!({"workflow": staged(4.0)})).await;
    stack.dispatchers[0].kill();
    stack.add_dispatcher();
    let task = stack.client.wait_ended(&id).await;
    check_whole(&stack, &early, &task).await;
    assert_eq!((fetched(&front), stack.executions(&id)), (ALL, 1), "{}", stack.log());
}

#[tokio::test]
async fn a_dispatcher_killed_while_it_stores_leaves_all_to_the_next() {
    let (mut stack, front) = fronted(&[]).await;
    front.rule("GET /view", 1, Act::Hold);
    let mut workflow = staged(4.0);
    workflow["1"]["inputs"]["color"] = json!(7);
    let id = stack.client.submit(json!({"workflow": workflow})).await;
    front.wait_asked("GET /view", 1).await;
    stack.dispatchers[0].kill();
    front.release();
    stack.add_dispatcher();
    let task = stack.client.wait_ended(&id).await;
    check_whole(&stack, &json!({}), &task).await;
    assert_eq!(stack.executions(&id), 1);
}

/// The prompt does not wait for the downloads, nor its progress: the instance is free for the next.
#[tokio::test]
async fn a_slow_download_holds_nothing_up() {
    let (stack, front) = fronted(&[]).await;
    front.rule("GET /view", 1, Act::Hold);
    let id = stack.client.submit(json!({"workflow": staged(1.0)})).await;
    front.wait_asked("GET /view", 1).await;
    eventually_or_log(&stack, "the prompt ends", || stack.executions(&id) == 1 && front.asked("GET /history/") > 0)
        .await;
    let mut next = staged(1.0);
    next["1"]["inputs"]["color"] = json!(5);
    let next = stack.client.submit(json!({"workflow": next})).await;
    stack.client.wait_for(&next, &["running"]).await;
    assert_eq!(stack.client.task(&id).await["status"], "running");
    front.release();
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed");
    assert_eq!(stack.client.wait_ended(&next).await["status"], "completed");
    assert_eq!(fetched(&front), 2 * ALL);
}

#[tokio::test]
async fn what_was_told_stays_with_a_task_that_is_cancelled_or_fails() {
    let stack = Stack::start(1, 1).await;
    let (id, early) = submit(&stack, json!({"workflow": staged(60.0)})).await;
    let cancelled = stack.client.delete(&format!("/api/tasks/{id}")).await;
    assert_eq!((&cancelled["status"], outputs(&cancelled)), (&json!("cancelled"), outputs(&early)));
    stack.wait_idle().await;
    assert_eq!(kept(&stack).await, Some(ids(&outputs(&early))));

    let mut slow = staged(60.0);
    slow["1"]["inputs"]["color"] = json!(1);
    let (id, early) = submit(&stack, json!({"workflow": slow, "timeoutMs": 5_000})).await;
    let failed = stack.client.wait_ended(&id).await;
    assert_eq!((&failed["error"]["type"], outputs(&failed)), (&json!("run_timeout"), outputs(&early)), "{failed}");

    let mut broken = staged(2.0);
    broken["1"]["inputs"]["color"] = json!(2);
    broken["2"]["inputs"]["fail_at"] = json!(15);
    let (id, early) = submit(&stack, json!({"workflow": broken})).await;
    let failed = stack.client.wait_ended(&id).await;
    assert_eq!(
        (&failed["error"]["type"], ids(&outputs(&failed))),
        (&json!("node_error"), ids(&outputs(&early))),
        "{failed}"
    );
    assert_eq!(outputs(&failed).len(), EARLY + 1);
    assert_eq!(kept(&stack).await.map(|files| files.len()), Some(3 * EARLY));
}

/// The instance dies: what the attempt made goes with it, and the next one's is all there is.
#[tokio::test]
async fn a_given_up_attempt_leaves_no_file() {
    let stack = Stack::start(2, 1).await;
    let (id, early) = submit(&stack, json!({"workflow": staged(3.0)})).await;
    let instance = early["instanceId"].as_str().unwrap();
    stack.sims.iter().find(|sim| sim.addr().to_string() == instance).unwrap().kill().await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    assert!(ids(&outputs(&task)).is_disjoint(&ids(&outputs(&early))));
    assert_eq!(files(&task).len(), ALL);
    eventually("the first attempt's files are deleted", WAIT_MAX, || async {
        (kept(&stack).await == Some(ids(&outputs(&task)))).then_some(())
    })
    .await;
    assert_eq!(stack.client.get("/api/files").await["total"], ALL);
}

/// An instance without a cache leaves out of its history what it told of [protocol §9].
#[tokio::test]
async fn what_the_history_leaves_out_is_kept() {
    let (stack, front) = fronted(&[]).await;
    front.rule(
        "GET /history/",
        usize::MAX,
        Act::Edit(|text| {
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
    assert_eq!(nodes, ["9", "9", "9", "3", "3", "3", "5", "4", "4", "4"], "{task}");
    assert_eq!(kept(&stack).await, Some(ids(&outputs(&task))));
}

/// No word of any node comes over the socket: everything is there in the end.
#[tokio::test]
async fn without_a_sign_the_end_tells_all() {
    let stack = super::stack_with(|faults| faults.ws_lose = vec!["executed".to_owned()]).await;
    let id = stack.client.submit(json!({"workflow": staged(0.5)})).await;
    let task = stack.client.wait_ended(&id).await;
    check_whole(&stack, &json!({}), &task).await;
    // A file that cannot be had at once is had at the end.
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
    assert_eq!(kept(&stack).await.map(|files| files.len()), Some(2 * ALL));
}
