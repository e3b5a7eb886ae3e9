//! Errors of nodes: the fault of the machine, of its memory, of the task, or unknown; and what follows from each.

use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::{Value, json};
use shuzhiren::sim::{Sim, Times};
use std::collections::BTreeMap;

async fn shown(stack: &Stack, sim: &Sim) -> Value {
    stack.client.get(&format!("/api/instances/{}", sim.addr())).await
}

async fn wait_phase(stack: &Stack, sim: &Sim, phase: &str) -> Value {
    eventually(&format!("the instance is {phase}"), WAIT_MAX, || async {
        let about = shown(stack, sim).await;
        (about["phase"] == phase).then_some(about)
    })
    .await
}

async fn release(stack: &Stack, sim: &Sim) -> Value {
    let path = format!("/api/instances/{}/release", sim.addr());
    let (status, answer) = stack.client.call(reqwest::Method::POST, &path, None).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"].clone()
}

fn raises(message: &str, etype: &str) -> Value {
    json!({"1": {"class_type": "Raises", "inputs": {"message": message, "etype": etype}}})
}

async fn submit_many(stack: &Stack, count: u64) -> Vec<String> {
    let mut ids = Vec::new();
    for seed in 0..count {
        let body = json!({"workflow": workflow::steps(1, 0.2), "params": {"2.seed": seed}});
        ids.push(stack.client.submit(body).await);
    }
    ids
}

