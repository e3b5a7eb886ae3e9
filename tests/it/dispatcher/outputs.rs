//! Outputs are fetched again, made again, or fail with a reason; no link is ever dead, no file unreferenced.

use super::{completes_once, http_proxy::Action, proxied, stack_with};
use crate::support::{
    raw::RawRedis,
    stack::{Stack, workflow},
};
use serde_json::json;
use shuzhiren::sim::Times;

/// [10] A file that is missing at /view, when its node ends and when the prompt ends, is made again.
#[tokio::test]
async fn a_missing_output_is_made_again() {
    let stack = stack_with(|faults| faults.view_404 = Times::Next(2)).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(6)})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    assert_eq!(task["attempts"][0]["outcome"], "output_unavailable");
    assert!(stack.client.download(task["result"]["files"][0].as_str().unwrap()).await.starts_with(b"\x89PNG"));
    assert_eq!(stack.executions(&id), 2);
}

/// An instance answers from its cache with a file that was deleted since.
#[tokio::test]
async fn a_cached_result_without_its_file_is_forgotten_and_made_again() {
    let stack = Stack::start(2, 1).await;
    let ui = json!({"images": [{"filename": "a.png"}]}).to_string();
    let graph = json!({"1": {"class_type": "UiOut", "inputs": {"ui": ui}}});
    // Both have it in their caches.
    for sim in &stack.sims {
        super::post_foreign(sim, "before", graph.clone()).await;
        super::happens(&stack, sim, shuzhiren::sim::LogEvent::Succeeded, "before").await;
        sim.delete_outputs(None);
    }
    let id = stack.client.submit(json!({"workflow": graph})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    assert_eq!(task["attempts"][0]["outcome"], "output_unavailable", "{task}");
}

/// [10] After the last attempt the task fails and names the missing file.
#[tokio::test]
async fn a_task_whose_output_stays_missing_fails() {
    let stack = stack_with(|faults| faults.view_404 = Times::Always).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(7), "maxAttempts": 2})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["error"]["type"]), (&json!("failed"), &json!("output_unavailable")));
    assert!(task["result"].is_null(), "{task}");
    let message = task["error"]["message"].as_str().unwrap();
    assert!(message.contains("quick_") && message.contains("does not have the file"), "{task}");
}

/// [10] A broken download is repeated without another run of the prompt.
#[tokio::test]
async fn a_broken_download_is_repeated() {
    let stack = stack_with(|faults| faults.view_truncate = Times::Next(2)).await;
    let task = completes_once(&stack, json!({"workflow": workflow::quick(6)})).await;
    assert_eq!(task["attempt"], 1);
    let bytes = stack.client.download(task["result"]["files"][0].as_str().unwrap()).await;
    assert_eq!(json!(bytes.len()), task["result"]["outputs"][0]["sizeBytes"]);
    stack.sims[0].set(|faults| faults.view_500 = Times::Next(2));
    let task = completes_once(&stack, json!({"workflow": workflow::quick(7)})).await;
    assert_eq!(task["attempt"], 1);
    assert_eq!(stack.stored_files().len(), 2, "partial files are left: {:?}", stack.stored_files());
}

#[tokio::test]
async fn a_task_whose_downloads_always_break_fails_and_leaves_no_file() {
    let stack = stack_with(|faults| faults.view_truncate = Times::Always).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(8), "maxAttempts": 1})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "output_unavailable", "{task}");
    assert_eq!(stack.stored_files().len(), 0, "{:?}", stack.stored_files());
}

/// A download that is too slow is given up.
#[tokio::test]
async fn a_download_below_the_lowest_speed_is_given_up() {
    let stack = Stack::start_with(1, 1, &[("SHUZHIREN_HTTP_TIMEOUT", "500ms")]).await;
    stack.sims[0].set(|faults| faults.view_trickle_ms = 100);
    let begun = tokio::time::Instant::now();
    let id = stack.client.submit(json!({"workflow": workflow::quick(9), "maxAttempts": 1})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "output_unavailable", "{task}");
    assert!(task["error"]["message"].as_str().unwrap().contains("too slow"), "{task}");
    assert!(begun.elapsed() >= std::time::Duration::from_secs(3), "it may be slow for six read timeouts");
    assert_eq!(stack.stored_files(), [""; 0]);
}

/// File names that lead out of the instance's folder are never requested: the task fails, and says why.
#[tokio::test]
async fn a_hostile_file_name_is_not_fetched() {
    let (stack, proxy) = proxied(&[]).await;
    stack.sims[0].set(|faults| faults.ws_lose = vec!["executed".to_owned()]);
    proxy.rule(
        "GET /history/",
        usize::MAX,
        Action::Edit(|text| text.replace("quick_00001_.png", "../../../etc/passwd")),
    );
    let id = stack.client.submit(json!({"workflow": workflow::quick(10)})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("failed"), &json!(1)), "{task}");
    assert!(
        task["error"]["message"].as_str().is_some_and(|why| why.contains("leads out of the instance's folders")),
        "{task}"
    );
    assert_eq!((proxy.requests("GET /view"), stack.stored_files().len()), (0, 0));
}

/// Another writer ended the task while its outputs were being stored, and the event was lost: the settle is refused,
/// and the files are deleted.
#[tokio::test]
async fn files_of_a_refused_settle_are_deleted() {
    let (stack, proxy) = proxied(&[]).await;
    // Stored at the end only: during the run other writes would be refused first.
    stack.sims[0].set(|faults| faults.ws_lose = vec!["executed".to_owned()]);
    proxy.rule("GET /view", 1, Action::Hold);
    let id = stack.client.submit(json!({"workflow": workflow::quick(12)})).await;
    proxy.wait_requests("GET /view", 1).await;
    let task = format!("{{shuzhiren}}:task:{id}");
    RawRedis::connect(&stack.redis.socket()).run(&["HSET", &task, "state", "cancelled"]);
    proxy.release();
    super::eventually_or_log(&stack, "the ending is refused", || stack.log().contains("AlreadyEnded(Cancelled)")).await;
    super::eventually_or_log(&stack, "its files are deleted", || stack.stored_files().is_empty()).await;
    assert_eq!(stack.client.get("/api/files").await["total"], 0);
}

/// A video of 200 MB passes through a dispatcher whose memory hardly grows: streamed, hashed on the way, its header
/// read later.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_output_needs_little_memory() {
    const SIZE: usize = 200 << 20;
    let (stack, proxy) = proxied(&[]).await;
    completes_once(&stack, json!({"workflow": workflow::quick(1)})).await;
    let before = peak_kib(stack.dispatchers[0].pid());
    proxy.rule("GET /view", 1, Action::Forge(200, "x".repeat(SIZE)));
    let task = completes_once(&stack, json!({"workflow": workflow::quick(2)})).await;
    let output = &task["result"]["outputs"][0];
    assert_eq!((&output["sizeBytes"], &output["nodeId"]), (&json!(SIZE), &json!("3")), "{task}\n{}", stack.log());
    let grown = peak_kib(stack.dispatchers[0].pid()) - before;
    eprintln!("the dispatcher grew by {grown} KiB over {before} KiB");
    assert!(grown < 64 << 10, "{grown} KiB more");
    let whole = stack.client.http().get(task["result"]["files"][0].as_str().unwrap()).send().await.unwrap();
    assert_eq!(whole.content_length(), Some(SIZE as u64));
}

/// Peak memory of a process.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
