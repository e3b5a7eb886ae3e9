//! A full store: uploads are refused, attempts fail and are retried, and both work again once there is space. The disk
//! is full for one process only: its file size limit is set and lifted while it runs (EFBIG counts as a full disk).

use crate::support::{
    eventually,
    stack::{ApiClient, Role, Stack, WAIT_MAX},
};
use serde_json::json;
use std::process::Command;

/// Limits the size of files that the process can write.
fn limit_files(role: &Role, bytes: &str) {
    let limit = format!("--fsize={bytes}:");
    assert!(Command::new("prlimit").args(["--pid", &role.pid().to_string(), &limit]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_a_full_store_is_507_and_leaves_nothing() {
    let stack = Stack::start(1, 0).await;
    let api = stack.add_api_ignoring_sigxfsz();
    let client = ApiClient::new(api.port).await;
    limit_files(&api, "100000");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let part = reqwest::multipart::Part::bytes(vec![7; 1 << 20]).file_name("large.bin");
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = http.post(format!("{}/api/files/upload", client.base)).bearer_auth(&client.token).multipart(form);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 507);
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["type"], "storage_full");
    assert_eq!(client.get("/api/files").await["total"], 0, "not listed");
    limit_files(&api, "unlimited");
    let kept = client.upload("large.bin", vec![7; 1 << 20]).await;
    assert_eq!(client.get("/api/files").await["items"][0]["fileId"], kept["fileId"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_without_space_fails_the_attempt_not_the_task() {
    let stack = Stack::start(1, 0).await;
    let dispatcher = stack.add_dispatcher_ignoring_sigxfsz();
    stack.wait_instances_up(1).await;
    limit_files(&dispatcher, "100");
    let image = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": 7}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "full"}}
    });
    let id = stack.client.submit(json!({"workflow": image, "maxAttempts": 10})).await;
    let task = eventually("an attempt failed", WAIT_MAX, async || {
        let task = stack.client.task(&id).await;
        (task["attempts"][0]["outcome"] == "storage_failed").then_some(task)
    })
    .await;
    assert_eq!((&task["status"], &task["error"]["type"]), (&json!("pending"), &json!("storage_failed")), "{task}");
    limit_files(&dispatcher, "unlimited");
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}");
    let bytes = stack.client.download(task["result"]["files"][0].as_str().unwrap()).await;
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 100);
    // The unfinished file of the failed attempt is gone.
    assert_eq!(stack.client.get("/api/files?kind=output").await["total"], 1);
}
