//! The dead-letter list and `POST /api/tasks/:id/retry`.

use super::server::{Api, assert_refused, data, token_of, workflow};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow as graph},
};
use serde_json::{Value, json};
use shuzhiren::{
    queue::{Lease, Written},
    task::{Failure, FailureKind, Outcome},
};

async fn fail(api: &Api, lease: &Lease, kind: FailureKind) {
    let claim = api.claim(lease).await;
    let failure = Failure { node_id: Some("3".to_owned()), ..Failure::new(kind, "it broke") };
    let outcome = Outcome::Failed { failure, outputs: Vec::new() };
    assert_eq!(api.queue.settle(lease, claim.task, claim.attempt, &outcome).await.unwrap(), Written::Done);
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_tasks_are_listed_with_their_reasons() {
    let api = Api::with_instance().await;
    let lease = api.lease().await;
    let (broken, slow, waiting) = (api.submit().await, api.submit().await, api.submit().await);
    fail(&api, &lease, FailureKind::NodeError).await;
    fail(&api, &lease, FailureKind::RunTimeout).await;
    let page = data(&api.get("/api/tasks?status=failed").await);
    assert_eq!((&page["total"], ids(&page)), (&json!(2), vec![slow.as_str(), &broken]));
    let error = &page["items"][1]["error"];
    assert_eq!(
        (&error["type"], &error["message"], &error["nodeId"]),
        (&json!("node_error"), &json!("it broke"), &json!("3"))
    );
    assert_eq!(page["items"][1]["attempts"][0]["outcome"], "node_error");
    for (query, expected) in [
        ("errorType=node_error", vec![broken.as_str()]),
        ("errorType=node_error&status=failed", vec![&broken]),
        ("errorType=run_timeout,node_error,poison", vec![&slow, &broken]),
        ("errorType=run_timeout,node_error&limit=1&offset=1", vec![&broken]),
        ("errorType=poison", vec![]),
    ] {
        assert_eq!(ids(&data(&api.get(&format!("/api/tasks?{query}")).await)), expected, "{query}");
    }
    for query in
        ["errorType=", "errorType=NODE_ERROR", "errorType=x", "errorType=poison&status=pending", "errortype=poison"]
    {
        assert_refused(&api.get(&format!("/api/tasks?{query}")).await, 400, "invalid_query", query);
    }
    let mut guest = api;
    guest.token = token_of("guest", "user");
    assert_refused(&guest.get("/api/tasks?errorType=poison").await, 403, "forbidden", "everybody's failures");
    assert_refused(&guest.post(&format!("/api/tasks/{broken}/retry"), &json!({})).await, 404, "not_found", "another's");
    assert_refused(
        &guest.post(&format!("/api/tasks/{waiting}/retry"), &json!({})).await,
        404,
        "not_found",
        "another's",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gives_another_life_once() {
    let api = Api::with_instance().await;
    let lease = api.lease().await;
    let id = api.submit().await;
    let path = format!("/api/tasks/{id}/retry");
    let retry = async || api.send("POST", &path, &[("authorization", &api.bearer())], b"").await;
    assert_refused(&retry().await, 409, "task_not_ended", "waiting");
    fail(&api, &lease, FailureKind::NodeError).await;
    // The answer was lost, the client says it again.
    for _ in 0..2 {
        let task = data(&retry().await);
        assert_eq!((&task["id"], &task["status"], &task["revived"]), (&json!(id), &json!("pending"), &json!(1)));
        assert_eq!(task["attempts"][0]["outcome"], "node_error");
    }
    assert_eq!(data(&api.get("/api/tasks?errorType=node_error").await)["total"], 0);
    let claim = api.claim(&lease).await;
    assert_eq!((claim.task.to_string(), claim.attempt.get()), (id.clone(), 2));
    let completed = Outcome::Completed(Vec::new());
    assert_eq!(api.queue.settle(&lease, claim.task, claim.attempt, &completed).await.unwrap(), Written::Done);
    assert_refused(&retry().await, 409, "task_ended", "completed");
    let task = data(&api.get(&format!("/api/tasks/{id}")).await);
    assert_eq!(
        (&task["status"], task.get("error"), task["attempts"].as_array().unwrap().len()),
        (&json!("completed"), None, 2)
    );
    assert_refused(&api.post("/api/tasks/x/retry", &json!({})).await, 404, "not_found", "no id");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_is_retried_when_its_instance_has_stopped() {
    let api = Api::with_instance().await;
    let lease = api.lease().await;
    let id = api.submit().await;
    let claim = api.claim(&lease).await;
    data(&api.delete(&format!("/api/tasks/{id}")).await);
    let path = format!("/api/tasks/{id}/retry");
    let early = api.post(&path, &json!({})).await;
    assert_refused(&early, 409, "task_not_ended", "its instance has it");
    assert!(early.json()["message"].as_str().unwrap().contains("not stopped"), "{}", early.json());
    api.queue.release(&lease, claim.task).await.unwrap();
    assert_eq!(data(&api.post(&path, &json!({})).await)["status"], "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_without_its_files_or_its_workflow_is_refused() {
    let api = Api::start().await;
    let file =
        data(&super::upload::upload(&api, "a.png", super::upload::PNG).await)["fileId"].as_str().unwrap().to_owned();
    let mut graph = workflow();
    graph["5"] = json!({"class_type": "LoadImage", "inputs": {"image": ""}});
    let body = json!({"workflow": graph, "params": {"5": {"image": {"$file": file}}}});
    let id = data(&api.post("/api/tasks", &body).await)["id"].as_str().unwrap().to_owned();
    let (path, task) = (format!("/api/tasks/{id}/retry"), format!("/api/tasks/{id}"));
    data(&api.delete(&task).await);
    data(&api.post(&path, &json!({})).await);
    assert_refused(&api.delete(&format!("/api/files/{file}")).await, 409, "file_in_use", "needed again");
    data(&api.delete(&task).await);
    data(&api.delete(&format!("/api/files/{file}")).await);
    assert_refused(&api.post(&path, &json!({})).await, 422, "no_such_file", "deleted meanwhile");

    let id = api.submit().await;
    data(&api.delete(&format!("/api/tasks/{id}")).await);
    crate::support::raw::RawRedis::connect(&api.redis.socket()).run(&["DEL", &format!("{{test}}:payload:{id}")]);
    assert_refused(&api.post(&format!("/api/tasks/{id}/retry"), &json!({})).await, 409, "workflow_gone", "payload");
}

/// With a real dispatcher: the second life runs as a new attempt, on the instance where the first one failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_retried_task_runs_again() {
    let stack = Stack::start(1, 1).await;
    let slow = json!({"workflow": graph::steps(300, 30.0), "timeoutMs": 1_000, "maxAttempts": 1});
    let id = stack.client.submit(slow).await;
    assert_eq!(stack.client.wait_ended(&id).await["error"]["type"], "run_timeout");
    let again = async || stack.client.call(reqwest::Method::POST, &format!("/api/tasks/{id}/retry"), None).await;
    let (status, _) = eventually("the instance has stopped it", WAIT_MAX, async || {
        Some(again().await).filter(|(status, _)| *status != 409)
    })
    .await;
    assert_eq!(status, 200);
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(
        (&task["error"]["type"], &task["attempt"], &task["revived"]),
        (&json!("run_timeout"), &json!(2), &json!(1))
    );
    assert_eq!((stack.executions(&id), task["attempts"].as_array().unwrap().len()), (2, 2));
    stack.wait_idle().await;
    // Cancelled in its third life, and quiet after it.
    eventually("it lives again", WAIT_MAX, async || Some(again().await).filter(|(status, _)| *status == 200)).await;
    stack.client.delete(&format!("/api/tasks/{id}")).await;
    assert_eq!(stack.client.wait_ended(&id).await["status"], "cancelled");
    stack.wait_idle().await;
}
