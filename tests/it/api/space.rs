//! Quotas of bytes, and the reserve of the disk: uploads are refused with the reason, deletes work.

use super::{
    server::{Api, Options, assert_refused, data, workflow},
    upload::upload,
};
use crate::support::eventually;
use serde_json::json;
use shuzhiren::{queue::UploadQuota, settings::DiskReserve};
use std::time::Duration;

const WAIT_MAX: Duration = Duration::from_secs(20);

async fn uploads_within(quota: UploadQuota) {
    let api = Api::start_with(Options { upload_quota: quota, ..Options::default() }).await;
    let first = data(&upload(&api, "a", &[1; 2_000]).await);
    assert_refused(&upload(&api, "b", &[2; 2_000]).await, 507, "upload_quota", "beyond the quota");
    eventually("its bytes are gone", WAIT_MAX, async || (api.stored_files() == 1).then_some(())).await;
    data(&upload(&api, "c", &[3; 1_000]).await);
    // Before the body is read.
    assert_refused(&upload(&api, "d", &[4; 1]).await, 507, "upload_quota", "the quota is used up");
    let id = first["fileId"].as_str().unwrap();
    assert_eq!(api.delete(&format!("/api/files/{id}")).await.status, 200);
    data(&upload(&api, "e", &[5; 2_000]).await);
    // A file inside a task counts as well.
    let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}, "9": {"class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "x"}}});
    let picture = json!({"$base64": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"});
    let task = json!({"workflow": graph, "params": {"1.image": picture}});
    assert_refused(&api.post("/api/tasks", &task).await, 507, "upload_quota", "a file of a task");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_a_user_have_a_quota() {
    uploads_within(UploadQuota { user: 3_000, all: 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_all_users_have_a_quota() {
    uploads_within(UploadQuota { user: 0, all: 3_000 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_at_its_reserve_refuses_uploads_and_says_so() {
    let reserve = DiskReserve::Bytes(u64::MAX);
    let api = Api::start_with(Options { disk_reserve: reserve, ..Options::default() }).await;
    assert_refused(&upload(&api, "a", &[1; 10]).await, 507, "storage_reserve", "an upload");
    assert_eq!(api.stored_files(), 0);
    let health = api.get("/api/health").await;
    assert_eq!(health.status, 200);
    assert_eq!(data(&health), json!({"status": "ok", "redis": "connected", "warnings": ["storage_reserve"]}));
    let id = api.submit().await;
    let task = data(&api.get(&format!("/api/tasks/{id}")).await);
    let reason = task["waitingFor"].as_str().unwrap();
    assert!(reason.starts_with("free space: ") && reason.ends_with(", next in line"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_tasks_have_a_quota_of_bytes() {
    let api = Api::start_with(Options { task_bytes_max: 1 << 20, ..Options::default() }).await;
    // Random text, which does not compress: three quarters of it remain.
    let long = |bytes: usize| {
        let noise: Vec<u8> = (0..bytes / 16).flat_map(|_| *uuid::Uuid::new_v4().as_bytes()).collect();
        let text: String = noise.iter().map(|byte| char::from(32 + byte % 64)).collect();
        let mut graph = workflow();
        let text = text.replace(['"', '\\'], "x");
        graph["5"] = json!({"class_type": "CLIPTextEncode", "inputs": {"text": text}});
        json!({"workflow": graph})
    };
    for (user, all) in [(100_000, 0), (0, 100_000)] {
        api.queue.limit_payload_bytes(user, all);
        let id = data(&api.post("/api/tasks", &long(80_000)).await)["id"].as_str().unwrap().to_owned();
        assert_refused(&api.post("/api/tasks", &long(80_000)).await, 429, "waiting_quota", "one more");
        let batch = json!({"workflow": long(40_000)["workflow"], "count": 3});
        assert_refused(&api.post("/api/tasks", &batch).await, 429, "waiting_quota", "a batch");
        api.submit().await;
        assert_eq!(api.delete(&format!("/api/tasks/{id}")).await.status, 200);
        let next = data(&api.post("/api/tasks", &long(80_000)).await)["id"].as_str().unwrap().to_owned();
        assert_refused(&api.post(&format!("/api/tasks/{id}/retry"), &json!({})).await, 429, "waiting_quota", "a retry");
        assert_eq!(api.delete(&format!("/api/tasks/{next}")).await.status, 200);
    }
}
