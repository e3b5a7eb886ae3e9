//! Outputs: fetched again, made anew, or a failure that says why; never a dead link, never a file nobody names.

use super::{completes_once, front::Act, fronted, stack_with};
use crate::support::{
    raw::RawRedis,
    stack::{Stack, workflow},
};
use serde_json::json;
use shuzhiren::sim::Times;

/// [10] A file that is gone at /view, when its node ends and when the prompt does, is made anew.
#[tokio::test]
async fn a_missing_output_is_made_anew() {
    let stack = stack_with(|faults| faults.view_404 = Times::Next(2)).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(6)})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}\n{}", stack.log());
    assert_eq!(task["attempts"][0]["outcome"], "output_unavailable");
    assert!(stack.client.download(task["result"]["files"][0].as_str().unwrap()).await.starts_with(b"\x89PNG"));
    assert_eq!(stack.executions(&id), 2);

    stack.sims[0].set(|faults| faults.view_404 = Times::Always);
    let id = stack.client.submit(json!({"workflow": workflow::quick(7), "maxAttempts": 2})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["error"]["type"]), (&json!("failed"), &json!("output_unavailable")));
    assert!(task["result"].is_null(), "{task}");
    let message = task["error"]["message"].as_str().unwrap();
    assert!(message.contains("quick_") && message.contains("does not have the file"), "{task}");
}

/// [10] One that breaks off is fetched again: the prompt need not run twice for it.
#[tokio::test]
async fn a_cut_download_is_repeated() {
    let stack = stack_with(|faults| faults.view_truncate = Times::Next(2)).await;
    let task = completes_once(&stack, json!({"workflow": workflow::quick(6)})).await;
    assert_eq!(task["attempt"], 1);
    let bytes = stack.client.download(task["result"]["files"][0].as_str().unwrap()).await;
    assert_eq!(json!(bytes.len()), task["result"]["outputs"][0]["sizeBytes"]);
    stack.sims[0].set(|faults| faults.view_500 = Times::Next(2));
    let task = completes_once(&stack, json!({"workflow": workflow::quick(7)})).await;
    assert_eq!(task["attempt"], 1);
    assert_eq!(stack.stored_files().len(), 2, "nothing is left of what was cut: {:?}", stack.stored_files());

    stack.sims[0].set(|faults| faults.view_truncate = Times::Always);
    let id = stack.client.submit(json!({"workflow": workflow::quick(8), "maxAttempts": 1})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "output_unavailable", "{task}");
    assert_eq!(stack.stored_files().len(), 2, "{:?}", stack.stored_files());
}

/// A download that trickles for ever is given up; one that takes its time is not.
#[tokio::test]
async fn a_trickling_output_is_given_up() {
    let stack = Stack::start_with(1, 1, &[("SHUZHIREN_HTTP_TIMEOUT", "500ms")]).await;
    stack.sims[0].set(|faults| faults.view_trickle_ms = 100);
    let begun = tokio::time::Instant::now();
    let id = stack.client.submit(json!({"workflow": workflow::quick(9), "maxAttempts": 1})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["error"]["type"], "output_unavailable", "{task}");
    assert!(task["error"]["message"].as_str().unwrap().contains("too slow"), "{task}");
    assert!(begun.elapsed() >= std::time::Duration::from_secs(3), "six read timeouts are granted");
    assert_eq!(stack.stored_files(), [""; 0]);
}

/// Names that lead out of the instance's folder are never asked for.
#[tokio::test]
async fn a_hostile_file_name_is_not_fetched() {
    let (stack, front) = fronted(&[]).await;
    stack.sims[0].set(|faults| faults.ws_lose = vec!["executed".to_owned()]);
    front.rule("GET /history/", usize::MAX, Act::Edit(|text| text.replace("quick_00001_.png", "../../../etc/passwd")));
    let id = stack.client.submit(json!({"workflow": workflow::quick(10)})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["result"]["files"]), (&json!("completed"), &json!([])), "{task}");
    assert_eq!((front.asked("GET /view"), stack.stored_files().len()), (0, 0));
}

/// The task was ended by somebody else while its outputs were being stored, and no word of it came: its own ending is refused,
/// and nothing of it stays.
#[tokio::test]
async fn the_files_of_a_refused_ending_are_deleted() {
    let (stack, front) = fronted(&[]).await;
    // Stored at the end: while it runs, other writes are refused first.
    stack.sims[0].set(|faults| faults.ws_lose = vec!["executed".to_owned()]);
    front.rule("GET /view", 1, Act::Hold);
    let id = stack.client.submit(json!({"workflow": workflow::quick(12)})).await;
    front.wait_asked("GET /view", 1).await;
    let task = format!("{{shuzhiren}}:task:{id}");
    RawRedis::connect(&stack.redis.socket()).run(&["HSET", &task, "state", "cancelled"]);
    front.release();
    super::eventually_or_log(&stack, "the ending is refused", || stack.log().contains("AlreadyEnded(Cancelled)")).await;
    super::eventually_or_log(&stack, "its files are deleted", || stack.stored_files().is_empty()).await;
    assert_eq!(stack.client.get("/api/files").await["total"], 0);
}

/// A film of 200 MB goes through a dispatcher that hardly grows: in pieces, hashed on the way, its header looked up afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_output_passes_in_little_memory() {
    const SIZE: usize = 200 << 20;
    let (stack, front) = fronted(&[]).await;
    completes_once(&stack, json!({"workflow": workflow::quick(1)})).await;
    let before = peak_kib(stack.dispatchers[0].pid());
    front.rule("GET /view", 1, Act::Forge(200, "x".repeat(SIZE)));
    let task = completes_once(&stack, json!({"workflow": workflow::quick(2)})).await;
    let output = &task["result"]["outputs"][0];
    assert_eq!((&output["sizeBytes"], &output["nodeId"]), (&json!(SIZE), &json!("3")), "{task}\n{}", stack.log());
    let grown = peak_kib(stack.dispatchers[0].pid()) - before;
    eprintln!("the dispatcher grew by {grown} KiB over {before} KiB");
    assert!(grown < 64 << 10, "{grown} KiB more");
    let whole = stack.client.http().get(task["result"]["files"][0].as_str().unwrap()).send().await.unwrap();
    assert_eq!(whole.content_length(), Some(SIZE as u64));
}

/// The most memory a process ever had.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
