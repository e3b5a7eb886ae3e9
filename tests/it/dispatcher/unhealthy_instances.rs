//! Unhealthy instances are detected, reported and get no tasks; the others do the work.

use super::{completes_once, http_proxy::Action, prompt, proxied};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::{Value, json};
use shuzhiren::sim::{LogEvent, Sim, Times};

async fn shown(stack: &Stack, sim: &Sim) -> Value {
    stack.client.get(&format!("/api/instances/{}", sim.addr())).await
}

/// [14b] An instance whose worker thread died behind healthy HTTP gets no more tasks; its task runs elsewhere.
#[tokio::test]
async fn a_zombie_is_detected_and_gets_no_tasks() {
    let stack = Stack::start_with(2, 1, &[("SHUZHIREN_STALL_TIMEOUT", "2s")]).await;
    for sim in &stack.sims {
        sim.set(|faults| faults.zombie = Times::Next(1));
    }
    // The first one with a prompt becomes the zombie; the other one is healed before it can.
    let id = stack.client.submit(json!({"workflow": workflow::quick(8)})).await;
    let submitted = |n: usize| stack.sims[n].log().iter().any(|entry| entry.event == LogEvent::Submitted);
    eventually("a prompt is submitted", WAIT_MAX, || async { (submitted(0) || submitted(1)).then_some(()) }).await;
    let (sick, well) = if submitted(0) { (0, 1) } else { (1, 0) };
    stack.sims[well].set(|faults| faults.zombie = Times::Never);
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    assert_eq!(task["instanceId"], stack.sims[well].addr().to_string());
    assert_eq!(stack.executions(&id), 1);
    let about = shown(&stack, &stack.sims[sick]).await;
    assert!(about["lastError"].as_str().is_some_and(|why| why.contains("restart")), "{about}");
}

/// The worker dies when a prompt has executed, before it has an entry in the history. The task ends
/// as it was announced, and the instance is put aside until it is restarted.
#[tokio::test]
async fn a_worker_that_dies_after_a_prompt_costs_no_result() {
    let stack = Stack::start_with(1, 1, &[("SHUZHIREN_STALL_TIMEOUT", "2s")]).await;
    let sim = &stack.sims[0];
    sim.set(|faults| faults.worker_dies = Times::Next(1));
    let task = completes_once(&stack, json!({"workflow": workflow::quick(1)})).await;
    assert_eq!((&task["attempt"], &task["warnings"][0]["code"]), (&json!(1), &json!("result_not_recorded")), "{task}");
    assert!(stack.client.download(task["result"]["files"][0].as_str().unwrap()).await.starts_with(b"\x89PNG"));
    let why = eventually("the instance is put aside", WAIT_MAX, || async {
        let about = shown(&stack, sim).await;
        (about["phase"] == "suspect").then(|| about["lastError"].as_str().unwrap_or_default().to_owned())
    })
    .await;
    assert!(why.contains("its worker is dead") && why.contains("restart"), "{why}");
    let next = stack.client.submit(json!({"workflow": workflow::quick(2)})).await;
    sim.restart().await.unwrap();
    assert_eq!(stack.client.wait_ended(&next).await["status"], "completed", "{}", stack.log());
    let about = shown(&stack, sim).await;
    assert_eq!((&about["phase"], &about["lastError"]), (&json!("up"), &Value::Null), "{about}");
}

/// The same after a node's error, and after a prompt of which nothing was stored.
#[tokio::test]
async fn a_worker_that_dies_after_an_error_or_without_outputs_holds_no_task() {
    let stack = Stack::start_with(2, 1, &[("SHUZHIREN_STALL_TIMEOUT", "2s")]).await;
    for sim in &stack.sims {
        sim.set(|faults| faults.worker_dies = Times::Next(1));
    }
    // Nothing is stored while it runs.
    for sim in &stack.sims {
        sim.set(|faults| faults.ws_lose = vec!["executed".to_owned()]);
    }
    let id = stack.client.submit(json!({"workflow": workflow::quick(3)})).await;
    let task = stack.client.wait_for(&id, &["running"]).await;
    let sick = stack.sims.iter().position(|sim| task["instanceId"] == sim.addr().to_string()).unwrap();
    stack.sims[1 - sick].set(|faults| faults.worker_dies = Times::Never);
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    assert_eq!(task["attempts"][0]["outcome"], "stalled", "{task}");
    let well = &stack.sims[1 - sick];
    assert_eq!(task["instanceId"], well.addr().to_string());

    // A node's error is announced, too.
    well.set(|faults| faults.worker_dies = Times::Next(1));
    let failing = json!({"1": {"class_type": "UiOut", "inputs": {"ui": "no JSON"}}});
    let id = stack.client.submit(json!({"workflow": failing})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("node_error"), &json!(1)), "{task}");
    assert_eq!(task["error"]["exceptionType"], "json.JSONDecodeError", "{task}");
}

