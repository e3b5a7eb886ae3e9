//! The whole system as users see it: real processes, real signals. Executions are checked in the stand-ins' own logs.

mod bucket;
mod full_disk;
mod keep_bytes;
mod low_disk;
mod node_keys;
mod workflows_and_batches;

use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

/// A logged-in socket that watches everything.
struct Watcher(tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>);

impl Watcher {
    async fn new(stack: &Stack) -> Self {
        let url = format!("ws://127.0.0.1:{}/ws", stack.api.port);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let login = json!({"type": "auth", "data": {"token": stack.client.token}, "requestId": "1"});
        socket.send(Message::text(login.to_string())).await.unwrap();
        Self(socket)
    }

    async fn next(&mut self) -> Value {
        loop {
            let message =
                tokio::time::timeout(WAIT_MAX, self.0.next()).await.expect("a message in time").unwrap().unwrap();
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// Messages about a task up to its ending.
    async fn until_ended(&mut self, task: &str) -> Vec<Value> {
        let mut heard = Vec::new();
        loop {
            let message = self.next().await;
            if message["data"]["taskId"] == task {
                let ended = matches!(message["type"].as_str(), Some("task_completed" | "task_failed"));
                heard.push(message);
                if ended {
                    return heard;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_task_becomes_files_and_the_socket_reports_it() {
    let stack = Stack::start(2, 1).await;
    let mut watcher = Watcher::new(&stack).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(5, 0.6), "params": {"2.seed": 7}})).await;
    let heard = watcher.until_ended(&id).await;

    let (last, progress) = heard.split_last().unwrap();
    assert_eq!(last["type"], "task_completed");
    let is_progress = |message: &&Value| message["type"] == "task_progress";
    let percents: Vec<u64> =
        progress.iter().filter(is_progress).map(|message| message["data"]["progress"].as_u64().unwrap()).collect();
    assert!(percents.is_sorted(), "progress never falls: {percents:?}");
    assert!(percents.iter().any(|percent| (1..100).contains(percent)), "something in between is seen: {percents:?}");

    let task = stack.client.task(&id).await;
    assert_eq!(task["status"], "completed");
    assert_eq!(task["progress"], 100);
    assert_eq!(task["attempt"], 1);
    assert_eq!(task["result"]["files"], last["data"]["result"]["files"]);
    let output = &task["result"]["outputs"][0];
    assert_eq!((output["nodeId"].as_str(), output["kind"].as_str()), (Some("3"), Some("image")));
    let bytes = stack.client.download(task["result"]["files"][0].as_str().unwrap()).await;
    assert!(bytes.starts_with(b"\x89PNG"));
    assert_eq!(bytes.len() as u64, output["sizeBytes"].as_u64().unwrap());
    assert_eq!(stack.executions(&id), 1);
    stack.wait_idle().await;
}

#[tokio::test]
async fn the_role_api_serves_the_page() {
    let stack = Stack::start(1, 0).await;
    let base = format!("http://127.0.0.1:{}", stack.api.port);
    let index = reqwest::get(&base).await.unwrap();
    assert_eq!(
        (index.status().as_u16(), &index.headers()["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    let index = index.text().await.unwrap();
    let script = index.split("type=\"module\" src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let script = reqwest::get(format!("{base}/{script}")).await.unwrap();
    assert!(script.headers()["cache-control"].to_str().unwrap().ends_with("immutable"));
    assert!(script.text().await.unwrap().contains("import "));
}

#[tokio::test]
async fn two_slots_never_exceed_the_fleet_and_all_tasks_end() {
    let stack = Stack::start(3, 2).await;
    let mut ids = Vec::new();
    for seed in 0..60 {
        ids.push(stack.client.submit(json!({"workflow": workflow::quick(seed)})).await);
    }
    for id in &ids {
        assert_eq!(stack.client.wait_ended(id).await["status"], "completed");
        assert_eq!(stack.executions(id), 1);
    }
    let list = stack.client.get("/api/tasks?status=completed&limit=200").await;
    assert_eq!(list["total"], 60);
    stack.wait_idle().await;
}

#[tokio::test]
async fn the_prompt_of_a_killed_dispatcher_is_continued_by_another() {
    let mut stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(40, 4.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.add_dispatcher();
    stack.dispatchers[0].kill();
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    assert_eq!(task["attempt"], 1, "a takeover uses no attempt");
    assert_eq!(stack.executions(&id), 1, "{}", stack.log());
}

#[tokio::test]
async fn a_stopped_dispatcher_hands_over_within_two_seconds() {
    let mut stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(60, 6.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.add_dispatcher();
    let stopped = tokio::time::Instant::now();
    assert_eq!(stack.dispatchers[0].terminate(Duration::from_secs(2)).await, Some(0));
    stack.wait_instances_up(1).await;
    assert!(stopped.elapsed() < Duration::from_secs(4));
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((task["status"].as_str(), task["attempt"].as_u64()), (Some("completed"), Some(1)), "{task}");
    assert_eq!(stack.executions(&id), 1);
}

#[tokio::test]
async fn a_paused_dispatcher_does_no_harm_when_it_wakes() {
    let mut stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(120, 12.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.add_dispatcher();
    stack.dispatchers[0].signal("-STOP");
    // Another dispatcher has taken over once the task's progress continues, in the middle of the node.
    let before = stack.client.task(&id).await["progress"].as_u64();
    let gone_on = eventually("progress through the new owner", WAIT_MAX, || async {
        let task = stack.client.task(&id).await;
        (task["progress"].as_u64() > before).then_some(task)
    })
    .await;
    assert_eq!(gone_on["status"], "running", "nothing was told before the end: {gone_on}");
    stack.dispatchers[0].signal("-CONT");
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((task["status"].as_str(), task["attempt"].as_u64()), (Some("completed"), Some(1)), "{task}");
    assert_eq!(stack.executions(&id), 1);
    let next = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    assert_eq!(stack.client.wait_ended(&next).await["status"], "completed");
    stack.wait_idle().await;
}

#[tokio::test]
async fn cancelling_frees_the_instance_and_is_final() {
    let stack = Stack::start(1, 1).await;
    let running = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    let waiting = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0), "params": {"2.seed": 9}})).await;
    stack.client.wait_for(&running, &["running"]).await;
    let answer = stack.client.delete(&format!("/api/tasks/{waiting}")).await;
    assert_eq!(answer["status"], "cancelled");
    let answer = stack.client.delete(&format!("/api/tasks/{running}")).await;
    assert_eq!(answer["status"], "cancelled");
    let cancelled = tokio::time::Instant::now();
    stack.wait_idle().await;
    assert!(cancelled.elapsed() < Duration::from_secs(2), "the GPU is free within 2 s");
    assert_eq!(stack.executions(&waiting), 0);
    let (status, envelope) = stack.client.call(Method::DELETE, &format!("/api/tasks/{running}"), None).await;
    assert!(status == 200 || status == 409, "{envelope}");
    assert_eq!(stack.client.task(&running).await["status"], "cancelled");
    let next = stack.client.submit(json!({"workflow": workflow::quick(3)})).await;
    assert_eq!(stack.client.wait_ended(&next).await["status"], "completed");
}

#[tokio::test]
async fn a_bad_graph_fails_at_once_and_names_the_node() {
    let stack = Stack::start(1, 1).await;
    // Only the instance can know that the file is missing.
    let unknown = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "missing.png"}},
                         "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}});
    let forced = json!({"1.image": {"$force": "missing.png"}});
    let id = stack.client.submit(json!({"workflow": unknown, "params": forced})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "invalid_workflow", "{task}");
    assert!(task["error"]["message"].as_str().unwrap().contains("missing.png"), "{task}");
    assert_eq!(task["attempt"], 1);

    let mut failing = workflow::steps(4, 0.2);
    failing["2"]["inputs"]["fail_at"] = json!(2);
    let id = stack.client.submit(json!({"workflow": failing})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(
        (task["error"]["type"].as_str(), task["error"]["nodeId"].as_str()),
        (Some("node_error"), Some("2")),
        "{task}"
    );
    assert_eq!(task["error"]["nodeType"], "TestSteps");
    assert_eq!(stack.executions(&id), 1, "a node's error is not tried again");

    let next = stack.client.submit(json!({"workflow": workflow::quick(4)})).await;
    assert_eq!(stack.client.wait_ended(&next).await["status"], "completed", "nobody else is hurt");
}

#[tokio::test]
async fn out_of_memory_is_tried_elsewhere() {
    let stack = Stack::start(2, 1).await;
    let mut hungry = workflow::steps(2, 0.1);
    hungry["2"]["inputs"]["fail_at"] = json!(1);
    hungry["2"]["inputs"]["oom"] = json!(true);
    let id = stack.client.submit(json!({"workflow": hungry, "maxAttempts": 2})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "out_of_memory", "{task}");
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{task}");
    assert_ne!(attempts[0]["instanceId"], attempts[1]["instanceId"], "the second try is elsewhere: {task}");
}

#[tokio::test]
async fn a_disabled_instance_completes_its_run_and_takes_no_new_task() {
    let stack = Stack::start(1, 1).await;
    let instance = stack.sims[0].addr().to_string();
    let running = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0)})).await;
    stack.client.wait_for(&running, &["running"]).await;
    let shown = stack.client.put(&format!("/api/instances/{instance}"), json!({"enabled": false})).await;
    assert_eq!(shown["enabled"], false);
    let waiting = stack.client.submit(json!({"workflow": workflow::quick(5)})).await;
    assert_eq!(stack.client.wait_ended(&running).await["status"], "completed");
    // The task could have been claimed: the instance is idle and was checked twice since.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let task = stack.client.task(&waiting).await;
    assert_eq!(task["status"], "pending");
    assert!(task["waitingFor"].as_str().is_some_and(|why| why.contains("disabled")), "{task}");
    stack.client.put(&format!("/api/instances/{instance}"), json!({"enabled": true})).await;
    assert_eq!(stack.client.wait_ended(&waiting).await["status"], "completed");
}

#[tokio::test]
async fn an_instance_that_restarts_loses_no_task() {
    let stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.sims[0].restart().await.unwrap();
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    assert_eq!(task["attempt"], 2);
    stack.wait_idle().await;
}

#[tokio::test]
async fn an_uploaded_file_reaches_the_instance() {
    let stack = Stack::start(1, 1).await;
    let made = stack.client.submit(json!({"workflow": workflow::quick(6)})).await;
    let made = stack.client.wait_ended(&made).await;
    let picture = stack.client.download(made["result"]["files"][0].as_str().unwrap()).await;
    let file = stack.client.upload("图 1.png", picture).await;
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}}
    });
    let params = json!({"1.image": {"$file": file["fileId"]}});
    let id = stack.client.submit(json!({"workflow": graph, "params": params})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
}

