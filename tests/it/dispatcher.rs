//! Sick instances: what each fault leads to, judged by what the stand-ins executed. Points of the protocol's §17 in brackets.

use crate::support::{
    eventually,
    stack::{PATIENCE, Stack, workflow},
};
use serde_json::{Value, json};
use shuzhiren::sim::{Faults, Happened, Times};
use std::time::Duration;

/// One stand-in with these faults, one dispatcher.
async fn stack_with(faults: impl FnOnce(&mut Faults)) -> Stack {
    let stack = Stack::start(1, 1).await;
    stack.sims[0].set(faults);
    stack
}

async fn completes_once(stack: &Stack, body: Value) -> Value {
    let id = stack.client.submit(body).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    assert_eq!(stack.executions(&id), 1, "{}", stack.log());
    task
}

/// [2] A 500, or a cut connection, though the prompt was queued: looked for, not sent again.
#[tokio::test]
async fn an_ambiguous_submit_runs_once() {
    let queued_500 = stack_with(|faults| faults.prompt_500_queued = Times::Next(1)).await;
    let task = completes_once(&queued_500, json!({"workflow": workflow::steps(4, 1.0)})).await;
    assert_eq!(task["attempt"], 1);
    let cut = stack_with(|faults| faults.prompt_drop_queued = Times::Next(1)).await;
    let task = completes_once(&cut, json!({"workflow": workflow::steps(4, 1.0)})).await;
    assert_eq!(task["attempt"], 1);
}

/// [2] A cut connection before anything was queued is sent once more; a 500 is tried again elsewhere, later.
#[tokio::test]
async fn a_submit_that_never_arrived_is_repeated() {
    let stack = stack_with(|faults| faults.prompt_drop = Times::Next(1)).await;
    let task = completes_once(&stack, json!({"workflow": workflow::quick(1)})).await;
    assert_eq!(task["attempt"], 1);
    let stack = stack_with(|faults| faults.prompt_500 = Times::Next(1)).await;
    let task = completes_once(&stack, json!({"workflow": workflow::quick(2)})).await;
    assert_eq!(task["attempt"], 2);
    assert_eq!(task["attempts"][0]["outcome"], "instance_unreachable");
}

/// [4, 14a] A mute socket, a lost ending, a history entry that comes late: polling tells the truth.
#[tokio::test]
async fn a_prompt_is_followed_without_its_socket() {
    let mute = stack_with(|faults| faults.ws_stall = true).await;
    completes_once(&mute, json!({"workflow": workflow::steps(4, 1.0)})).await;
    let refused = stack_with(|faults| faults.ws_refuse = Times::Always).await;
    completes_once(&refused, json!({"workflow": workflow::steps(4, 1.0)})).await;
    let late = stack_with(|faults| {
        faults.history_late_ms = 400;
        faults.ws_garbage = Times::Next(3);
    })
    .await;
    completes_once(&late, json!({"workflow": workflow::quick(3)})).await;
}

/// [7] 200 with node errors: the whole task fails, and the good half does not run on.
#[tokio::test]
async fn a_partly_accepted_graph_is_taken_back() {
    let stack = stack_with(|faults| faults.prompt_partial = Times::Next(1)).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(100, 10.0)})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "invalid_workflow", "{task}");
    let succeeded = stack.sims[0].log().iter().filter(|entry| entry.event == Happened::Succeeded).count();
    assert_eq!(succeeded, 0);
    completes_once(&stack, json!({"workflow": workflow::quick(4)})).await;
}

/// [9] Outputs lie in a folder of the task's own.
#[tokio::test]
async fn a_prefix_carries_the_task() {
    let stack = Stack::start(1, 1).await;
    let task = completes_once(&stack, json!({"workflow": workflow::quick(5)})).await;
    let submitted = stack.sims[0].log().into_iter().find(|entry| entry.event == Happened::Submitted).unwrap();
    assert_eq!(submitted.prefixes, [format!("{}/quick", task["id"].as_str().unwrap())]);
}