/// [14c] A hanging instance is down after some misses, and its task runs elsewhere. It is used again once it answers.
#[tokio::test]
async fn a_hanging_instance_is_down_and_its_task_runs_elsewhere() {
    let stack = Stack::start(2, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(30, 3.0)})).await;
    let task = stack.client.wait_for(&id, &["running"]).await;
    let sick = stack.sims.iter().position(|sim| task["instanceId"] == sim.addr().to_string()).unwrap();
    stack.sims[sick].set(|faults| faults.hang = true);
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    assert_ne!(task["instanceId"], stack.sims[sick].addr().to_string());
    let about = shown(&stack, &stack.sims[sick]).await;
    assert_eq!((about["alive"].as_bool(), about["phase"].as_str()), (Some(false), Some("down")), "{about}");
    assert!(about["lastError"].as_str().is_some_and(|why| why.contains("no answer")), "{about}");
    stack.sims[sick].set(|faults| faults.hang = false);
    stack.wait_instances_up(2).await;
    // The prompt that it continues with is an orphan: cancelled, not run to its end.
    super::happens(&stack, &stack.sims[sick], LogEvent::Interrupted, &prompt(&id, 1)).await;
}

/// An instance that refuses every prompt and one that loses every prompt answer all checks. Growing pauses keep them
/// from failing all tasks, and `lastError` has the reason.
#[tokio::test]
async fn instances_that_fail_every_prompt_are_paused() {
    let stack = Stack::start(3, 1).await;
    stack.sims[0].set(|faults| faults.prompt_500 = Times::Always);
    stack.sims[1].set(|faults| faults.history_forget = Times::Always);
    let mut ids = Vec::new();
    for seed in 0..30 {
        let graph = json!({"workflow": workflow::steps(4, 0.4), "params": {"2.seed": seed}});
        ids.push(stack.client.submit(graph).await);
    }
    let mut failed = 0;
    let mut tries = [0, 0];
    for id in &ids {
        let task = stack.client.wait_ended(id).await;
        failed += usize::from(task["status"] == "failed");
        for attempt in task["attempts"].as_array().unwrap() {
            for (sim, tries) in stack.sims.iter().zip(&mut tries) {
                *tries += usize::from(attempt["instanceId"] == sim.addr().to_string());
            }
        }
    }
    // Each of the thirty tasks occupies the good instance for half a second; in that time a bad one may try three
    // times, and then after 1, 2, 4 and 8 s.
    assert!(failed <= ids.len() / 4, "{failed} of {} failed", ids.len());
    assert!(tries.iter().all(|tries| (3..=10).contains(tries)), "{tries:?}\n{}", stack.log());
    for (sim, why) in stack.sims.iter().zip(["500", "lost the prompt"]) {
        let about = shown(&stack, sim).await;
        assert_eq!((&about["alive"], &about["phase"]), (&json!(true), &json!("suspect")), "{about}");
        assert!(about["lastError"].as_str().is_some_and(|error| error.contains(why)), "{about}");
    }
}

