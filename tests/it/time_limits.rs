//! `startBy` and `timeoutMs` hold by Redis' clock, also when every dispatcher was down while they passed.

use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::json;
use std::time::{Duration, Instant};

/// A dispatcher that has just started needs so long to find what is overdue: its janitor's turn, a lease, a look.
const SOON: Duration = Duration::from_secs(15);

fn after(time: Duration) -> String {
    format!("{:.3}", jiff::Timestamp::now() + time)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_by_that_passed_without_any_dispatcher_fails_the_task_when_one_comes() {
    let mut stack = Stack::start(1, 0).await;
    let by = after(Duration::from_secs(2));
    let body = json!({"workflow": workflow::quick(1), "startBy": by});
    let (overdue, patient) =
        (stack.client.submit(body).await, stack.client.submit(json!({"workflow": workflow::quick(2)})).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(stack.client.task(&overdue).await["status"], "pending", "nobody is there to end it");
    let began = Instant::now();
    stack.add_dispatcher();
    let task = stack.client.wait_ended(&overdue).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(task["error"]["type"], "start_timeout", "{task}");
    assert_eq!(stack.client.wait_ended(&patient).await["status"], "completed");
    assert_eq!(stack.executions(&overdue), 0, "it never began");
}

/// Given to an instance that could not begin it in time: the slot is free again.
#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_task_that_could_not_begin_gives_its_slot_back() {
    let mut stack = Stack::start(1, 1).await;
    let running = stack.client.submit(json!({"workflow": workflow::steps(600, 60.0)})).await;
    stack.client.wait_for(&running, &["running"]).await;
    stack.dispatchers[0].kill();
    let body = json!({"workflow": workflow::quick(3), "startBy": after(Duration::from_secs(1))});
    let overdue = stack.client.submit(body).await;
    stack.client.delete(&format!("/api/tasks/{running}")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stack.add_dispatcher();
    assert_eq!(stack.client.wait_ended(&overdue).await["error"]["type"], "start_timeout");
    stack.wait_idle().await;
    assert_eq!(stack.executions(&overdue), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_became_overdue_without_any_dispatcher_is_ended_by_the_next() {
    let mut stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(600, 60.0), "timeoutMs": 3_000})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.dispatchers[0].kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(stack.client.task(&id).await["status"], "running", "nobody is there to end it");
    let began = Instant::now();
    stack.add_dispatcher();
    let task = stack.client.wait_ended(&id).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("run_timeout"), &json!(1)), "{task}");
    eventually("the instance is free", WAIT_MAX, async || {
        let task = stack.client.get("/api/instances").await;
        (task[0]["busy"] == false).then_some(())
    })
    .await;
    assert_eq!(stack.executions(&id), 1);
}
