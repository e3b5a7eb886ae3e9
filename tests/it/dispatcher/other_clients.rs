//! Other clients of the same instance: their prompts are never touched, and they cannot make our tasks fail.

use super::{count, happens, post_foreign, prompt};
use crate::support::stack::{Stack, workflow};
use serde_json::json;
use shuzhiren::sim::{LogEvent, Times};

const FOREIGN: &str = "00000000-0000-4000-8000-000000000001";

/// [12] A lost interrupt is repeated; other clients' prompts are never touched.
#[tokio::test]
async fn a_cancel_is_repeated_and_touches_only_its_own_prompt() {
    let stack = Stack::start(1, 1).await;
    let sim = &stack.sims[0];
    sim.set(|faults| faults.interrupt_lost = Times::Next(2));
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    post_foreign(sim, FOREIGN, workflow::steps(3, 0.3)).await;
    stack.client.delete(&format!("/api/tasks/{id}")).await;
    happens(&stack, sim, LogEvent::Succeeded, FOREIGN).await;
    assert_eq!(stack.client.task(&id).await["status"], "cancelled");
    assert!(count(sim, LogEvent::InterruptAsked, &prompt(&id, 1)) >= 3);
    assert_eq!(count(sim, LogEvent::InterruptAsked, ""), 0, "never a global interrupt");
    assert_eq!(count(sim, LogEvent::InterruptAsked, FOREIGN), 0);
    stack.wait_idle().await;
}

/// [6] Another client clears the instance's queue or interrupts the running prompt: our task is tried again.
#[tokio::test]
async fn another_client_that_clears_or_interrupts_fails_no_task() {
    let stack = Stack::start(1, 1).await;
    let sim = &stack.sims[0];
    let ask = async |path: &str, body: serde_json::Value| {
        let posted = reqwest::Client::new().post(format!("{}{path}", sim.url())).json(&body).send().await;
        assert_eq!(posted.unwrap().status(), 200);
    };
    post_foreign(sim, FOREIGN, workflow::steps(20, 2.0)).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(10, 1.0)})).await;
    happens(&stack, sim, LogEvent::Submitted, &prompt(&id, 1)).await;
    ask("/queue", json!({"clear": true})).await;
    happens(&stack, sim, LogEvent::Started, &prompt(&id, 2)).await;
    ask("/interrupt", json!({})).await;
    let task = stack.client.wait_ended(&id).await;
    let outcomes: Vec<&str> =
        task["attempts"].as_array().unwrap().iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["prompt_lost", "interrupted", "completed"], "{task}\n{}", stack.log());
    assert!(task["attempts"][0]["error"]["message"].as_str().is_some_and(|why| why.contains("cleared")), "{task}");
    assert_eq!(count(sim, LogEvent::Succeeded, FOREIGN), 1);
    assert_eq!(stack.executions(&id), 2, "the one that was cleared never began");
}
