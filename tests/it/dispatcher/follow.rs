//! A prompt is followed to its end with any fault of the socket: REST is the truth.

use super::{completes_once, stack_with};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::{Value, json};
use shuzhiren::sim::Times;

/// [4, 14a] A socket without messages, or no socket at all.
#[tokio::test]
async fn a_prompt_is_followed_without_its_socket() {
    let stack = stack_with(|faults| faults.ws_refuse = Times::Always).await;
    completes_once(&stack, json!({"workflow": workflow::steps(4, 1.0)})).await;
    stack.sims[0].set(|faults| {
        faults.ws_refuse = Times::Never;
        faults.ws_stall = true;
    });
    completes_once(&stack, json!({"workflow": workflow::steps(4, 1.0), "params": {"2.seed": 2}})).await;
}

/// [14a] The prompt runs without events: a silent socket does not mean that the prompt hangs.
#[tokio::test]
async fn a_silent_socket_does_not_end_a_prompt() {
    let stack = Stack::start_with(1, 1, &[("SHUZHIREN_STALL_TIMEOUT", "1s")]).await;
    stack.sims[0].set(|faults| faults.ws_stall = true);
    let task = completes_once(&stack, json!({"workflow": workflow::steps(20, 3.0)})).await;
    assert_eq!(task["attempt"], 1, "{task}");
}

/// [4] Garbled, doubled and lost messages, a late history entry, sockets cut in the middle.
#[tokio::test]
async fn a_faulty_socket_changes_no_outcome() {
    let stack = stack_with(|faults| {
        faults.history_late_ms = 400;
        faults.ws_garbage = Times::Next(3);
    })
    .await;
    completes_once(&stack, json!({"workflow": workflow::quick(3)})).await;
    stack.sims[0].set(|faults| {
        faults.history_late_ms = 0;
        faults.ws_double = true;
        faults.ws_lose = ["status", "executing", "execution_start"].map(str::to_owned).to_vec();
    });
    completes_once(&stack, json!({"workflow": workflow::steps(5, 0.5)})).await;
    stack.sims[0].set(|faults| faults.ws_lose = ["executed", "execution_success"].map(str::to_owned).to_vec());
    completes_once(&stack, json!({"workflow": workflow::steps(5, 0.5), "params": {"2.seed": 2}})).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0), "params": {"2.seed": 3}})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.sims[0].drop_sockets();
    let percents = percents_until_end(&stack, &id).await;
    assert!(percents.is_sorted(), "{percents:?}");
    assert_eq!((stack.executions(&id), &stack.client.task(&id).await["attempt"]), (1, &json!(1)));
}

async fn percents_until_end(stack: &Stack, id: &str) -> Vec<u64> {
    let mut percents = Vec::new();
    loop {
        let task = stack.client.task(id).await;
        percents.push(task["progress"].as_u64().unwrap());
        if task["status"] == "completed" {
            return percents;
        }
        assert_eq!(task["status"], "running", "{task}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// [15] A history that strict parsers reject.
#[tokio::test]
async fn a_history_that_is_not_strict_json_is_read() {
    let stack = Stack::start(1, 1).await;
    let odd = json!({"1": {"class_type": "TestUi", "inputs": {"kind": "nan"}}});
    completes_once(&stack, json!({"workflow": odd})).await;
}

/// [5, 16] 100 MB of node state: memory stays bounded, and other tasks do not wait.
#[tokio::test]
async fn a_flood_of_progress_is_drained() {
    let stack = Stack::start(2, 1).await;
    for sim in &stack.sims {
        sim.set(|faults| faults.ws_flood = Times::Next(13));
    }
    let id = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0)})).await;
    let task = stack.client.wait_for(&id, &["running", "completed"]).await;
    let other = stack.sims.iter().find(|sim| task["instanceId"] != sim.addr().to_string()).unwrap();
    other.set(|faults| faults.ws_flood = Times::Never);
    let quick = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    stack.client.wait_ended(&quick).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    eventually("the whole flood has arrived", WAIT_MAX, || async {
        stack.sims.iter().all(|sim| sim.faults().ws_flood == Times::Never).then_some(())
    })
    .await;
    let peak_kib = peak_memory_kib(stack.dispatchers[0].pid());
    assert!(peak_kib < 200 << 10, "{peak_kib} KiB");
}

fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// [14b] A prompt without signs of life ends in time.
#[tokio::test]
async fn a_stuck_prompt_ends_as_stalled() {
    let stack = Stack::start_with(1, 1, &[("SHUZHIREN_SILENT_TIMEOUT", "2s")]).await;
    let stuck = json!({"1": {"class_type": "TestSleep", "inputs": {"seconds": 60.0, "seed": 1}}});
    let id = stack.client.submit(json!({"workflow": stuck, "maxAttempts": 1})).await;
    let task: Value = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "stalled", "{task}\n{}", stack.log());
}
