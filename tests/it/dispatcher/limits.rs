//! Time limits of a task.

use super::{post_stranger, prompt};
use crate::support::stack::{Stack, workflow};
use serde_json::json;
use shuzhiren::sim::Happened;
use std::time::Duration;

/// `timeoutMs` ends a run, `startBy` a wait.
#[tokio::test]
async fn time_limits_of_a_task_hold() {
    let stack = Stack::start(1, 1).await;
    let slow = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0), "timeoutMs": 2500})).await;
    stack.client.wait_for(&slow, &["running"]).await;
    let late = json!({"workflow": workflow::quick(9), "startBy": in_one_second()});
    let waiting = stack.client.submit(late).await;
    let task = stack.client.wait_ended(&waiting).await;
    assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("start_timeout"), &json!(0)), "{task}");
    let task = stack.client.wait_ended(&slow).await;
    assert_eq!(task["error"]["type"], "run_timeout", "{task}");
    assert!(task["runMs"].as_u64().unwrap() >= 2_500, "{task}");
    stack.wait_idle().await;
    assert_eq!((stack.executions(&slow), stack.executions(&waiting)), (1, 0));
    super::happens(&stack, &stack.sims[0], Happened::Interrupted, &prompt(&slow, 1)).await;
}

/// A task that waits at its instance behind somebody else's prompt has not begun either.
#[tokio::test]
async fn a_start_limit_holds_inside_the_instance() {
    let stack = Stack::start(1, 1).await;
    let stranger = "00000000-0000-4000-8000-000000000002";
    post_stranger(&stack.sims[0], stranger, workflow::steps(300, 30.0)).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(1), "startBy": in_one_second()})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "start_timeout", "{task}\n{}", stack.log());
    stack.wait_idle().await;
    let log = stack.sims[0].log();
    assert_eq!(stack.executions(&id), 0);
    let left =
        log.iter().filter(|entry| entry.event == Happened::Submitted && entry.prompt_id == prompt(&id, 1)).count();
    assert_eq!(left, super::count(&stack.sims[0], Happened::Deleted, &prompt(&id, 1)), "it has left the queue");
    assert_eq!(super::count(&stack.sims[0], Happened::Interrupted, stranger), 0);
}

fn in_one_second() -> String {
    let at = jiff::Timestamp::now() + Duration::from_secs(1);
    format!("{at:.3}")
}
