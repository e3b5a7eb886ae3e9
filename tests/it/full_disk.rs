//! A store that takes no more: an upload is told so, an attempt fails and is tried again, and both work when there is room.
//! The disk is full for one process: its limit of a file's size, set and lifted while it runs (EFBIG is one of a full disk's names).

use crate::support::{
    eventually,
    stack::{ApiClient, Role, Stack, WAIT_MAX},
};
use serde_json::json;
use std::process::Command;

/// From now on the process can write no file beyond so many bytes.
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
async fn an_output_that_finds_no_room_fails_the_attempt_not_the_task() {
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
    // What the failed attempt had begun to write is not there.
    assert_eq!(stack.client.get("/api/files?kind=output").await["total"], 1);
}
