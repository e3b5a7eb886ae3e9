//! A process that is gone gives its task up soon; one that is silent only after `--gone-after`.

use crate::support::stack::{Stack, workflow};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Nothing listens at the port: the process is gone, and its queue with it.
#[tokio::test]
async fn a_task_of_a_process_that_is_gone_runs_elsewhere_after_ten_seconds() {
    let stack = Stack::start_with(2, 1, &[("SHUZHIREN_GONE_AFTER", "10m")]).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0)})).await;
    let task = stack.client.wait_for(&id, &["running"]).await;
    let gone = stack.sims.iter().find(|sim| task["instanceId"] == sim.addr().to_string()).unwrap();
    let begun = Instant::now();
    gone.kill().await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    assert_eq!(task["attempts"][0]["outcome"], "prompt_lost");
    assert!(begun.elapsed() >= Duration::from_secs(10), "a process that restarts within 10 s keeps its task");
}

/// Silence longer than those ten seconds, and shorter than `--gone-after`: the prompt may be running.
#[tokio::test]
async fn a_silent_instance_keeps_its_task() {
    let stack = Stack::start_with(2, 1, &[("SHUZHIREN_GONE_AFTER", "10m"), ("SHUZHIREN_STALL_TIMEOUT", "10m")]).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0)})).await;
    let task = stack.client.wait_for(&id, &["running"]).await;
    let silent = stack.sims.iter().find(|sim| task["instanceId"] == sim.addr().to_string()).unwrap();
    silent.set(|faults| faults.hang = true);
    // The silence itself is the event.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(stack.client.task(&id).await["status"], "running");
    silent.set(|faults| faults.hang = false);
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!(stack.executions(&id), 1);
}
