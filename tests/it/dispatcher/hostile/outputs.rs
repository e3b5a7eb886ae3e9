//! Outputs that cannot be fetched are worth one more run, elsewhere.

use super::{
    super::put_fleet,
    instance::{HostileInstance, Script, history, ok},
};
use crate::support::stack::{Stack, workflow};
use axum::{body::Body, http::header::CONTENT_LENGTH};
use futures_util::stream;
use serde_json::json;
use shuzhiren::sim::Times;

/// Issue 11, F6: the dispatcher waited for the bytes, and ran the prompt again.
#[tokio::test]
async fn a_file_that_is_announced_too_large_fails_at_once() {
    let mut stack = Stack::start(1, 0).await;
    let instance = HostileInstance::start().await;
    instance.play(Script {
        answer: Box::new(|line, prompt| {
            if line.starts_with("GET /view") {
                let mut answer = ok(Body::from_stream(stream::pending::<std::io::Result<String>>()));
                answer.headers_mut().insert(CONTENT_LENGTH, 99_999_999_999_999_u64.into());
                return Some(answer);
            }
            let outputs = r#"{"3":{"images":[{"filename":"a.png","subfolder":"","type":"output"}]}}"#;
            (line == format!("GET /history/{prompt}")).then(|| ok(history(prompt, outputs)))
        }),
        ..Script::default()
    });
    put_fleet(&stack, &[instance.port]).await;
    stack.add_dispatcher();
    stack.wait_instances_up(1).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "output_too_large", "{task}\n{}", stack.log());
    assert_eq!((&task["attempt"], instance.requests("POST /prompt")), (&json!(1), 1), "{task}");
}

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
