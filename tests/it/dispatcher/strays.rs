//! Prompts that were given up and come all the same are dropped, whenever they come and whoever owns the instance then.

use super::{count, front::Act, fronted, happens, prompt};
use crate::support::stack::workflow;
use serde_json::json;
use shuzhiren::sim::Happened;

const SHORT: &[(&str, &str)] = &[("SHUZHIREN_HTTP_TIMEOUT", "1s")];

/// A request that is held up on the way until long after its attempt was given up; its dispatcher may be dead by then.
async fn a_late_request_is_dropped(is_killed: bool) {
    let (mut stack, front) = fronted(SHORT).await;
    front.rule("POST /prompt", 1, Act::Hold);
    // Longer than a takeover: the late prompt must find the second attempt still running.
    let seconds = if is_killed { 18.0 } else { 6.0 };
    let id = stack.client.submit(json!({"workflow": workflow::steps(120, seconds)})).await;
    front.wait_asked("POST /prompt", 2).await;
    let queue_before = front.asked("GET /queue");
    if is_killed {
        stack.dispatchers[0].kill();
        stack.add_dispatcher();
    }
    // The second attempt runs, and strays were looked for more than once.
    happens(&stack, &stack.sims[0], Happened::Started, &prompt(&id, 2)).await;
    front.wait_asked("GET /queue", queue_before + 4).await;
    front.release();
    happens(&stack, &stack.sims[0], Happened::Submitted, &prompt(&id, 1)).await;
    happens(&stack, &stack.sims[0], Happened::Deleted, &prompt(&id, 1)).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    assert_eq!(task["attempts"][0]["outcome"], "instance_unreachable", "{task}");
    assert_eq!((stack.executions(&id), count(&stack.sims[0], Happened::Started, &prompt(&id, 1))), (1, 0));
}

#[tokio::test]
async fn a_prompt_given_up_is_dropped_whenever_it_comes() {
    a_late_request_is_dropped(false).await;
}

#[tokio::test]
async fn the_next_owner_drops_what_the_last_one_gave_up() {
    a_late_request_is_dropped(true).await;
}
