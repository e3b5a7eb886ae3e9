//! A cancel in every state of a task: it is final for the caller, frees the GPU within two seconds, and leaves the
//! prompts of other clients alone.

use super::{
    count, happens,
    http_proxy::{Action, HttpProxy},
    post_foreign, prompt, proxied,
};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::{Value, json};
use shuzhiren::sim::{LogEvent, Times};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time until the instance is free again.
const FREE_WITHIN: Duration = Duration::from_secs(2);

/// Cancels a task. Asserts that the answer is final and that the task has left the instance in time.
async fn cancel(stack: &Stack, id: &str) -> Value {
    let answer = stack.client.delete(&format!("/api/tasks/{id}")).await;
    assert_eq!(answer["status"], "cancelled", "{answer}");
    let begun = Instant::now();
    let sim = &stack.sims[0];
    eventually("the slot is free and the task has left the instance", WAIT_MAX, || async {
        let overview = stack.client.get("/api/monitor/overview").await;
        let queue: Value = reqwest::get(format!("{}/queue", sim.url())).await.ok()?.json().await.ok()?;
        let is_there = (1..4).any(|attempt| queue.to_string().contains(&prompt(id, attempt)));
        (overview["busyInstances"] == 0 && !is_there).then_some(())
    })
    .await;
    assert!(begun.elapsed() < FREE_WITHIN, "free after {:?}\n{}", begun.elapsed(), stack.log());
    let task = stack.client.task(id).await;
    assert_eq!(
        (&task["status"], &task["result"], &task["cancelRequested"]),
        (&json!("cancelled"), &Value::Null, &Value::Null)
    );
    task
}

/// A proxied stand-in whose HTTP requests may take long.
async fn patient() -> (Stack, HttpProxy) {
    proxied(&[("SHUZHIREN_HTTP_TIMEOUT", "20s")]).await
}

/// The operator's switch of the instance behind the proxy.
async fn set_enabled(stack: &Stack, proxy: &HttpProxy, enabled: bool) {
    stack.client.put(&format!("/api/instances/127.0.0.1:{}", proxy.port), json!({"enabled": enabled})).await;
}

#[tokio::test]
async fn a_task_between_two_attempts_is_cancelled() {
    let (stack, proxy) = patient().await;
    stack.sims[0].set(|faults| faults.prompt_500 = Times::Next(1));
    let id = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    eventually("the first attempt has failed", WAIT_MAX, || async {
        let task = stack.client.task(&id).await;
        (task["attempts"][0]["outcome"] == "instance_unreachable").then_some(())
    })
    .await;
    set_enabled(&stack, &proxy, false).await;
    let task = cancel(&stack, &id).await;
    assert!(task["attempts"].as_array().unwrap().len() == 1, "{task}");
    set_enabled(&stack, &proxy, true).await;
    stack.wait_idle().await;
    assert_eq!(stack.executions(&id), 0);
}

#[tokio::test]
async fn a_waiting_task_is_cancelled() {
    let (stack, proxy) = patient().await;
    set_enabled(&stack, &proxy, false).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(2)})).await;
    let task = cancel(&stack, &id).await;
    assert_eq!(task["attempt"], 0);
    set_enabled(&stack, &proxy, true).await;
    stack.wait_idle().await;
    assert_eq!(stack.executions(&id), 0);
}

#[tokio::test]
async fn a_task_is_cancelled_during_the_upload_of_its_input() {
    let (stack, proxy) = patient().await;
    proxy.rule("POST /upload/image", 1, Action::Hold);
    let picture = stack.client.upload("a.png", b"\x89PNG\r\n\x1a\nnot really".to_vec()).await;
    let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
                       "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}});
    let params = json!({"1.image": {"$file": picture["fileId"]}});
    let id = stack.client.submit(json!({"workflow": graph, "params": params})).await;
    proxy.wait_requests("POST /upload/image", 1).await;
    cancel(&stack, &id).await;
    proxy.release();
    stack.wait_idle().await;
    assert_eq!(stack.executions(&id), 0);
}

/// The instance has the prompt, and its answer to the POST is late.
#[tokio::test]
async fn a_task_is_cancelled_during_its_submit() {
    let (stack, _proxy) = patient().await;
    let sim = &stack.sims[0];
    sim.set(|faults| faults.prompt_delay_ms = 5_000);
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    happens(&stack, sim, LogEvent::Started, &prompt(&id, 1)).await;
    stack.client.delete(&format!("/api/tasks/{id}")).await;
    let cancelled = Instant::now();
    happens(&stack, sim, LogEvent::Interrupted, &prompt(&id, 1)).await;
    assert!(
        cancelled.elapsed() < FREE_WITHIN,
        "the GPU is free although the answer is late: {:?}",
        cancelled.elapsed()
    );
    sim.set(|faults| faults.prompt_delay_ms = 0);
    stack.wait_idle().await;
}