/// [10] A file that is gone at /view is made anew; one that was cut off is fetched by another try.
#[tokio::test]
async fn a_missing_output_is_never_a_dead_link() {
    for fault in ["404", "truncated"] {
        let stack = stack_with(|faults| match fault {
            "404" => faults.view_404 = Times::Next(1),
            _ => faults.view_truncate = Times::Next(1),
        })
        .await;
        let id = stack.client.submit(json!({"workflow": workflow::quick(6)})).await;
        let task = stack.client.wait_ended(&id).await;
        assert_eq!(task["status"], "completed", "{fault}: {task}");
        assert_eq!(task["attempts"][0]["outcome"], "output_unavailable");
        assert!(stack.client.download(task["result"]["files"][0].as_str().unwrap()).await.starts_with(b"\x89PNG"));
    }
    let stack = stack_with(|faults| faults.view_404 = Times::Always).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(7), "maxAttempts": 2})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((task["status"].as_str(), task["error"]["type"].as_str()), (Some("failed"), Some("output_unavailable")));
    assert!(task["result"].is_null(), "{task}");
}

/// [12] An interrupt that is lost is repeated; other clients' prompts are never touched.
#[tokio::test]
async fn a_cancel_is_repeated_and_hits_only_its_own() {
    let stack = stack_with(|faults| faults.interrupt_lost = Times::Next(2)).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    let stranger = json!({"prompt": workflow::steps(3, 0.3), "prompt_id": "00000000-0000-4000-8000-000000000001"});
    let posted = reqwest::Client::new().post(format!("{}/prompt", stack.sims[0].url())).json(&stranger).send().await;
    assert_eq!(posted.unwrap().status(), 200);
    stack.client.delete(&format!("/api/tasks/{id}")).await;
    eventually("the stranger's prompt has run", PATIENCE, || async {
        let log = stack.sims[0].log();
        log.iter()
            .any(|entry| {
                entry.event == Happened::Succeeded && entry.prompt_id == "00000000-0000-4000-8000-000000000001"
            })
            .then_some(())
    })
    .await;
    assert_eq!(stack.client.task(&id).await["status"], "cancelled");
    assert!(
        !stack.sims[0].log().iter().any(|entry| entry.event == Happened::InterruptAsked && entry.prompt_id.is_empty())
    );
    stack.wait_quiet().await;
}

/// [14b] A worker that died behind a healthy HTTP front gets nothing new; the task goes elsewhere.
#[tokio::test]
async fn a_zombie_is_noticed_and_taken_out() {
    let stack = Stack::start(2, 1).await;
    for sim in &stack.sims {
        sim.set(|faults| faults.zombie = Times::Next(1));
    }
    // The first to take a prompt becomes the zombie; the other is healed before it can.
    let id = stack.client.submit(json!({"workflow": workflow::quick(8)})).await;
    let submitted = |n: usize| stack.sims[n].log().iter().any(|entry| entry.event == Happened::Submitted);
    eventually("a prompt is submitted", PATIENCE, || async { (submitted(0) || submitted(1)).then_some(()) }).await;
    let (sick, well) = if submitted(0) { (0, 1) } else { (1, 0) };
    stack.sims[well].set(|faults| faults.zombie = Times::Never);
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    assert_eq!(task["instanceId"], stack.sims[well].addr().to_string());
    assert_eq!(stack.executions(&id), 1);
    let shown = stack.client.get(&format!("/api/instances/{}", stack.sims[sick].addr())).await;
    assert!(shown["lastError"].as_str().is_some_and(|why| why.contains("restart")), "{shown}");
}

/// [14c] An instance that hangs is down after its misses, and its task is run elsewhere; back again, it is used again.
#[tokio::test]
async fn a_hanging_instance_loses_its_task_to_another() {
    let stack = Stack::start(2, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(30, 3.0)})).await;
    let task = stack.client.wait_for(&id, &["running"]).await;
    let sick = stack.sims.iter().position(|sim| task["instanceId"] == sim.addr().to_string()).unwrap();
    stack.sims[sick].set(|faults| faults.hang = true);
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(
        (task["status"].as_str(), task["attempt"].as_u64()),
        (Some("completed"), Some(2)),
        "{task}\n{}",
        stack.log()
    );
    assert_ne!(task["instanceId"], stack.sims[sick].addr().to_string());
    let shown = stack.client.get(&format!("/api/instances/{}", stack.sims[sick].addr())).await;
    assert_eq!((shown["alive"].as_bool(), shown["phase"].as_str()), (Some(false), Some("down")), "{shown}");
    stack.sims[sick].set(|faults| faults.hang = false);
    stack.wait_alive(2).await;
}

