//! Output of `watch` without ids: lines for people, and with `--json` the messages of the WebSocket.

use super::{Shell, Stack, interrupt, lines_of, next_line, rest};
use crate::support::stack::workflow;
use serde_json::{Value, json};

#[tokio::test]
async fn watch_without_ids_prints_every_event() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let mut programs = shell.command(&["watch", "--json"]).spawn().unwrap();
    let mut people = shell.command(&["watch"]).spawn().unwrap();
    let (mut told, mut said) = (lines_of(&mut programs), lines_of(&mut people));
    assert_eq!(serde_json::from_str::<Value>(&next_line(&mut told).await).unwrap()["type"], "global_status");
    // Without `--json` nothing is printed before the first event, so events are caused until one appears.
    let instance = stack.sims[0].addr().to_string();
    let path = format!("/api/instances/{instance}");
    let mut enabled = false;
    while !tokio::time::timeout(std::time::Duration::from_millis(500), said.next_line())
        .await
        .is_ok_and(|line| line.unwrap().is_some())
    {
        stack.client.put(&path, json!({"enabled": enabled})).await;
        enabled = !enabled;
    }
    stack.client.put(&path, json!({"enabled": true})).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(5, 0.5)})).await;
    let mut kinds = std::collections::BTreeSet::new();
    loop {
        let line: Value = serde_json::from_str(&next_line(&mut told).await).unwrap();
        kinds.insert(line["type"].as_str().unwrap().to_owned());
        if line["type"] == "task_completed" {
            assert!(line["data"]["result"]["files"][0].is_string(), "{line}");
            break;
        }
    }
    assert!(kinds.contains("task_progress") && kinds.contains("instance_status"), "{kinds:?}");
    while next_line(&mut said).await != format!("{id} completed") {}
    for (child, lines) in [(programs, told), (people, said)] {
        interrupt(&child);
        assert_eq!(rest(child, lines).await.code, 130);
    }
}