#[tokio::test]
async fn a_running_task_is_cancelled() {
    let (stack, _proxy) = proxied(&[]).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    cancel(&stack, &id).await;
    assert_eq!(count(&stack.sims[0], LogEvent::Interrupted, &prompt(&id, 1)), 1);
    stack.wait_idle().await;
    assert_eq!(stack.executions(&id), 1);
}

/// The task's prompt waits in the instance's queue, behind the prompt of another client.
#[tokio::test]
async fn a_task_that_waits_at_the_instance_is_cancelled() {
    let (stack, _proxy) = proxied(&[]).await;
    let foreign = "00000000-0000-4000-8000-000000000003";
    post_foreign(&stack.sims[0], foreign, workflow::steps(20, 2.0)).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(3)})).await;
    happens(&stack, &stack.sims[0], LogEvent::Submitted, &prompt(&id, 1)).await;
    cancel(&stack, &id).await;
    happens(&stack, &stack.sims[0], LogEvent::Succeeded, foreign).await;
    stack.wait_idle().await;
    assert_eq!(stack.executions(&id), 0);
}

#[tokio::test]
async fn a_task_is_cancelled_while_its_outputs_are_stored() {
    let (stack, proxy) = proxied(&[]).await;
    stack.sims[0].set(|faults| faults.view_trickle_ms = 50);
    let id = stack.client.submit(json!({"workflow": workflow::quick(4)})).await;
    proxy.wait_requests("GET /view", 1).await;
    cancel(&stack, &id).await;
    stack.sims[0].set(|faults| faults.view_trickle_ms = 0);
    eventually("its files are deleted", WAIT_MAX, || async { stack.stored_files().is_empty().then_some(()) }).await;
    assert_eq!(stack.client.get("/api/files").await["total"], 0);
    stack.wait_idle().await;
    assert_eq!(stack.executions(&id), 1);
}

#[tokio::test]
async fn a_cancel_while_the_owner_is_dead_is_carried_out_by_the_next() {
    let (mut stack, _proxy) = proxied(&[]).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.dispatchers[0].kill();
    let answer = stack.client.delete(&format!("/api/tasks/{id}")).await;
    assert_eq!((&answer["status"], &answer["cancelRequested"]), (&json!("cancelled"), &json!(true)), "{answer}");
    stack.add_dispatcher();
    happens(&stack, &stack.sims[0], LogEvent::Interrupted, &prompt(&id, 1)).await;
    stack.wait_idle().await;
    assert_eq!(stack.executions(&id), 1);
}

#[tokio::test]
async fn a_cancel_before_a_takeover_removes_the_late_prompt() {
    cancel_between_owners(true).await;
}

#[tokio::test]
async fn a_cancel_during_a_takeover_frees_the_slot_and_removes_the_late_prompt() {
    cancel_between_owners(false).await;
}

/// The dispatcher dies during its POST, which arrives after the cancel. The next owner waits for such a request; a
/// cancel in that time frees the slot, and the prompt is removed when it arrives.
async fn cancel_between_owners(is_cancelled_before: bool) {
    let (mut stack, proxy) = patient().await;
    proxy.rule("POST /prompt", 1, Action::Hold);
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    proxy.wait_requests("POST /prompt", 1).await;
    stack.dispatchers[0].kill();
    if is_cancelled_before {
        stack.client.delete(&format!("/api/tasks/{id}")).await;
    }
    stack.add_dispatcher();
    proxy.wait_requests(&format!("GET /history/{}", prompt(&id, 1)), if is_cancelled_before { 1 } else { 2 }).await;
    cancel(&stack, &id).await;
    proxy.release();
    happens(&stack, &stack.sims[0], LogEvent::Submitted, &prompt(&id, 1)).await;
    eventually("the late prompt is removed", WAIT_MAX, || async {
        let removed =
            [LogEvent::Deleted, LogEvent::Interrupted].map(|event| count(&stack.sims[0], event, &prompt(&id, 1)));
        (removed.iter().sum::<usize>() == 1).then_some(())
    })
    .await;
    assert_eq!(proxy.requests("POST /prompt"), 1);
    stack.wait_idle().await;
}

/// The instance does not answer: the cancel is final for the caller at once, and carried out when the instance is back.
#[tokio::test]
async fn a_cancel_reaches_an_instance_that_was_away() {
    let stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.sims[0].set(|faults| faults.hang = true);
    let answer = stack.client.delete(&format!("/api/tasks/{id}")).await;
    assert_eq!(answer["status"], "cancelled");
    stack.wait_idle().await;
    stack.sims[0].set(|faults| faults.hang = false);
    happens(&stack, &stack.sims[0], LogEvent::Interrupted, &prompt(&id, 1)).await;
    assert_eq!(stack.client.task(&id).await["status"], "cancelled");
    stack.wait_instances_up(1).await;
    super::completes_once(&stack, json!({"workflow": workflow::quick(1)})).await;
}
