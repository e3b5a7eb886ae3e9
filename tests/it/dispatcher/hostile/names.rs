//! Output names that no request can be made from are left out with the reason; a task that has nothing else fails at once.

use super::{
    super::put_fleet,
    instance::{HostileInstance, Script, history, ok},
};
use crate::support::stack::{Stack, workflow};
use serde_json::json;

#[tokio::test]
async fn an_unusable_output_name_is_left_out_or_fails_the_task_at_once() {
    let mut stack = Stack::start(1, 0).await;
    let instance = HostileInstance::start().await;
    put_fleet(&stack, &[instance.port]).await;
    stack.add_dispatcher();
    stack.wait_instances_up(1).await;
    let long = format!(r#"{{"filename":"{}"}}"#, "x".repeat(5_000));
    let names = [
        r#"{"filename":"../../etc/passwd"}"#,
        r#"{"filename":"a\u0000b.png"}"#,
        r#"{"filename":"a\r\nb.png"}"#,
        r#"{"filename":5}"#,
        r#"{"filename":["a.png"]}"#,
        r#"{"filename":""}"#,
        r#"{"filename":"a\udce4.png"}"#,
        r#"{"filename":"a.png","subfolder":"../.."}"#,
        r#"{"filename":"a.png","subfolder":7}"#,
        r#"{"filename":"a.png","type":7}"#,
        &long,
    ];
    for (seed, name) in names.into_iter().enumerate() {
        let outputs = format!(r#"{{"3":{{"images":[{name}]}}}}"#);
        instance.play(Script::history(move |prompt| ok(history(prompt, &outputs))));
        let id = stack.client.submit(json!({"workflow": workflow::quick(seed as u64), "maxAttempts": 3})).await;
        let task = stack.client.wait_ended(&id).await;
        assert_eq!((&task["status"], &task["attempt"]), (&json!("failed"), &json!(1)), "{name}: {task}");
        assert_eq!((&task["error"]["type"], &task["error"]["nodeId"]), (&json!("output_unavailable"), &json!("3")));
        let message = task["error"]["message"].as_str().unwrap();
        assert!(message.contains("name") && message.len() < 500 && !message.contains('\0'), "{name}: {message}");
    }
    assert_eq!(instance.requests("POST /prompt"), names.len(), "no prompt ran twice");
    assert_eq!(instance.requests("GET /view"), 0, "no unusable name is requested");
    assert_eq!(stack.stored_files(), [""; 0], "no file of a failed task is left without a name in it");
    let outputs = format!(r#"{{"3":{{"images":[{{"filename":"fine.png"}},{}]}}}}"#, names[0]);
    instance.play(Script::history(move |prompt| ok(history(prompt, &outputs))));
    let id = stack.client.submit(json!({"workflow": workflow::quick(99)})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(
        (&task["status"], &task["warnings"][0]["code"]),
        (&json!("completed"), &json!("output_dropped")),
        "{task}"
    );
}
