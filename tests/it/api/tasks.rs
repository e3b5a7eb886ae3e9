//! `POST /api/tasks`, `GET|DELETE /api/tasks/:id`: the document, idempotency, refusals (safety.md §2.3).

use super::server::{Api, INSTANCE, Options, PUBLIC_URL, assert_refused, assert_time, data, workflow};
use serde_json::{Value, json};
use shuzhiren::{
    queue::Written,
    task::{FileId, Outcome, Output, OutputKind, Progress},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_task_is_answered_and_read_back() {
    let api = Api::with_instance().await;
    let body = json!({"workflow": workflow(), "params": {"3": {"steps": 30}}, "priority": "high", "timeoutMs": 60_000,
        "startBy": "2099-01-01T00:00:00Z", "maxAttempts": 5, "metadata": {"order": 1}});
    let task = data(&api.post("/api/tasks", &body).await);
    assert_eq!((&task["status"], &task["progress"], &task["instanceId"]), (&json!("pending"), &json!(0), &Value::Null));
    assert_eq!(task["id"], task["taskId"]);
    assert_eq!((&task["attempt"], &task["maxAttempts"], &task["priority"]), (&json!(0), &json!(5), &json!("high")));
    assert_eq!((&task["startBy"], &task["timeoutMs"]), (&json!("2099-01-01T00:00:00.000Z"), &json!(60_000)));
    assert_eq!(
        (&task["metadata"], &task["nodesTotal"], &task["owner"]),
        (&json!({"order": 1}), &json!(2), &json!("admin"))
    );
    ["createdAt", "updatedAt", "queuedAt"].iter().for_each(|name| assert_time(&task[name]));
    assert_eq!((&task["startedAt"], &task["finishedAt"]), (&Value::Null, &Value::Null));

    let path = format!("/api/tasks/{}", task["id"].as_str().unwrap());
    let detail = data(&api.get(&path).await);
    assert_eq!((&detail["params"], detail.get("workflow")), (&json!({"3": {"steps": 30}}), None));
    assert_eq!((&detail["queuePosition"], &detail["createdAt"]), (&json!(0), &task["createdAt"]));
    assert_eq!(detail["waitingFor"], "a dispatcher: none is running, next in line");
    let detail = data(&api.get(&format!("{path}?include=workflow")).await);
    assert_eq!(detail["workflow"]["3"]["inputs"]["steps"], 30);
    assert_refused(&api.get(&format!("{path}?include=secrets")).await, 400, "invalid_query", "include");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_shown_through_its_life() {
    let api = Api::with_instance().await;
    let lease = api.lease().await;
    let id = api.submit().await;
    let path = format!("/api/tasks/{id}");
    let claim = api.claim(&lease).await;
    let task = data(&api.get(&path).await);
    assert_eq!(
        (&task["status"], &task["attempt"], &task["instanceId"]),
        (&json!("pending"), &json!(1), &json!(INSTANCE))
    );
    assert_eq!(task["waitingFor"], format!("a dispatcher: none is running; the task has been given to {INSTANCE}"));

    assert_eq!(api.queue.start(&lease, claim.task, claim.attempt).await.unwrap(), Written::Done);
    let progress = Progress {
        percent: 50,
        current_node: Some("3".to_owned()),
        nodes_done: 1,
        nodes_total: 2,
        ..Progress::default()
    };
    api.queue.progress(&lease, claim.task, claim.attempt, &progress).await.unwrap();
    let task = data(&api.get(&path).await);
    assert_eq!(
        (&task["status"], &task["progress"], &task["currentNode"]),
        (&json!("running"), &json!(50), &json!("3"))
    );
    assert_eq!((&task["nodesDone"], &task["nodesTotal"], task.get("waitingFor")), (&json!(1), &json!(2), None));
    assert_time(&task["startedAt"]);

    let file_id = FileId::new();
    let output = Output {
        node_id: "9".to_owned(),
        kind: OutputKind::Image,
        file_id: Some(file_id),
        filename: Some("x.png".to_owned()),
        content_type: Some("image/png".to_owned()),
        size_bytes: Some(3),
        sha256: Some("ab".to_owned()),
        ..Output::default()
    };
    api.queue.settle(&lease, claim.task, claim.attempt, &Outcome::Completed(vec![output])).await.unwrap();
    let task = data(&api.get(&path).await);
    let url = format!("{PUBLIC_URL}/upload/file/{file_id}");
    assert_eq!((&task["status"], &task["progress"]), (&json!("completed"), &json!(100)));
    assert_eq!(task["result"]["files"], json!([url]));
    assert_eq!(
        task["result"]["outputs"],
        json!([{"nodeId": "9", "kind": "image", "fileId": file_id.to_string(), "url": url,
        "filename": "x.png", "contentType": "image/png", "sizeBytes": 3, "sha256": "ab"}])
    );
    assert_time(&task["finishedAt"]);
    assert!(task["queueMs"].is_u64() && task["runMs"].is_u64());

    let before = api.snapshot();
    let answer = api.delete(&path).await;
    assert_refused(&answer, 409, "task_ended", "cancel of a finished task");
    assert!(answer.json()["message"].as_str().unwrap().contains("completed"));
    assert_eq!(api.snapshot(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_final_and_can_be_repeated() {
    let api = Api::with_instance().await;
    let waiting = api.submit().await;
    for _ in 0..2 {
        let task = data(&api.delete(&format!("/api/tasks/{waiting}")).await);
        assert_eq!((&task["status"], task.get("cancelRequested")), (&json!("cancelled"), None));
    }
    let lease = api.lease().await;
    let id = api.submit().await;
    let claim = api.claim(&lease).await;
    api.queue.start(&lease, claim.task, claim.attempt).await.unwrap();
    let task = data(&api.delete(&format!("/api/tasks/{id}")).await);
    assert_eq!((&task["status"], &task["cancelRequested"]), (&json!("cancelled"), &json!(true)));
    api.queue.release(&lease, claim.task).await.unwrap();
    let task = data(&api.get(&format!("/api/tasks/{id}")).await);
    assert_eq!((&task["status"], task.get("cancelRequested")), (&json!("cancelled"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_and_body_is_the_same_task() {
    let api = Api::start().await;
    let body = json!({"workflow": workflow(), "startBy": "2099-01-01T00:00:00Z"}).to_string();
    let post = async |key: &str, body: &str| {
        api.json("POST", "/api/tasks", &[("idempotency-key", key)], body.as_bytes()).await
    };
    let first = post("order-1", &body).await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let id = data(&first)["id"].clone();
    let again = post("order-1", &body).await;
    assert_eq!((again.header("idempotency-replayed"), &data(&again)["id"]), ("true", &id));
    let other_body = post("order-1", &format!("{body} ")).await;
    assert_refused(&other_body, 422, "idempotency_key_reused", "other body");
    assert_ne!(data(&post("order-2", &body).await)["id"], id);
    assert_eq!(data(&api.get("/api/tasks").await)["total"], 2);
    for key in ["", "a b", "é", &"k".repeat(256)] {
        assert_refused(&post(key, &body).await, 400, "invalid_header", key);
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
    assert_refused(&api.json("POST", "/api/tasks", &twice, body.as_bytes()).await, 400, "invalid_header", "two keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_at_once_with_one_key_make_one_task() {
    let api = Api::start().await;
    let body = json!({"workflow": workflow()}).to_string();
    let posts = (0..16).map(|_| api.json("POST", "/api/tasks", &[("idempotency-key", "k")], body.as_bytes()));
    let answers = futures_util::future::join_all(posts).await;
    let first = data(&answers[0])["id"].clone();
    assert!(answers.iter().all(|answer| data(answer)["id"] == first));
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count(), 1);
    assert_eq!(data(&api.get("/api/tasks").await)["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_do_not_hold_are_refused_and_change_nothing() {
    let api = Api::start().await;
    let before = api.snapshot();
    let good = workflow();
    for (body, status, word) in [
        (json!({}), 400, "invalid_request"),
        (json!({"workflow": null}), 400, "invalid_request"),
        (json!({"workflow": {}}), 400, "invalid_workflow"),
        (json!({"workflow": []}), 400, "invalid_workflow"),
        (json!({"workflow": "x"}), 422, "workflow_unknown"),
        (json!({"workflow": 1}), 400, "invalid_workflow"),
        (json!({"workflow": {"1": null}}), 400, "invalid_workflow"),
        (json!({"workflow": {"1": {"class_type": 1, "inputs": {}}}}), 400, "invalid_workflow"),
        (json!({"workflow": {"1": {"class_type": "X"}}}), 400, "invalid_workflow"),
        (json!({"workflow": {"1": {"class_type": "X", "inputs": []}}}), 400, "invalid_workflow"),
        (json!({"workflow": good, "params": [7]}), 400, "invalid_params"),
        (json!({"workflow": good, "strict": "yes"}), 400, "invalid_request"),
        (json!({"workflow": good, "randomizeSeeds": true}), 400, "invalid_request"),
        (json!({"workflow": good, "params": null}), 400, "invalid_request"),
        (json!({"workflow": good, "params": "3.seed=1"}), 400, "invalid_request"),
        (json!({"workflow": good, "params": {"77.text": "x"}}), 422, "invalid_params"),
        (json!({"workflow": good, "priority": "urgent"}), 400, "invalid_request"),
        (json!({"workflow": good, "maxAttempts": 0}), 422, "invalid_request"),
        (json!({"workflow": good, "maxAttempts": "3"}), 400, "invalid_request"),
        (json!({"workflow": good, "timeoutMs": -1}), 422, "invalid_request"),
        (json!({"workflow": good, "startBy": "soon"}), 400, "invalid_request"),
        (json!({"workflow": good, "startBy": "2001-01-01T00:00:00Z"}), 422, "invalid_request"),
        (json!({"workflow": good, "metadata": []}), 400, "invalid_request"),
        (json!({"workflow": good, "metadata": {"x": "y".repeat(4_096)}}), 422, "invalid_request"),
        (
            json!({"workflow": good, "params": {"3": {"seed": {"$file": FileId::new().to_string()}}}}),
            422,
            "no_such_file",
        ),
    ] {
        let answer = api.post("/api/tasks", &body).await;
        let shown: String = body.to_string().chars().take(120).collect();
        assert_refused(&answer, status, word, &shown);
    }
    let ui_format = json!({"workflow": {"nodes": [], "links": [], "version": 0.4}});
    let answer = api.post("/api/tasks", &ui_format).await;
    assert!(
        matches!(answer.status, 400 | 422) && answer.json()["message"].as_str().unwrap().contains("API"),
        "{}",
        answer.json()
    );
    assert_eq!(api.snapshot(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_is_listed_with_its_pointer() {
    let api = Api::start().await;
    let answer = api.post("/api/tasks", &json!({"workflow": workflow(), "params": {"33.text": 1, "3.stepz": 1}})).await;
    assert_refused(&answer, 422, "invalid_params", "two wrong params");
    let body = answer.json();
    let details = body["error"]["details"].as_array().unwrap();
    assert!(
        details.iter().any(|one| one["pointer"] == "/params/33.text" && one["code"] == "param_no_such_node"),
        "{body}"
    );
    assert!(details.len() >= 2 || body["error"]["details"][0]["candidates"].is_array(), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drawn_seeds_are_reported() {
    let api = Api::start().await;
    let task = data(&api.post("/api/tasks", &json!({"workflow": workflow(), "params": {"3.seed": "random"}})).await);
    assert!(task["resolved"]["seeds"]["3.seed"].is_u64(), "{task}");
    let again = data(&api.get(&format!("/api/tasks/{}?include=workflow", task["id"].as_str().unwrap())).await);
    assert_eq!(again["resolved"], task["resolved"]);
    assert_eq!(again["workflow"]["3"]["inputs"]["seed"], task["resolved"]["seeds"]["3.seed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_and_an_empty_bucket_are_429() {
    let full = Api::start_with(Options { waiting_max: 2, ..Options::default() }).await;
    full.submit().await;
    full.submit().await;
    assert_refused(&full.post("/api/tasks", &json!({"workflow": workflow()})).await, 429, "queue_full", "third");
    let strict = Api::start_with(Options { rate_burst: 2, ..Options::default() }).await;
    strict.submit().await;
    strict.submit().await;
    assert_refused(&strict.post("/api/tasks", &json!({"workflow": workflow()})).await, 429, "rate_limited", "third");
    assert_eq!(data(&strict.get("/api/tasks").await)["total"], 2);
}
