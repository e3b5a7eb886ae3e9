//! `tasks`, `show`, `explain`, `cancel`, `retry`.

use super::{Shell, Stack};
use crate::support::stack::workflow;
use serde_json::json;

#[tokio::test]
async fn tasks_are_listed_filtered_and_paged() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    for seed in 0..205 {
        stack.client.submit(json!({"workflow": workflow::quick(seed)})).await;
    }
    let cancelled = stack.client.submit(json!({"workflow": workflow::quick(1), "metadata": {"n": 1e-7}})).await;
    stack.client.delete(&format!("/api/tasks/{cancelled}")).await;

    let all = shell.run(&["tasks", "--json", "-n", "500"]).await.json();
    assert_eq!((&all["total"], all["items"].as_array().unwrap().len()), (&json!(206), 206));
    let ids: std::collections::BTreeSet<_> =
        all["items"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 206, "no task twice over the pages");
    let ran = shell.run(&["tasks", "--status", "cancelled", "--json"]).await;
    assert_eq!(ran.json()["items"][0]["id"], cancelled.as_str());
    let ran = shell.run(&["tasks", "--status", "pending", "-n", "3"]).await;
    assert_eq!((ran.code, ran.out.lines().count()), (0, 4), "a head and three rows: {ran:?}");
    assert!(ran.out.starts_with("ID ") && ran.err.contains("3 of 205"), "{ran:?}");
    assert!(!ran.out.contains('\x1b'), "no colours where no terminal is");
    let empty = shell.run(&["tasks", "--status", "failed", "--json"]).await.json();
    assert_eq!(empty, json!({"total": 0, "items": []}));
    let ran = shell.run(&["tasks", "--status", "done"]).await;
    assert_eq!(ran.code, 6, "{ran:?}");
    assert_eq!(shell.run(&["tasks", "-n", "0"]).await.code, 2);
}

#[tokio::test]
async fn a_task_is_shown_and_explained() {
    let mut stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    let file = shell.workflow(&workflow::quick(1));
    let id = shell.ok(&["submit", &file, "--priority", "low"]).await;
    let id = id.trim_end();
    let said = shell.ok(&["explain", id]).await;
    assert!(said.starts_with("It has been waiting") && said.contains("Its priority is low."), "{said}");
    let waits = stack.client.task(id).await["waitingFor"].as_str().unwrap().to_owned();
    assert!(said.contains(&waits), "{said}: {waits}");
    assert!(shell.ok(&["show", id]).await.contains("status      pending: waits for"));

    stack.add_dispatcher();
    stack.client.wait_ended(id).await;
    let said = shell.run(&["explain", id, "--json"]).await.json();
    assert_eq!(said["status"], "completed");
    assert!(said["sentences"][0].as_str().unwrap().starts_with("It completed: it waited"), "{said}");
    let shown = shell.run(&["show", id, "--json"]).await.json();
    assert_eq!(shown, stack.client.task(id).await);

    let mut failing = workflow::steps(4, 0.2);
    failing["2"]["inputs"]["fail_at"] = json!(2);
    let failed = stack.client.submit(json!({"workflow": failing})).await;
    stack.client.wait_ended(&failed).await;
    let said = shell.ok(&["explain", &failed]).await;
    assert!(said.contains("It failed in node 2 (TestSteps)") && said.contains("correct the workflow"), "{said}");
    assert!(said.contains("Attempt 1 on 127.0.0.1:"), "{said}");
    assert!(shell.ok(&["tasks", "--error-type", "node_error"]).await.contains(&failed));
}

#[tokio::test]
async fn tasks_are_cancelled_and_retried() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    let file = shell.workflow(&workflow::quick(1));
    let (a, b) = (shell.ok(&["submit", &file]).await, shell.ok(&["submit", &file]).await);
    let (a, b) = (a.trim_end(), b.trim_end());
    let unknown = "01a20ad8-50a6-74e5-b6f1-083609404e43";
    // One that does not exist does not keep the others.
    let ran = shell.run(&["cancel", a, unknown, b]).await;
    assert_eq!((ran.code, ran.out), (4, format!("{a} cancelled\n{b} cancelled\n")));
    assert_eq!(shell.ok(&["cancel", a]).await, format!("{a} cancelled\n"), "idempotent");
    let ran = shell.run(&["retry", a, "--json"]).await.json();
    assert_eq!((&ran["status"], &ran["revived"]), (&json!("pending"), &json!(1)));
    assert_eq!(stack.client.task(b).await["status"], "cancelled");
    assert_eq!(shell.run(&["cancel"]).await.code, 2);
}

#[tokio::test]
async fn a_completed_task_is_neither_cancelled_nor_retried() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    stack.client.wait_ended(&id).await;
    for command in ["cancel", "retry"] {
        let ran = shell.run(&[command, &id]).await;
        assert_eq!(ran.code, 6, "{ran:?}");
        assert!(ran.err.contains("completed"), "{ran:?}");
    }
}
