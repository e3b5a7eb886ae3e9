//! Takeovers and hand-overs during a submit or a run.

use super::{happens, http_proxy::Action, prompt, proxied};
use crate::support::{
    raw::RawRedis,
    stack::{Stack, workflow},
};
use serde_json::json;
use shuzhiren::sim::LogEvent;
use std::time::Duration;
use tokio::time::Instant;

/// `timeoutMs` limits the run, not its owner: it continues without a dispatcher.
#[tokio::test]
async fn a_time_limit_continues_over_a_takeover() {
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
    assert!(back.elapsed() < limit, "the limit did not start again");
    assert_eq!(stack.executions(&id), 1);
    happens(&stack, &stack.sims[0], LogEvent::Interrupted, &prompt(&id, 1)).await;
    stack.wait_idle().await;
}

/// A POST of a dead owner may still be on its way: the next owner posts nothing until that is impossible.
#[tokio::test]
async fn a_takeover_waits_for_a_post_in_progress() {
    let (mut stack, proxy) = proxied(&[("SHUZHIREN_HTTP_TIMEOUT", "5s")]).await;
    proxy.rule("POST /prompt", 1, Action::Hold);
    let id = stack.client.submit(json!({"workflow": workflow::steps(10, 1.0)})).await;
    proxy.wait_requests("POST /prompt", 1).await;
    stack.dispatchers[0].kill();
    stack.add_dispatcher();
    // The new owner looks twice and finds no prompt.
    proxy.wait_requests(&format!("GET /history/{}", prompt(&id, 1)), 2).await;
    // The POST arrives late, but within the HTTP timeout.
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.release();
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!((proxy.requests("POST /prompt"), stack.executions(&id)), (1, 1), "{}", stack.log());
}

/// A hand-over waits for the answer to a POST, because the next owner could not know about the prompt.
#[tokio::test]
async fn a_hand_over_waits_for_a_post_in_progress() {
    let (mut stack, proxy) = proxied(&[("SHUZHIREN_HTTP_TIMEOUT", "30s")]).await;
    proxy.rule("POST /prompt", 1, Action::Hold);
    let id = stack.client.submit(json!({"workflow": workflow::steps(10, 1.0)})).await;
    proxy.wait_requests("POST /prompt", 1).await;
    stack.add_dispatcher();
    stack.dispatchers[0].signal("-TERM");
    let release = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.release();
    };
    let (stopped, ()) = tokio::join!(
        async {
            let code = stack.dispatchers[0].wait_exit(Duration::from_secs(15)).await;
            (code, proxy.answered("POST /prompt"))
        },
        release
    );
    assert_eq!(stopped, (Some(0), 1), "it exited before the answer arrived\n{}", stack.log());
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!((proxy.requests("POST /prompt"), stack.executions(&id)), (1, 1));
}

/// The owner recorded the prompt as an orphan and died before it ended the attempt: the next owner continues it.
#[tokio::test]
async fn a_recovered_prompt_is_not_cancelled_as_an_orphan() {
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

/// A dead owner's POST arrives while the next owner runs the same prompt: the copy does not execute.
#[tokio::test]
async fn a_copy_that_arrives_after_a_takeover_does_not_run() {
    let mut stack = Stack::start(1, 1).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(80, 8.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.dispatchers[0].kill();
    stack.add_dispatcher();
    super::post_foreign(&stack.sims[0], &prompt(&id, 1), workflow::steps(80, 8.0)).await;
    happens(&stack, &stack.sims[0], LogEvent::Deleted, &prompt(&id, 1)).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!(stack.executions(&id), 1);
}

/// A dispatcher that loses its lease before it can settle leaves the result at the instance, where the next owner finds it.
#[tokio::test]
async fn a_result_is_left_for_the_next_owner_when_the_lease_is_lost() {
    let (stack, proxy) = proxied(&[("SHUZHIREN_LEASE_TTL", "6s")]).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(10, 1.0)})).await;
    proxy.rule("GET /history", 1, Action::Hold);
    proxy.wait_requests(&format!("GET /history/{}", prompt(&id, 1)), 1).await;
    let key = format!("{{shuzhiren}}:instance:127.0.0.1:{}", proxy.port);
    RawRedis::connect(&stack.redis.socket()).run(&["HSET", &key, "token", "another"]);
    proxy.release();
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!(stack.executions(&id), 1, "{}", stack.log());
}
