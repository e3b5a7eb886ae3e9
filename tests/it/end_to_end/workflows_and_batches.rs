//! Published workflows and batches through the whole system: real processes, and stand-ins that run the graphs.

use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Submits a batch and returns its id and the ids of its tasks.
async fn batch(stack: &Stack, body: Value) -> (String, Vec<String>) {
    let (status, envelope) = stack.client.call(reqwest::Method::POST, "/api/tasks", Some(body)).await;
    assert_eq!(status, 200, "{envelope}");
    let batch = &envelope["data"];
    let ids = batch["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned());
    (batch["batchId"].as_str().unwrap().to_owned(), ids.collect())
}

#[tokio::test]
async fn a_published_workflow_takes_an_image_and_produces_one() {
    let stack = Stack::start(1, 1).await;
    let made = stack.client.submit(json!({"workflow": workflow::quick(6)})).await;
    let made = stack.client.wait_ended(&made).await;
    let picture = stack.client.download(made["result"]["files"][0].as_str().unwrap()).await;
    let file = stack.client.upload("图 1.png", picture).await;
    let published = json!({
        "workflow": {
            "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
            "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "{{name:inverted}}"}}
        },
        "params": {
            "picture": {"target": "1.image", "type": "image", "required": true},
            "name": {"type": "string", "default": "out"}
        }
    });
    // The catalog of the instance is known by now, so the PUT is checked against it.
    let stored = stack.client.put("/api/workflows/invert", published).await;
    assert_eq!(stored["version"], 1);
    let bare = json!({"workflow": "invert", "params": {"picture": file["fileId"], "name": "mine"}});
    let directive = json!({"workflow": "invert@1", "params": {"picture": {"$file": file["fileId"]}}});
    for (body, filename) in [(bare, "mine_"), (directive, "out_")] {
        let id = stack.client.submit(body).await;
        let task = stack.client.wait_ended(&id).await;
        assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
        assert_eq!((&task["workflowName"], &task["workflowVersion"]), (&json!("invert"), &json!(1)));
        let output = &task["result"]["outputs"][0];
        assert!(output["filename"].as_str().unwrap().starts_with(filename), "{output}");
        let bytes = stack.client.download(task["result"]["files"][0].as_str().unwrap()).await;
        assert!(bytes.starts_with(b"\x89PNG"));
    }
    assert_eq!(stack.client.get("/api/tasks?workflow=invert&status=completed").await["total"], 2);
    stack.wait_idle().await;
}

#[tokio::test]
async fn a_sweep_of_six_completes_each_with_its_values() {
    let stack = Stack::start(2, 1).await;
    let sweep = json!({"2.steps": [1, 2, 3], "1.color": [255, 65_280]});
    let (batch, ids) = batch(&stack, json!({"workflow": workflow::steps(9, 0.2), "sweep": sweep})).await;
    assert_eq!(ids.len(), 6);
    let summary = eventually("all six have ended", WAIT_MAX, || async {
        let summary = stack.client.get(&format!("/api/batches/{batch}")).await;
        (summary["progress"] == 100).then_some(summary)
    })
    .await;
    assert_eq!(summary["counts"]["completed"], 6, "{summary}\n{}", stack.log());
    let mut files = BTreeSet::new();
    for (index, id) in ids.iter().enumerate() {
        let task = stack.client.get(&format!("/api/tasks/{id}?include=workflow")).await;
        assert_eq!(task["workflow"]["2"]["inputs"]["steps"], index / 2 + 1);
        assert_eq!(task["workflow"]["1"]["inputs"]["color"], [255, 65_280][index % 2]);
        assert_eq!(stack.executions(id), 1);
        files.insert(task["result"]["files"][0].as_str().unwrap().to_owned());
    }
    assert_eq!(files.len(), 6);
    stack.wait_idle().await;
}

#[tokio::test]
async fn a_batch_is_cancelled_during_its_run() {
    let stack = Stack::start(1, 1).await;
    let (batch, ids) = batch(&stack, json!({"workflow": workflow::steps(300, 30.0), "count": 5})).await;
    stack.client.wait_for(&ids[0], &["running"]).await;
    let path = format!("/api/batches/{batch}");
    let ended = stack.client.delete(&path).await;
    assert_eq!((&ended["cancelled"], &ended["counts"]["cancelled"]), (&json!(5), &json!(5)), "{ended}");
    let cancelled = tokio::time::Instant::now();
    stack.wait_idle().await;
    assert!(cancelled.elapsed() < std::time::Duration::from_secs(3), "the GPU is free again");
    assert_eq!(stack.client.delete(&path).await["cancelled"], 0);
    let begun: usize = ids.iter().map(|id| stack.executions(id)).sum();
    assert_eq!(begun, 1, "no other task of the batch ever started");
    let next = stack.client.submit(json!({"workflow": workflow::quick(3)})).await;
    assert_eq!(stack.client.wait_ended(&next).await["status"], "completed");
}
