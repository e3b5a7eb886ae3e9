//! Mode 0.38: canonical ids, the jobs API, cancel.

use super::client::{Stand, picture, stand_with, steps};
use serde_json::{Value, json};
use shuzhiren::sim::{Mode, SimOptions};

const A: &str = "00000000-0000-4000-8000-00000000000a";
const B: &str = "00000000-0000-4000-8000-00000000000b";

async fn new() -> Stand {
    stand_with(SimOptions { mode: Mode::V038, ..SimOptions::default() }).await
}

#[tokio::test]
async fn only_canonical_uuids_are_accepted() {
    let stand = new().await;
    for bad in [json!("p"), json!(7), json!(A.to_uppercase()), json!(A.replace('-', "")), json!(""), json!([A])] {
        let (status, text) = stand.post("/prompt", &json!({"prompt": steps(1, 0.0, 1), "prompt_id": bad})).await;
        assert!(status == 400 && text.contains("\"invalid_prompt_id\""), "{bad}: {text}");
    }
    for good in [json!(A), Value::Null] {
        stand.submit(&json!({"prompt": steps(1, 0.0, 1), "prompt_id": good})).await;
    }
    let (status, text) = stand
        .post("/prompt", &json!({"prompt": {"1": {"class_type": "Nope", "inputs": {}, "_meta": {"title": "T"}}}}))
        .await;
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &error["error"]["type"]), (400, &json!("missing_node_type")));
    assert_eq!(error["error"]["extra_info"], json!({"node_id": "1", "class_type": "Nope", "node_title": "T"}));
    assert_eq!(stand.get_json("/system_stats").await["system"]["comfyui_version"], "0.38.1");
}

#[tokio::test]
async fn a_job_is_listed_from_pending_to_its_end() {
    let stand = new().await;
    let status =
        async |id: &str| stand.get_json(&format!("/api/jobs/{id}")).await["status"].as_str().unwrap().to_owned();
    stand.submit(&json!({"prompt": steps(100, 10.0, 1), "prompt_id": A})).await;
    stand.until_running(A).await;
    stand.submit(&json!({"prompt": picture(8, "x"), "prompt_id": B})).await;
    assert_eq!((status(A).await, status(B).await), ("in_progress".to_owned(), "pending".to_owned()));
    let listed = stand.get_json("/api/jobs?status=pending,in_progress&sort_order=asc").await;
    assert_eq!(listed["pagination"]["total"], 2);
    let unknown = stand.get("/api/jobs/00000000-0000-4000-8000-00000000000c").await;
    assert_eq!(unknown, (404, "{\"error\": \"Job not found\"}".to_owned()));
    let cancel = stand.post(&format!("/api/jobs/{A}/cancel"), &json!({})).await;
    assert_eq!(cancel, (200, "{\"cancelled\": true}".to_owned()));
    stand.ended(A).await;
    let done = stand.ended(B).await;
    assert_eq!((status(A).await, status(B).await), ("cancelled".to_owned(), "completed".to_owned()));
    let job = stand.get_json(&format!("/api/jobs/{B}")).await;
    assert_eq!((&job["outputs_count"], &job["outputs"]), (&json!(1), &done["outputs"]));
    assert_eq!(job["preview_output"]["filename"], "x_00001_.png");
    assert!(job["create_time"].as_u64().unwrap() > 0 && job["execution_end_time"].as_u64().unwrap() > 0);
    let page = stand.get_json("/api/jobs?limit=1&offset=0").await;
    assert_eq!(page["pagination"], json!({"offset": 0, "limit": 1, "total": 2, "has_more": true}));
    assert_eq!(stand.get("/api/jobs?status=bogus").await.0, 400);
}

#[tokio::test]
async fn several_jobs_are_cancelled_at_once() {
    let stand = new().await;
    stand.submit(&json!({"prompt": steps(100, 10.0, 1), "prompt_id": A})).await;
    stand.until_running(A).await;
    stand.submit(&json!({"prompt": steps(1, 0.0, 1), "prompt_id": B})).await;
    let (_, text) = stand.post("/api/jobs/cancel", &json!({"job_ids": [A, B]})).await;
    assert_eq!(text, "{\"cancelled\": true}");
    assert_eq!(stand.ended(A).await["status"]["messages"][2][0], "execution_interrupted");
    assert_eq!(
        stand.get_json(&format!("/history/{B}")).await,
        json!({}),
        "a prompt deleted while pending must leave no trace"
    );
    assert_eq!(stand.post("/api/jobs/cancel", &json!({"job_ids": [A, B]})).await.1, "{\"cancelled\": false}");
    assert_eq!(stand.post("/api/jobs/cancel", &json!({"job_ids": 5})).await.0, 400);
}

#[tokio::test]
async fn history_contains_only_what_this_run_sent() {
    let stand = new().await;
    let graph = json!({
        "1": {"class_type": "TestStepsText", "inputs": {"steps": 1, "seconds": 0.0, "text": "t"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    });
    stand.run(&graph).await;
    let id = stand.submit(&json!({"prompt": graph, "partial_execution_targets": ["2"], "client_id": "me"})).await;
    let entry = stand.ended(id["prompt_id"].as_str().unwrap()).await;
    assert_eq!(entry["outputs"].as_object().unwrap().len(), 2, "cached inner nodes are told too: {entry}");
}