#[tokio::test]
async fn a_new_config_takes_effect_without_a_restart() {
    let stack = Stack::start(2, 1).await;
    let ports: Vec<u16> = stack.sims.iter().map(|sim| sim.addr().port()).collect();
    let one = json!({"servers": [{"id": "server-1", "name": "主服务器", "ip": "127.0.0.1", "ports": [ports[0]]}]});
    stack.client.put("/api/config", one).await;
    assert_eq!(stack.client.get("/api/instances").await.as_array().unwrap().len(), 1);
    let both = json!({"servers": [{"id": "server-1", "name": "主服务器", "ip": "127.0.0.1", "ports": ports}]});
    stack.client.put("/api/config", both).await;
    stack.wait_instances_up(2).await;
}

#[tokio::test]
async fn redis_killed_under_load_loses_no_running_task() {
    let mut stack = Stack::start(2, 1).await;
    let mut ids = Vec::new();
    for seed in 0..4 {
        ids.push(stack.client.submit(json!({"workflow": workflow::steps(20, 3.0), "params": {"2.seed": seed}})).await);
    }
    stack.client.wait_for(&ids[0], &["running"]).await;
    // Writes acknowledged more than two seconds ago are on disk (`everysec`).
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    stack.redis.kill();
    let asked = tokio::time::Instant::now();
    let (status, envelope) = stack.client.call(Method::GET, "/api/tasks", None).await;
    assert_eq!(status, 503, "{envelope}");
    assert!(asked.elapsed() < Duration::from_secs(5));
    stack.redis.launch();
    eventually("the api is back", WAIT_MAX, || async {
        (stack.client.call(Method::GET, "/api/tasks", None).await.0 == 200).then_some(())
    })
    .await;
    for id in &ids {
        let task = stack.client.wait_ended(id).await;
        assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
        assert_eq!(stack.executions(id), 1, "{}", stack.log());
    }
    stack.wait_idle().await;
}
