//! Outputs that cannot be fetched are worth one more run, elsewhere.

use crate::support::stack::{Stack, workflow};
use serde_json::json;
use shuzhiren::sim::Times;

#[tokio::test]
async fn outputs_that_cannot_be_fetched_are_made_once_more_elsewhere() {
    let stack = Stack::start(2, 1).await;
    for sim in &stack.sims {
        sim.set(|faults| faults.view_404 = Times::Always);
    }
    let id = stack.client.submit(json!({"workflow": workflow::quick(7), "maxAttempts": 5})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("failed"), &json!(2)), "{task}\n{}", stack.log());
    assert_eq!(task["error"]["type"], "output_unavailable", "{task}");
    assert!(task["error"]["message"].as_str().unwrap().contains("does not have the file"), "{task}");
    assert_ne!(task["attempts"][0]["instanceId"], task["attempts"][1]["instanceId"], "{task}");
    assert_eq!(stack.executions(&id), 2);

    // A retry that a user asks for begins anew.
    stack.sims[0].set(|faults| faults.view_404 = Times::Next(2));
    stack.sims[1].set(|faults| faults.view_404 = Times::Never);
    let (status, answer) = stack.client.call(reqwest::Method::POST, &format!("/api/tasks/{id}/retry"), None).await;
    assert_eq!(status, 200, "{answer}");
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
}
