//! `--keep-bytes`: the oldest outputs make room.

use super::{Stack, WAIT_MAX, eventually, workflow};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn outputs_beyond_the_room_are_deleted_and_their_task_says_so() {
    let stack = Stack::start_with(1, 1, &[("SHUZHIREN_KEEP_BYTES", "1")]).await;
    let picture = stack.client.upload("a.png", crate::support::web::PNG.to_vec()).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{}", stack.log());
    let ended: jiff::Timestamp = task["finishedAt"].as_str().unwrap().parse().unwrap();
    let expires: jiff::Timestamp = task["expiresAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(expires.as_second() - ended.as_second(), 24 * 3_600, "the default of a dispatcher");
    eventually("the output is deleted", WAIT_MAX, || async {
        (stack.client.task(&id).await["result"]["outputs"][0]["deleted"] == true).then_some(())
    })
    .await;
    let files = stack.client.get("/api/files").await;
    assert_eq!((&files["total"], &files["items"][0]["fileId"]), (&json!(1), &picture["fileId"]), "uploads stay");
}
