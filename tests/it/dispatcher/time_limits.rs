//! `startBy` and `timeoutMs` hold by Redis' clock, even if every dispatcher was down when they passed.

use super::{post_foreign, prompt};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::json;
use shuzhiren::sim::LogEvent;
use std::time::{Duration, Instant};

/// Longest time in which a new dispatcher ends an overdue task: a turn of its janitor, a lease, a look.
const SOON: Duration = Duration::from_secs(15);

fn after(time: Duration) -> String {
    format!("{:.3}", jiff::Timestamp::now() + time)
}

/// `timeoutMs` limits a run, `startBy` a wait.
#[tokio::test]
async fn timeout_ms_limits_a_run_and_start_by_a_wait() {
    let stack = Stack::start(1, 1).await;
    let slow = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0), "timeoutMs": 2500})).await;
    stack.client.wait_for(&slow, &["running"]).await;
    let late = json!({"workflow": workflow::quick(9), "startBy": after(Duration::from_secs(1))});
    let waiting = stack.client.submit(late).await;
    let task = stack.client.wait_ended(&waiting).await;
    assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("start_timeout"), &json!(0)), "{task}");
    let task = stack.client.wait_ended(&slow).await;
    assert_eq!(task["error"]["type"], "run_timeout", "{task}");
    assert!(task["runMs"].as_u64().unwrap() >= 2_500, "{task}");
    stack.wait_idle().await;
    assert_eq!((stack.executions(&slow), stack.executions(&waiting)), (1, 0));
    super::happens(&stack, &stack.sims[0], LogEvent::Interrupted, &prompt(&slow, 1)).await;
}

/// A task that waits at its instance behind the prompt of another client has not started either.
#[tokio::test]
async fn a_start_limit_holds_inside_the_instance() {
    let stack = Stack::start(1, 1).await;
    let foreign = "00000000-0000-4000-8000-000000000002";
    post_foreign(&stack.sims[0], foreign, workflow::steps(300, 30.0)).await;
    let id =
        stack.client.submit(json!({"workflow": workflow::quick(1), "startBy": after(Duration::from_secs(1))})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "start_timeout", "{task}\n{}", stack.log());
    stack.wait_idle().await;
    let log = stack.sims[0].log();
    assert_eq!(stack.executions(&id), 0);
    let left =
        log.iter().filter(|entry| entry.event == LogEvent::Submitted && entry.prompt_id == prompt(&id, 1)).count();
    assert_eq!(left, super::count(&stack.sims[0], LogEvent::Deleted, &prompt(&id, 1)), "the prompt has left the queue");
    assert_eq!(super::count(&stack.sims[0], LogEvent::Interrupted, foreign), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_by_that_passed_without_a_dispatcher_fails_the_task_once_one_starts() {
    let mut stack = Stack::start(1, 0).await;
    let by = after(Duration::from_secs(2));
    let body = json!({"workflow": workflow::quick(1), "startBy": by});
    let (overdue, patient) =
        (stack.client.submit(body).await, stack.client.submit(json!({"workflow": workflow::quick(2)})).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(stack.client.task(&overdue).await["status"], "pending", "no dispatcher could end it");
    let began = Instant::now();
    stack.add_dispatcher();
    let task = stack.client.wait_ended(&overdue).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(task["error"]["type"], "start_timeout", "{task}");
    assert_eq!(stack.client.wait_ended(&patient).await["status"], "completed");
    assert_eq!(stack.executions(&overdue), 0, "it never began");
}

/// The task was claimed by an instance that could not start it in time: the slot is released.
#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_task_that_could_not_start_in_time_frees_its_slot() {
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
async fn a_run_that_became_overdue_without_a_dispatcher_is_ended_by_the_next() {
    let mut stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(600, 60.0), "timeoutMs": 3_000})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.dispatchers[0].kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(stack.client.task(&id).await["status"], "running", "no dispatcher could end it");
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
