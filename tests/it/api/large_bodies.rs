//! Bodies that would take far more work or memory than their size: refused with the reason, in the same way everywhere.

use super::{
    flows::submit,
    server::{Api, Options, assert_refused, data, workflow},
};
use crate::support::{eventually, http::Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Returns a graph of which a value of 60 KB for `a` makes more than 32 MiB.
fn multiplied() -> Value {
    json!({"1": {"class_type": "Text", "inputs": {"text": "{{a}}".repeat(700)}}})
}

fn long() -> String {
    "x".repeat(60_000)
}

fn assert_too_complex(answer: &Response, what: &str) {
    assert_refused(answer, 422, "workflow_too_complex", what);
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("32 MiB") && message.contains("fewer places"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn params_that_write_one_value_very_often_are_refused() {
    let api = Api::start_with(Options { task_bytes_max: 1 << 20, ..Options::default() }).await;
    let body = json!({"workflow": multiplied(), "params": {"a": long()}});
    for path in ["/api/tasks", "/api/tasks?dryRun=true"] {
        assert_too_complex(&api.post(path, &body).await, path);
    }
    data(&api.post("/api/tasks", &json!({"workflow": multiplied(), "params": {"a": "x"}})).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_workflow_is_held_to_the_same_limits() {
    let api = Api::start_with(Options { task_bytes_max: 1 << 20, ..Options::default() }).await;
    let published = json!({"workflow": multiplied(), "params": {"a": {"type": "string"}}});
    data(&api.put("/api/workflows/many", &published).await);
    submit(&api, "many", json!({"a": "x"})).await;
    let by_name = json!({"workflow": "many", "params": {"a": long()}});
    assert_too_complex(&api.post("/api/tasks", &by_name).await, "by name");
    let with_default = json!({"workflow": multiplied(), "params": {"a": {"type": "string", "default": long()}}});
    assert_too_complex(&api.put("/api/workflows/more", &with_default).await, "published");
    assert_eq!(api.get("/api/workflows/more").await.status, 404);
    assert_eq!(data(&api.get("/api/workflows/many/schema").await)["properties"]["a"], json!({"type": "string"}));
}

/// The size is known before the first task is resolved, also in a dry run, with problems, and with files to come.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_too_much_text_is_refused_before_it_is_resolved() {
    let api = Api::start_with(Options { task_bytes_max: 1 << 20, ..Options::default() }).await;
    let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "a", "text": "x".repeat(70_000)}}});
    let values: Vec<u32> = (0..1_000).collect();
    let file = json!({"$base64": "aGVsbG8h".repeat(9_000)});
    let small = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "a", "text": ""}}});
    let before = api.snapshot();
    for (what, body) in [
        ("count", json!({"workflow": graph, "count": 1_000})),
        ("sweep", json!({"workflow": graph, "sweep": {"1.text": values}})),
        ("a problem", json!({"workflow": graph, "params": {"77.text": 1}, "sweep": {"1.text": values}})),
        ("a file", json!({"workflow": small, "params": {"1.image": file}, "sweep": {"1.text": values}})),
    ] {
        for path in ["/api/tasks", "/api/tasks?dryRun=true"] {
            let answer = api.post(path, &body).await;
            assert_refused(&answer, 422, "invalid_request", what);
            assert_eq!(answer.json()["error"]["details"][0]["code"], "batch_too_large", "{what}");
        }
    }
    assert!(api.snapshot() == before);
    data(&api.post("/api/tasks?dryRun=true", &json!({"workflow": graph, "count": 100})).await);
}

async fn unfinished(api: &Api, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Unfinished bodies count with their declared length: 16 of 8 MiB are what one user may have.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_finished_do_not_use_up_the_memory() {
    let api = Api::start_with(Options { task_bytes_max: 8 << 20, ..Options::default() }).await;
    let head = format!(
        "POST /api/tasks HTTP/1.1\r\nhost: test\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{{",
        api.bearer(),
        8 << 20
    );
    let one_more = json!({"workflow": workflow()});
    let mut open = Vec::new();
    for _ in 0..15 {
        open.push(unfinished(&api, &head).await);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let refused = loop {
        // One more each time: the small body may have taken the place of the last one.
        open.push(unfinished(&api, &head).await);
        let answer = api.post("/api/tasks", &one_more).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "every small body is accepted");
    };
    assert_refused(&refused, 503, "busy", "one more body");
    drop(open);
    eventually("room for one more", Duration::from_secs(20), async || {
        (api.post("/api/tasks", &one_more).await.status == 200).then_some(())
    })
    .await;
}