/// [14b] A prompt that shows no sign of life is given up in time.
#[tokio::test]
async fn a_stuck_prompt_ends_as_stalled() {
    let stack = Stack::start(1, 1).await;
    let stuck = json!({"1": {"class_type": "TestSleep", "inputs": {"seconds": 60.0, "seed": 1}}});
    let id = stack.client.submit(json!({"workflow": stuck, "maxAttempts": 1})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "stalled", "{task}\n{}", stack.log());
}

/// Limits of the task itself.
#[tokio::test]
async fn time_limits_of_a_task_hold() {
    let stack = Stack::start(1, 1).await;
    let slow = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0), "timeoutMs": 1000})).await;
    let late = json!({"workflow": workflow::quick(9), "startBy": in_one_second()});
    let waiting = stack.client.submit(late).await;
    assert_eq!(stack.client.wait_ended(&slow).await["error"]["type"], "run_timeout");
    let task = stack.client.wait_ended(&waiting).await;
    assert!(task["status"] == "completed" || task["error"]["type"] == "start_timeout", "{task}");
    stack.wait_quiet().await;
    assert_eq!(stack.executions(&slow), 1);
}

fn in_one_second() -> String {
    let at = jiff::Timestamp::now() + Duration::from_secs(1);
    format!("{at:.3}")
}

/// [20] The instance's history keeps nothing of ours.
#[tokio::test]
async fn history_is_left_clean() {
    let stack = Stack::start(1, 1).await;
    completes_once(&stack, json!({"workflow": workflow::quick(10)})).await;
    eventually("an empty history", PATIENCE, || async {
        let history: Value =
            reqwest::get(format!("{}/history", stack.sims[0].url())).await.unwrap().json().await.unwrap();
        (history == json!({})).then_some(())
    })
    .await;
}

/// A workflow that takes its instance down does so twice at most.
#[tokio::test]
async fn a_poisonous_workflow_does_not_take_the_fleet_down() {
    let stack = Stack::start(3, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0), "maxAttempts": 10})).await;
    for _ in 0..3 {
        let task = eventually("it runs somewhere, or has ended", PATIENCE, || async {
            let task = stack.client.task(&id).await;
            (task["status"] != "pending").then_some(task)
        })
        .await;
        if task["status"] != "running" {
            break;
        }
        let at = stack.sims.iter().find(|sim| task["instanceId"] == sim.addr().to_string()).unwrap();
        at.restart().await.unwrap();
        let attempt = task["attempt"].clone();
        eventually("the loss is noticed", PATIENCE, || async {
            let task = stack.client.task(&id).await;
            (task["attempt"] != attempt || task["status"] != "running").then_some(())
        })
        .await;
    }
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "poison", "{task}\n{}", stack.log());
    assert!(stack.executions(&id) <= 3, "{}", stack.executions(&id));
}

/// [2] A POST that is held up on the way for longer than we wait for its answer still runs once.
#[tokio::test]
async fn a_submit_that_arrives_late_runs_once() {
    let stack = Stack::start(1, 1).await;
    let slow = slow_front(stack.sims[0].url(), Duration::from_secs(3)).await;
    let servers = json!([{"id": "server-1", "name": "slow", "ip": "127.0.0.1", "ports": [slow]}]);
    stack.client.put("/api/config", json!({"servers": servers})).await;
    stack.wait_alive(1).await;
    let task = completes_once(&stack, json!({"workflow": workflow::quick(11)})).await;
    assert_eq!(task["attempt"], 1);
    // A second request, had there been one, would have come by now.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let submitted = stack.sims[0].log().iter().filter(|entry| entry.event == Happened::Submitted).count();
    assert_eq!((submitted, stack.executions(task["id"].as_str().unwrap())), (1, 1));
}

/// Passes everything on to `behind`, POST /prompt only after `pause` and whether or not the client still waits.
async fn slow_front(behind: String, pause: Duration) -> u16 {
    use axum::{body::Bytes, extract::Request, response::IntoResponse as _};
    let forward = move |request: Request| {
        let behind = behind.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let is_submit = parts.method == "POST" && parts.uri.path() == "/prompt";
            let passed_on = tokio::spawn(async move {
                if is_submit {
                    tokio::time::sleep(pause).await;
                }
                let url = format!("{behind}{}", parts.uri);
                let answer = reqwest::Client::new().request(parts.method, url).body(body).send().await.unwrap();
                (answer.status(), answer.bytes().await.unwrap())
            });
            passed_on.await.unwrap().into_response()
        }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(forward)).await.unwrap() });
    port
}
