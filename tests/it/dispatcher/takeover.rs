//! Takeovers and hand-overs while something is under way.

use super::{front::Act, fronted, happens, prompt};
use crate::support::{
    raw::RawRedis,
    stack::{Stack, workflow},
};
use serde_json::json;
use shuzhiren::sim::Happened;
use std::time::Duration;
use tokio::time::Instant;

/// `timeoutMs` is of the run, not of its owner: it goes on while nobody looks.
#[tokio::test]
async fn a_time_limit_goes_on_over_a_takeover() {
    let mut stack = Stack::start(1, 1).await;
    let limit = Duration::from_secs(5);
    let body = json!({"workflow": workflow::steps(600, 60.0), "timeoutMs": 5000});
    let id = stack.client.submit(body).await;
    stack.client.wait_for(&id, &["running"]).await;
    let begun = Instant::now();
    stack.dispatchers[0].kill();
    // The limit passes while every dispatcher is down.
    tokio::time::sleep_until(begun + limit).await;
    stack.add_dispatcher();
    let back = Instant::now();
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(
        (&task["error"]["type"], &task["attempt"]),
        (&json!("run_timeout"), &json!(1)),
        "{task}\n{}",
        stack.log()
    );
    assert!(back.elapsed() < limit, "it did not begin anew");
    assert_eq!(stack.executions(&id), 1);
    happens(&stack, &stack.sims[0], Happened::Interrupted, &prompt(&id, 1)).await;
    stack.wait_idle().await;
}

/// A request of a dead owner may still be on its way: the next one sends nothing before that cannot be any more.
#[tokio::test]
async fn a_takeover_waits_for_a_request_on_its_way() {
    let (mut stack, front) = fronted(&[("SHUZHIREN_HTTP_TIMEOUT", "5s")]).await;
    front.rule("POST /prompt", 1, Act::Hold);
    let id = stack.client.submit(json!({"workflow": workflow::steps(10, 1.0)})).await;
    front.wait_asked("POST /prompt", 1).await;
    stack.dispatchers[0].kill();
    stack.add_dispatcher();
    // Twice the new owner hears that there is no such prompt.
    front.wait_asked(&format!("GET /history/{}", prompt(&id, 1)), 2).await;
    // So late is the request, and within the time that a request may take.
    tokio::time::sleep(Duration::from_secs(2)).await;
    front.release();
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!((front.asked("POST /prompt"), stack.executions(&id)), (1, 1), "{}", stack.log());
}

/// A hand-over waits for the answer of a request under way: the next owner could not know of it.
#[tokio::test]
async fn a_hand_over_waits_for_a_request_on_its_way() {
    let (mut stack, front) = fronted(&[("SHUZHIREN_HTTP_TIMEOUT", "30s")]).await;
    front.rule("POST /prompt", 1, Act::Hold);
    let id = stack.client.submit(json!({"workflow": workflow::steps(10, 1.0)})).await;
    front.wait_asked("POST /prompt", 1).await;
    stack.add_dispatcher();
    stack.dispatchers[0].signal("-TERM");
    let release = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        front.release();
    };
    let (stopped, ()) = tokio::join!(
        async {
            let code = stack.dispatchers[0].wait_exit(Duration::from_secs(15)).await;
            (code, front.answered("POST /prompt"))
        },
        release
    );
    assert_eq!(stopped, (Some(0), 1), "it left before the answer came\n{}", stack.log());
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!((front.asked("POST /prompt"), stack.executions(&id)), (1, 1));
}

/// Its owner gave it up and died before it could say so: the next one runs it, under the same name, and does not drop it.
#[tokio::test]
async fn a_prompt_that_is_taken_up_again_is_no_stray() {
    let mut stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(40, 4.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    let now_ms = jiff::Timestamp::now().as_millisecond().to_string();
    let key = format!("{{shuzhiren}}:strays:{}", stack.sims[0].addr());
    RawRedis::connect(&stack.redis.socket()).run(&["ZADD", &key, &now_ms, &prompt(&id, 1)]);
    stack.dispatchers[0].kill();
    stack.add_dispatcher();
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!(stack.executions(&id), 1);
}

/// A request of the dead owner that comes while the next one runs the same prompt: its copy does not run.
#[tokio::test]
async fn a_copy_that_comes_after_a_takeover_does_not_run() {
    let mut stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(80, 8.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.dispatchers[0].kill();
    stack.add_dispatcher();
    super::post_stranger(&stack.sims[0], &prompt(&id, 1), workflow::steps(80, 8.0)).await;
    happens(&stack, &stack.sims[0], Happened::Deleted, &prompt(&id, 1)).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!(stack.executions(&id), 1);
}
