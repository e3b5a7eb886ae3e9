//! Failures of the infrastructure: the task runs elsewhere, and fails if its workflow kills instances.

use super::{completes_once, http_proxy::Action, prompt, proxied};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::{Value, json};
use shuzhiren::sim::LogEvent;

/// The instance crashes during a prompt: the task runs elsewhere, and `attempts` has the reason.
#[tokio::test]
async fn a_prompt_lost_in_a_crash_runs_elsewhere() {
    let stack = Stack::start(2, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0)})).await;
    let task = stack.client.wait_for(&id, &["running"]).await;
    let sick = stack.sims.iter().find(|sim| task["instanceId"] == sim.addr().to_string()).unwrap();
    sick.kill().await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!((&attempts[0]["outcome"], &attempts[1]["outcome"]), (&json!("prompt_lost"), &json!("completed")));
    assert!(attempts[0]["error"]["message"].as_str().is_some_and(|why| why.contains("not answered")), "{task}");
    assert_ne!(attempts[0]["instanceId"], attempts[1]["instanceId"]);
    let succeeded: usize = stack.sims.iter().map(|sim| super::count(sim, LogEvent::Succeeded, &prompt(&id, 2))).sum();
    assert_eq!((succeeded, stack.executions(&id)), (1, 2));
    sick.restart().await.unwrap();
    stack.wait_instances_up(2).await;
}

/// A workflow that kills its instance runs at most twice.
#[tokio::test]
async fn a_workflow_that_kills_instances_fails_after_two_runs() {
    let stack = Stack::start(3, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0), "maxAttempts": 10})).await;
    for _ in 0..3 {
        let task = eventually("it runs somewhere, or has ended", WAIT_MAX, || async {
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
        eventually("the loss is detected", WAIT_MAX, || async {
            let task = stack.client.task(&id).await;
            (task["attempt"] != attempt || task["status"] != "running").then_some(())
        })
        .await;
    }
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "poison", "{task}\n{}", stack.log());
    assert!(stack.executions(&id) <= 2, "{}", stack.executions(&id));
}

/// The last events of a dying instance are lost, so the start of the prompt that killed it is not seen either.
#[tokio::test]
async fn a_workflow_that_kills_before_any_event_fails_after_two_runs() {
    let stack = Stack::start(3, 1).await;
    for sim in &stack.sims {
        sim.set(|faults| faults.ws_stall = true);
    }
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0), "maxAttempts": 10})).await;
    for deaths in 1..=3 {
        let killed = eventually("an instance executes it, or it has ended", WAIT_MAX, || async {
            if stack.executions(&id) >= deaths {
                return Some(true);
            }
            (stack.client.task(&id).await["status"] == "failed").then_some(false)
        })
        .await;
        if !killed {
            break;
        }
        let task = stack.client.task(&id).await;
        let at = stack.sims.iter().find(|sim| task["instanceId"] == sim.addr().to_string()).unwrap();
        at.kill().await;
    }
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "poison", "{task}\n{}", stack.log());
    assert_eq!(stack.executions(&id), 2, "{task}");
}

/// [21] Out of memory: the instance is asked to free memory, and the task runs elsewhere.
#[tokio::test]
async fn out_of_memory_frees_the_instance_and_runs_elsewhere() {
    let stack = Stack::start(2, 1).await;
    for sim in &stack.sims {
        sim.set(|faults| faults.execution_oom = shuzhiren::sim::Times::Next(1));
    }
    let id = stack.client.submit(json!({"workflow": workflow::quick(1), "maxAttempts": 2})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "out_of_memory", "{task}");
    let at: Vec<&Value> = task["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["instanceId"]).collect();
    assert!(at.len() == 2 && at[0] != at[1], "{task}");
    for sim in &stack.sims {
        let asked = sim.log().iter().filter(|entry| entry.event == LogEvent::FreeAsked).count();
        assert_eq!(asked, 1, "{}", stack.log());
    }
    completes_once(&stack, json!({"workflow": workflow::quick(2)})).await;
}

/// A run is identified by task and attempt: the second attempt starts while the first still cleans up at the same
/// instance.
#[tokio::test]
async fn a_second_attempt_does_not_wait_for_the_first() {
    let (stack, proxy) = proxied(&[("SHUZHIREN_HTTP_TIMEOUT", "40s")]).await;
    stack.sims[0].set(|faults| faults.execution_oom = shuzhiren::sim::Times::Next(1));
    // The first attempt's last request to the instance is held for long.
    proxy.rule("POST /history", 1, Action::Hold);
    let id = stack.client.submit(json!({"workflow": workflow::quick(3)})).await;
    proxy.wait_requests("POST /history", 1).await;
    let begun = tokio::time::Instant::now();
    super::happens(&stack, &stack.sims[0], LogEvent::Succeeded, &prompt(&id, 2)).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "it ran before the first one had to end");
    assert_eq!(proxy.answered("POST /history"), 0);
    proxy.release();
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed");
}
