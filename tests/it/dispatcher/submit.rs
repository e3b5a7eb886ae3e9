//! POST /prompt happens at most once: after a lost answer the prompt is looked for before it is posted again.

use super::{completes_once, http_proxy::Action, proxied, stack_with};
use crate::support::stack::{Stack, workflow};
use serde_json::json;
use shuzhiren::sim::{LogEvent, Times};

/// [2] A 500 or a cut connection although the prompt was queued: it is found, not posted again.
#[tokio::test]
async fn an_ambiguous_submit_runs_once() {
    let stack = stack_with(|faults| faults.prompt_500_queued = Times::Next(1)).await;
    let task = completes_once(&stack, json!({"workflow": workflow::steps(4, 1.0)})).await;
    assert_eq!(task["attempt"], 1);
    stack.sims[0].set(|faults| faults.prompt_drop_queued = Times::Next(1));
    let task = completes_once(&stack, json!({"workflow": workflow::steps(4, 1.0)})).await;
    assert_eq!(task["attempt"], 1);
}

/// [2] A connection cut before the prompt was queued: posted again. A 500: a later attempt.
#[tokio::test]
async fn a_submit_that_never_arrived_is_repeated() {
    let stack = stack_with(|faults| faults.prompt_drop = Times::Next(1)).await;
    let task = completes_once(&stack, json!({"workflow": workflow::quick(1)})).await;
    assert_eq!(task["attempt"], 1);
    stack.sims[0].set(|faults| faults.prompt_500 = Times::Next(1));
    let task = completes_once(&stack, json!({"workflow": workflow::quick(2)})).await;
    assert_eq!(task["attempt"], 2);
    let first = &task["attempts"][0];
    assert_eq!((&first["outcome"], &first["error"]["type"]), (&json!("instance_unreachable"), &first["outcome"]));
    assert!(first["error"]["message"].as_str().is_some_and(|why| why.contains("500")), "{task}");
    assert!(first["endedAt"].as_str() >= first["startedAt"].as_str() && first["instanceId"].is_string(), "{task}");
    assert!(task["attempts"][1]["error"].is_null(), "{task}");
}

/// [2] A POST that is delayed for longer than the wait for its answer runs once.
#[tokio::test]
async fn a_submit_that_arrives_late_runs_once() {
    let (stack, proxy) = proxied(&[]).await;
    proxy.rule("POST /prompt", 1, Action::Hold);
    let id = stack.client.submit(json!({"workflow": workflow::quick(11)})).await;
    proxy.wait_requests("POST /prompt", 1).await;
    // The looks start when the wait for the answer ends; both find nothing.
    proxy.wait_requests(&format!("GET /history/{}", super::prompt(&id, 1)), 3).await;
    proxy.release();
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!((proxy.requests("POST /prompt"), stack.executions(&id)), (1, 1));
}

/// [7] 200 with node errors: the valid outputs run, and each other one is a warning. Bug report 14.
#[tokio::test]
async fn a_graph_that_is_accepted_in_part_completes_with_a_warning() {
    let stack = stack_with(|faults| faults.prompt_partial = Times::Next(1)).await;
    let task = completes_once(&stack, json!({"workflow": workflow::quick(4)})).await;
    let warning = &task["warnings"][0];
    assert_eq!(warning["code"], "output_ignored", "{task}");
    assert!(warning["node"].is_string() && warning["reason"].as_str().unwrap().contains("made up"), "{task}");
    completes_once(&stack, json!({"workflow": workflow::quick(5)})).await;
}

/// [9] Outputs are saved below a folder named by the task. [20] No entry is left in the history.
#[tokio::test]
async fn outputs_are_prefixed_with_the_task_and_the_history_is_cleared() {
    let stack = Stack::start(1, 1).await;
    let task = completes_once(&stack, json!({"workflow": workflow::quick(5)})).await;
    let submitted = stack.sims[0].log().into_iter().find(|entry| entry.event == LogEvent::Submitted).unwrap();
    assert_eq!(submitted.prefixes, [format!("{}/quick", task["id"].as_str().unwrap())]);
    crate::support::eventually("an empty history", crate::support::stack::WAIT_MAX, || async {
        let history: serde_json::Value =
            reqwest::get(format!("{}/history", stack.sims[0].url())).await.unwrap().json().await.unwrap();
        (history == json!({})).then_some(())
    })
    .await;
}
