//! A cancel in every state: final for its caller, the GPU free within two seconds, nobody else's prompt touched.

use super::{
    count,
    front::{Act, Front},
    fronted, happens, post_stranger, prompt,
};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::{Value, json};
use shuzhiren::sim::{Happened, Times};
use std::time::Duration;
use tokio::time::Instant;

/// So soon must the instance be free again.
const FREE_WITHIN: Duration = Duration::from_secs(2);

/// Cancels; the answer is final, and the instance has nothing of the task any more in time.
async fn cancel(stack: &Stack, id: &str) -> Value {
    let answer = stack.client.delete(&format!("/api/tasks/{id}")).await;
    assert_eq!(answer["status"], "cancelled", "{answer}");
    let begun = Instant::now();
    let sim = &stack.sims[0];
    eventually("the slot is free and the instance has nothing of it", WAIT_MAX, || async {
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

#[tokio::test]
async fn a_cancel_before_the_instance_has_it() {
    let (stack, front) = fronted(&[("SHUZHIREN_HTTP_TIMEOUT", "20s")]).await;
    let sim = &stack.sims[0];

    // Delayed: between two attempts. Queued: nobody has claimed it.
    sim.set(|faults| faults.prompt_500 = Times::Next(1));
    let delayed = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    eventually("the first try has failed", WAIT_MAX, || async {
        let task = stack.client.task(&delayed).await;
        (task["attempts"][0]["outcome"] == "instance_unreachable").then_some(())
    })
    .await;
    stack.client.put(&format!("/api/instances/127.0.0.1:{}", front.port), json!({"enabled": false})).await;
    let task = cancel(&stack, &delayed).await;
    assert!(task["attempts"].as_array().unwrap().len() == 1, "{task}");
    let queued = stack.client.submit(json!({"workflow": workflow::quick(2)})).await;
    let task = cancel(&stack, &queued).await;
    assert_eq!(task["attempt"], 0);
    stack.client.put(&format!("/api/instances/127.0.0.1:{}", front.port), json!({"enabled": true})).await;

    // Claimed, while an input is being uploaded.
    front.rule("POST /upload/image", 1, Act::Hold);
    let picture = stack.client.upload("a.png", b"\x89PNG\r\n\x1a\nnot really".to_vec()).await;
    let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
                       "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}});
    let params = json!({"1.image": {"$file": picture["fileId"]}});
    let uploading = stack.client.submit(json!({"workflow": graph, "params": params})).await;
    front.wait_asked("POST /upload/image", 1).await;
    cancel(&stack, &uploading).await;
    front.release();

    // Its submit is under way: the instance has it and answers late; or the request is still on the way.
    sim.set(|faults| faults.prompt_delay_ms = 5_000);
    let submitting = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    happens(&stack, sim, Happened::Started, &prompt(&submitting, 1)).await;
    stack.client.delete(&format!("/api/tasks/{submitting}")).await;
    let cancelled = Instant::now();
    happens(&stack, sim, Happened::Interrupted, &prompt(&submitting, 1)).await;
    assert!(
        cancelled.elapsed() < FREE_WITHIN,
        "the GPU is free though the answer is held up: {:?}",
        cancelled.elapsed()
    );
    sim.set(|faults| faults.prompt_delay_ms = 0);
    stack.wait_idle().await;
    assert_eq!([&delayed, &queued, &uploading].map(|id| stack.executions(id)), [0; 3]);
}

#[tokio::test]
async fn a_cancel_at_the_instance() {
    let (mut stack, front) = fronted(&[]).await;

    // Running.
    let running = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    stack.client.wait_for(&running, &["running"]).await;
    cancel(&stack, &running).await;
    assert_eq!(count(&stack.sims[0], Happened::Interrupted, &prompt(&running, 1)), 1);

    // Pending there, behind somebody else's.
    let stranger = "00000000-0000-4000-8000-000000000003";
    post_stranger(&stack.sims[0], stranger, workflow::steps(20, 2.0)).await;
    let pending = stack.client.submit(json!({"workflow": workflow::quick(3)})).await;
    happens(&stack, &stack.sims[0], Happened::Submitted, &prompt(&pending, 1)).await;
    cancel(&stack, &pending).await;
    happens(&stack, &stack.sims[0], Happened::Succeeded, stranger).await;

    // Its outputs are being stored.
    stack.sims[0].set(|faults| faults.view_trickle_ms = 50);
    let storing = stack.client.submit(json!({"workflow": workflow::quick(4)})).await;
    front.wait_asked("GET /view", 1).await;
    cancel(&stack, &storing).await;
    stack.sims[0].set(|faults| faults.view_trickle_ms = 0);
    eventually("nothing is left of it", WAIT_MAX, || async { stack.stored_files().is_empty().then_some(()) }).await;
    assert_eq!(stack.client.get("/api/files").await["total"], 0);

    // Its owner is dead, and the next one not there yet.
    let orphan = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    stack.client.wait_for(&orphan, &["running"]).await;
    stack.dispatchers[0].kill();
    let answer = stack.client.delete(&format!("/api/tasks/{orphan}")).await;
    assert_eq!((&answer["status"], &answer["cancelRequested"]), (&json!("cancelled"), &json!(true)), "{answer}");
    stack.add_dispatcher();
    happens(&stack, &stack.sims[0], Happened::Interrupted, &prompt(&orphan, 1)).await;
    stack.wait_idle().await;
    assert_eq!([&running, &pending, &storing, &orphan].map(|id| stack.executions(id)), [1, 0, 1, 1]);
}

/// The next owner waits for a request of the dead one; a cancel in that time frees the slot, and the request is dropped when it
/// comes.
#[tokio::test]
async fn a_cancel_during_a_takeover() {
    let (mut stack, front) = fronted(&[("SHUZHIREN_HTTP_TIMEOUT", "20s")]).await;
    for is_cancelled_before in [false, true] {
        cancel_between_owners(&mut stack, &front, is_cancelled_before).await;
    }
}

async fn cancel_between_owners(stack: &mut Stack, front: &Front, is_cancelled_before: bool) {
    front.hold_again();
    front.rule("POST /prompt", 1, Act::Hold);
    let posts = front.asked("POST /prompt");
    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    front.wait_asked("POST /prompt", posts + 1).await;
    stack.dispatchers.last_mut().unwrap().kill();
    if is_cancelled_before {
        stack.client.delete(&format!("/api/tasks/{id}")).await;
    }
    stack.add_dispatcher();
    front.wait_asked(&format!("GET /history/{}", prompt(&id, 1)), if is_cancelled_before { 1 } else { 2 }).await;
    cancel(stack, &id).await;
    front.release();
    happens(stack, &stack.sims[0], Happened::Submitted, &prompt(&id, 1)).await;
    eventually("the late request is dropped", WAIT_MAX, || async {
        let dropped =
            [Happened::Deleted, Happened::Interrupted].map(|event| count(&stack.sims[0], event, &prompt(&id, 1)));
        (dropped.iter().sum::<usize>() == 1).then_some(())
    })
    .await;
    assert_eq!(front.asked("POST /prompt"), posts + 1);
    stack.wait_idle().await;
}

/// A cancel while the instance does not answer: final for the caller at once; carried out when the instance is back.
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
    happens(&stack, &stack.sims[0], Happened::Interrupted, &prompt(&id, 1)).await;
    assert_eq!(stack.client.task(&id).await["status"], "cancelled");
    stack.wait_instances_up(1).await;
    super::completes_once(&stack, json!({"workflow": workflow::quick(1)})).await;
}
