//! Orphan prompts are cancelled whenever they reach the instance, by its current owner.

use super::{count, happens, http_proxy::Action, prompt, proxied};
use crate::support::stack::workflow;
use serde_json::json;
use shuzhiren::sim::LogEvent;

const SHORT: &[(&str, &str)] = &[("SHUZHIREN_HTTP_TIMEOUT", "1s")];

/// A POST arrives long after its attempt has ended; its dispatcher may be dead by then.
async fn late_prompt_is_cancelled(is_killed: bool) {
    let (mut stack, proxy) = proxied(SHORT).await;
    proxy.rule("POST /prompt", 1, Action::Hold);
    // Longer than a takeover: the late prompt must find the second attempt still running.
    let seconds = if is_killed { 18.0 } else { 6.0 };
    let id = stack.client.submit(json!({"workflow": workflow::steps(120, seconds)})).await;
    proxy.wait_requests("POST /prompt", 2).await;
    let queue_before = proxy.requests("GET /queue");
    if is_killed {
        stack.dispatchers[0].kill();
        stack.add_dispatcher();
    }
    // The second attempt runs, and orphans were looked for more than once.
    happens(&stack, &stack.sims[0], LogEvent::Started, &prompt(&id, 2)).await;
    proxy.wait_requests("GET /queue", queue_before + 4).await;
    proxy.release();
    happens(&stack, &stack.sims[0], LogEvent::Submitted, &prompt(&id, 1)).await;
    happens(&stack, &stack.sims[0], LogEvent::Deleted, &prompt(&id, 1)).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    assert_eq!(task["attempts"][0]["outcome"], "instance_unreachable", "{task}");
    assert_eq!((stack.executions(&id), count(&stack.sims[0], LogEvent::Started, &prompt(&id, 1))), (1, 0));
}

#[tokio::test]
async fn an_orphan_prompt_is_cancelled_when_it_arrives() {
    late_prompt_is_cancelled(false).await;
}

#[tokio::test]
async fn an_orphan_prompt_of_a_dead_dispatcher_is_cancelled_by_the_next() {
    late_prompt_is_cancelled(true).await;
}