/// Invalid answers, once from every endpoint that is read: nothing is concluded from them.
#[tokio::test]
async fn one_invalid_answer_of_an_endpoint_changes_no_outcome() {
    let (stack, proxy) = proxied(&[("SHUZHIREN_GONE_AFTER", "20s")]).await;
    let picture = stack.client.upload("a.png", b"\x89PNG\r\n\x1a\nnot really".to_vec()).await;
    let invalid = [
        "<html><title>502 Bad Gateway</title></html>",
        "{\"queue_running\": [[0, \"x",
        "[1, {\"exec_info\": NaN}]",
        "{\"queue_running\": {}, \"prompt_id\": 7, \"name\": [\"../x\"], \"exec_info\": {\"queue_remaining\": \"NaN\"}}",
        "{\"00000000-0000-4000-8000-000000000009\": {\"outputs\": {}, \"status\": {\"status_str\": \"success\"}}}",
    ];
    let endpoints = [
        "GET /system_stats",
        "GET /prompt",
        "GET /queue",
        "GET /history/",
        "POST /prompt",
        "POST /upload/image",
        "POST /history",
    ];
    let mut seed = 0;
    for body in invalid {
        for line in endpoints {
            // A submit in doubt reads the history before the end does.
            let times = if line.starts_with("GET /history") { 3 } else { 1 };
            proxy.rule(line, times, Action::Forge(200, body.to_owned()));
        }
        seed += 1;
        // The picture is invalid: the node of the stand-in ignores that, and the upload is read all the same.
        let graph = json!({
            "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
            "2": {"class_type": "TestSteps", "inputs": {"steps": 4, "seconds": 0.4, "seed": seed}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "steps"}}
        });
        let params = json!({"1.image": {"$file": picture["fileId"]}});
        let id = stack.client.submit(json!({"workflow": graph, "params": params})).await;
        let task = stack.client.wait_ended(&id).await;
        assert_eq!(task["status"], "completed", "{body}: {task}\n{}", stack.log());
        assert_eq!(stack.executions(&id), 1, "{body}: {}", stack.log());
        let files = task["result"]["files"].as_array().unwrap();
        assert!(files.len() == 1 && stack.client.download(files[0].as_str().unwrap()).await.starts_with(b"\x89PNG"));
        proxy.clear();
    }
}

/// Invalid answers from the middle of a run on: the instance is down, and its task runs elsewhere.
#[tokio::test]
async fn an_instance_with_only_invalid_answers_is_down() {
    let stack = Stack::start(2, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(30, 3.0)})).await;
    let task = stack.client.wait_for(&id, &["running"]).await;
    let sick = stack.sims.iter().find(|sim| task["instanceId"] == sim.addr().to_string()).unwrap();
    sick.set(|faults| {
        faults.http_garbage = Times::Always;
        faults.ws_garbage = Times::Always;
    });
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    let about = shown(&stack, sick).await;
    assert_eq!((&about["alive"], &about["phase"]), (&json!(false), &json!("down")), "{about}");
    assert!(about["lastError"].as_str().is_some_and(|why| why.contains("not ComfyUI's")), "{about}");
    assert!(!stack.log().contains("panicked"), "{}", stack.log());
    sick.set(|faults| *faults = shuzhiren::sim::Faults::default());
    stack.wait_instances_up(2).await;
    completes_once(&stack, json!({"workflow": workflow::quick(1)})).await;
}

/// The instance is removed from the config during a run: the run completes, and no new task starts there.
#[tokio::test]
async fn an_instance_removed_from_the_config_completes_its_run() {
    let stack = Stack::start(2, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0)})).await;
    let task = stack.client.wait_for(&id, &["running"]).await;
    let (gone, stays): (Vec<&Sim>, Vec<&Sim>) =
        stack.sims.iter().partition(|sim| task["instanceId"] == sim.addr().to_string());
    super::put_fleet(&stack, &[stays[0].addr().port()]).await;
    let next = stack.client.submit(json!({"workflow": workflow::steps(4, 0.4)})).await;
    let next = stack.client.wait_ended(&next).await;
    assert_eq!(next["instanceId"], stays[0].addr().to_string());
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!((stack.executions(&id), super::count(gone[0], LogEvent::Succeeded, &prompt(&id, 1))), (1, 1));
    // With the end of the run the lease is released and the status removed.
    eventually("the lease of the removed instance is released", WAIT_MAX, || async {
        let (status, _) =
            stack.client.call(reqwest::Method::GET, &format!("/api/instances/{}", gone[0].addr()), None).await;
        (status == 404).then_some(())
    })
    .await;
}