/// Returns how many attempts were made on each instance by these tasks, all of which complete.
async fn attempts_of_completed(stack: &Stack, ids: &[String]) -> BTreeMap<String, usize> {
    let mut attempts = BTreeMap::new();
    for id in ids {
        let task = stack.client.wait_ended(id).await;
        assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
        for attempt in task["attempts"].as_array().unwrap() {
            *attempts.entry(attempt["instanceId"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    attempts
}

/// Bug report 1: an instance whose CUDA context is dead touches at most two of twenty tasks; all complete.
#[tokio::test]
async fn a_dead_gpu_costs_no_task() {
    let stack = Stack::start(2, 1).await;
    let sick = &stack.sims[1];
    sick.set(|faults| faults.gpu_breaks = Times::Always);
    let attempts = attempts_of_completed(&stack, &submit_many(&stack, 20).await).await;
    let touched = attempts.get(&sick.addr().to_string()).copied().unwrap_or(0);
    assert!((1..=2).contains(&touched), "{attempts:?}");
    let about = wait_phase(&stack, sick, "quarantined").await;
    let quarantine = &about["quarantine"];
    assert_eq!(quarantine["exceptionType"], "torch.AcceleratorError", "{about}");
    assert!(quarantine["message"].as_str().unwrap().contains("illegal memory access"), "{about}");
    assert!(quarantine["nodeType"].is_string() && quarantine["nextTrialAt"].is_string(), "{about}");
    assert!(about["lastError"].as_str().unwrap().contains("illegal memory access"), "{about}");
    eventually("the history of phases has the reason", WAIT_MAX, || async {
        let about = shown(&stack, sick).await;
        let change = &about["history"][0];
        (change["phase"] == "quarantined" && change["reason"].as_str()?.contains("AcceleratorError")).then_some(())
    })
    .await;
    assert!(stack.log().contains("instance is quarantined"), "{}", stack.log());
}

/// Bug report 1, with an error that says nothing: it is decided on the other instance.
#[tokio::test]
async fn an_unexplained_failure_is_decided_elsewhere() {
    let stack = Stack::start(2, 1).await;
    let sick = &stack.sims[1];
    sick.set(|faults| faults.execution_error = Times::Always);
    let attempts = attempts_of_completed(&stack, &submit_many(&stack, 12).await).await;
    let touched = attempts.get(&sick.addr().to_string()).copied().unwrap_or(0);
    assert!((1..=2).contains(&touched), "{attempts:?}");
    // Now it fails on both: it is the task, and no instance is blamed for it.
    for sim in &stack.sims {
        sim.set(|faults| faults.execution_error = Times::Never);
        release(&stack, sim).await;
    }
    let id = stack.client.submit(json!({"workflow": raises("inference failed", "RuntimeError")})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("node_error"), &json!(2)), "{task}");
    assert_eq!(task["error"]["message"], "inference failed");
    assert_ne!(task["attempts"][0]["instanceId"], task["attempts"][1]["instanceId"]);
    // A failure that says that it is the task's is final at once.
    let id = stack.client.submit(json!({"workflow": raises("CUDA error: poster", "KeyError")})).await;
    let other = stack.client.submit(json!({"workflow": raises("no such width", "ValueError")})).await;
    for id in [&id, &other] {
        let task = stack.client.wait_ended(id).await;
        assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("node_error"), &json!(1)), "{task}");
    }
}

#[tokio::test]
async fn an_unexplained_failure_of_the_only_instance_is_final_and_says_so() {
    let stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": raises("inference failed", "RuntimeError")})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("node_error"), &json!(1)), "{task}");
    assert_eq!(task["error"]["causeUnknown"], true, "{task}");
    assert!(task["error"]["message"].as_str().unwrap().contains("no other instance"), "{task}");
}

/// A graph that breaks every machine does not quarantine the fleet. What it made before is its partial result.
#[tokio::test]
async fn a_graph_that_breaks_machines_fails_on_the_third() {
    let stack = Stack::start(3, 1).await;
    let mut bad = raises("CUDA error: device-side assert triggered", "torch.AcceleratorError");
    bad["2"] = json!({"class_type": "TestSteps", "inputs": {"steps": 1, "seconds": 0.2}});
    bad["3"] = json!({"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "part"}});
    bad["4"] = json!({"class_type": "TestSteps", "inputs": {"steps": 2, "seconds": 1.0, "image": ["2", 0], "seed": 1}});
    bad["1"]["inputs"]["image"] = json!(["4", 0]);
    let id = stack.client.submit(json!({"workflow": bad})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("poison"), &json!(3)), "{task}");
    assert!(task["error"]["message"].as_str().unwrap().contains("device-side assert"), "{task}");
    let files = task["result"]["files"].as_array().unwrap();
    assert!(
        files.len() == 1 && stack.client.download(files[0].as_str().unwrap()).await.starts_with(b"\x89PNG"),
        "{task}"
    );
    stack.wait_instances_up(3).await;
    attempts_of_completed(&stack, &submit_many(&stack, 3).await).await;
}

/// Four tasks that break their machines, ahead of a good one, on a fleet of two. Neither the number of bad graphs nor the
/// number of their tasks stops the fleet for long.
async fn bad_tasks_do_not_stop_the_fleet(bad: Vec<Value>) {
    let stack = Stack::start_with(2, 1, &[("SHUZHIREN_TRIAL_AFTER", "20s")]).await;
    let mut ids = Vec::new();
    for workflow in bad {
        ids.push(stack.client.submit(json!({"workflow": workflow})).await);
    }
    let good = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    let task = stack.client.wait_ended(&good).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    for id in &ids {
        let task = stack.client.wait_ended(id).await;
        assert_eq!(task["error"]["type"], "poison", "{task}\n{}", stack.log());
        assert!(task["error"]["message"].as_str().unwrap().contains("device lost"), "{task}");
        assert!(task["attempts"].as_array().unwrap().len() <= 3, "{task}");
    }
    for sim in &stack.sims {
        wait_phase(&stack, sim, "up").await;
    }
}

#[tokio::test]
async fn different_bad_graphs_do_not_stop_a_fleet() {
    let bad = |node: u32| json!({node.to_string(): raises("CUDA error: device lost", "torch.AcceleratorError")["1"]});
    bad_tasks_do_not_stop_the_fleet((1..=4).map(bad).collect()).await;
}

#[tokio::test]
async fn one_bad_graph_that_is_submitted_often_does_not_stop_a_fleet() {
    let bad = |_| raises("CUDA error: device lost", "torch.AcceleratorError");
    bad_tasks_do_not_stop_the_fleet((0..8).map(bad).collect()).await;
}

/// The only instance is quarantined: tasks wait, and say why. A trial ends it; so do the operator and a restart.
#[tokio::test]
async fn a_quarantine_ends_by_trial_operator_or_restart() {
    let mut stack = Stack::start_with(1, 1, &[("SHUZHIREN_TRIAL_AFTER", "3s")]).await;
    stack.sims[0].set(|faults| faults.execution_error = Times::Never);
    let id = {
        let sim = &stack.sims[0];
        let bad = raises("CUDA error: device lost", "torch.AcceleratorError");
        let bad = stack.client.submit(json!({"workflow": bad})).await;
        let about = wait_phase(&stack, sim, "quarantined").await;
        assert_eq!(about["quarantine"]["taskId"], bad.as_str());
        let task = stack.client.task(&bad).await;
        let why = task["waitingFor"].as_str().unwrap_or_default().to_owned();
        assert!(why.contains("its only instance") && why.contains("device lost"), "{task}");
        stack.client.delete(&format!("/api/tasks/{bad}")).await;
        stack.client.submit(json!({"workflow": workflow::quick(1)})).await
    };
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed", "{}", stack.log());
    wait_phase(&stack, &stack.sims[0], "up").await;

    // The operator. A takeover keeps the quarantine until then.
    stack.sims[0].set(|faults| faults.gpu_breaks = Times::Next(1));
    let waits = stack.client.submit(json!({"workflow": workflow::steps(1, 0.1), "params": {"2.seed": 7}})).await;
    wait_phase(&stack, &stack.sims[0], "quarantined").await;
    stack.add_dispatcher();
    stack.dispatchers[0].kill();
    eventually("the next dispatcher reports the quarantine", WAIT_MAX, || async {
        let about = shown(&stack, &stack.sims[0]).await;
        (about["alive"] == true && about["quarantine"]["failedTrials"].is_number()).then_some(())
    })
    .await;
    let released = release(&stack, &stack.sims[0]).await;
    assert_eq!(released["quarantine"], Value::Null);

    // The task breaks on it again. A cleared history is no restart: only that empties the temp folder, too.
    wait_phase(&stack, &stack.sims[0], "quarantined").await;
    eventually("the process is marked", WAIT_MAX, || async {
        let fault = shown(&stack, &stack.sims[0]).await["quarantine"].clone();
        let prompt = fault["taskId"].as_str()?.parse::<shuzhiren::task::TaskId>().ok()?;
        let attempt =
            stack.client.task(&prompt.to_string()).await["attempts"].as_array()?.last()?["attempt"].as_u64()?;
        let prompt = prompt.prompt_id(shuzhiren::task::Attempt::new(u32::try_from(attempt).ok()?));
        let name = format!("quarantine-{prompt}.txt");
        stack.sims[0].log().iter().any(|entry| entry.prompt_id == name).then_some(())
    })
    .await;
    let history = format!("http://{}/history", stack.sims[0].addr());
    reqwest::Client::new().post(history).json(&json!({"clear": true})).send().await.unwrap();
    let seen = async || shown(&stack, &stack.sims[0]).await["lastHeartbeat"].clone();
    for _ in 0..2 {
        let before = seen().await;
        eventually("it is checked again", WAIT_MAX, || async { (seen().await != before).then_some(()) }).await;
    }
    assert_eq!(shown(&stack, &stack.sims[0]).await["phase"], "quarantined", "{}", stack.log());
    stack.sims[0].restart().await.unwrap();
    let task = stack.client.wait_ended(&waits).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    wait_phase(&stack, &stack.sims[0], "up").await;
}

/// Bug report 10: out of memory in another exception is retried once, after the memory was freed.
#[tokio::test]
async fn out_of_memory_in_any_exception_is_tried_once_more() {
    let stack = Stack::start(2, 1).await;
    let message = "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' for more information.";
    let id = stack.client.submit(json!({"workflow": raises(message, "torch.AcceleratorError")})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("out_of_memory"), &json!(2)), "{task}");
    assert_ne!(task["attempts"][0]["instanceId"], task["attempts"][1]["instanceId"], "{task}");
    for sim in &stack.sims {
        let freed = sim.log().iter().filter(|entry| entry.event == shuzhiren::sim::LogEvent::FreeAsked).count();
        assert_eq!((freed, shown(&stack, sim).await["phase"].as_str()), (1, Some("up")));
    }
}
