//! Silence is not death: a silent node goes on while its instance shows it; and what a task says meanwhile.

use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::{Value, json};

fn silent(seconds: f64) -> Value {
    json!({
        "1": {"class_type": "SleepSilent", "inputs": {"seconds": seconds}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    })
}

/// Bug report 2: a silent node outlives the limit for prompts that are not executed.
#[tokio::test]
async fn a_silent_node_goes_on_while_its_instance_shows_it() {
    let stack = Stack::start_with(1, 1, &[("SHUZHIREN_STALL_TIMEOUT", "1s")]).await;
    let id = stack.client.submit(json!({"workflow": silent(9.0)})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}\n{}", stack.log());
    assert_eq!(stack.executions(&id), 1);
}

/// Bug report 2: the error names node, class, setting and the last message; the same stall is tried once more only.
#[tokio::test]
async fn a_stalled_node_is_named_and_tried_once_more_elsewhere() {
    let stack = Stack::start_with(3, 1, &[("SHUZHIREN_SILENT_TIMEOUT", "2s")]).await;
    let id = stack.client.submit(json!({"workflow": silent(600.0), "maxAttempts": 5})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("stalled"), &json!(2)), "{task}\n{}", stack.log());
    assert_eq!((&task["error"]["nodeId"], &task["error"]["nodeType"]), (&json!("1"), &json!("SleepSilent")));
    let message = task["error"]["message"].as_str().unwrap();
    for part in ["node 1 (SleepSilent)", "--silent-timeout", "shows the prompt as running", "node 1 executes"] {
        assert!(message.contains(part), "{message}");
    }
    assert_ne!(task["attempts"][0]["instanceId"], task["attempts"][1]["instanceId"], "{task}");
}

/// Bug report 2: a task whose instance is down says so.
#[tokio::test]
async fn a_task_on_an_absent_instance_says_so() {
    let stack = Stack::start_with(1, 1, &[("SHUZHIREN_GONE_AFTER", "5m")]).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(50, 5.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.sims[0].set(|faults| faults.hang = true);
    let why = eventually("the task says that its instance is down", WAIT_MAX, || async {
        stack.client.task(&id).await["waitingFor"].as_str().map(str::to_owned)
    })
    .await;
    let address = stack.sims[0].addr().to_string();
    assert!(why.contains(&address) && why.contains("down since") && why.contains("runs elsewhere in"), "{why}");
    stack.sims[0].set(|faults| faults.hang = false);
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}");
    assert_eq!(task["waitingFor"], Value::Null);
}

/// Bug report 26: another client's prompt is before ours.
#[tokio::test]
async fn prompts_of_other_clients_are_told() {
    let stack = Stack::start(1, 1).await;
    let other = json!({"prompt": silent(30.0), "client_id": "somebody"});
    let posted = reqwest::Client::new().post(format!("{}/prompt", stack.sims[0].url())).json(&other).send().await;
    assert!(posted.unwrap().status().is_success());
    let id = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    eventually("the task says what is before it", WAIT_MAX, || async {
        let task = stack.client.task(&id).await;
        task["waitingFor"].as_str()?.contains("1 prompt of somebody else is before it").then_some(())
    })
    .await;
    let interrupt = reqwest::Client::new().post(format!("{}/interrupt", stack.sims[0].url())).json(&json!({}));
    interrupt.send().await.unwrap();
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed", "{}", stack.log());
}
