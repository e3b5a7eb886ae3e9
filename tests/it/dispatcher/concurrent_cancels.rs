//! 220 cancels around the moment of completion: each has one winner, and every caller gets a true answer.

use super::{count, post_foreign, prompt};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use futures_util::{StreamExt as _, stream};
use reqwest::{Method, StatusCode};
use serde_json::json;
use shuzhiren::sim::LogEvent;
use std::{collections::BTreeSet, time::Duration};

/// Number of tasks. Each is cancelled by two callers at once.
const TASKS: u64 = 220;
/// Largest number of concurrent cancels.
const CALLERS: usize = 6;
/// Duration of a run. Cancels arrive at any moment of it, and after it.
const RUN_SECONDS: f64 = 0.1;

#[tokio::test]
async fn concurrent_cancels_have_one_winner_each() {
    let stack = Stack::start(3, 1).await;
    let foreign_prompts: Vec<String> = (1..4).map(|n| format!("00000000-0000-4000-8000-00000000010{n}")).collect();
    for (sim, foreign) in stack.sims.iter().zip(&foreign_prompts) {
        post_foreign(sim, foreign, workflow::steps(5, 0.5)).await;
    }
    let ids: Vec<String> = stream::iter(0..TASKS)
        .map(|seed| {
            stack.client.submit(json!({"workflow": workflow::steps(2, RUN_SECONDS), "params": {"2.seed": seed}}))
        })
        .buffered(8)
        .collect()
        .await;
    let answers: Vec<StatusCode> =
        stream::iter(ids.iter().zip(0..)).map(|(id, n)| cancel_twice(&stack, id, n)).buffered(CALLERS).collect().await;

    let ended = tokio::time::Instant::now();
    stack.wait_idle().await;
    assert!(ended.elapsed() < Duration::from_secs(2), "every GPU is free: {:?}", ended.elapsed());
    let mut named = BTreeSet::new();
    for (id, answer) in ids.iter().zip(&answers) {
        let task = stack.client.task(id).await;
        let wanted = if *answer == StatusCode::OK { "cancelled" } else { "completed" };
        assert_eq!(task["status"], wanted, "{answer}: {task}\n{}", stack.log());
        assert!(stack.executions(id) <= 1, "{task}");
        let links = task["result"]["files"].as_array().cloned().unwrap_or_default();
        named.extend(links.iter().map(|link| link.as_str().unwrap().rsplit('/').next().unwrap().to_owned()));
        // Outputs that were published before the cancel stay.
        assert!(links.len() == 1 || wanted == "cancelled" && links.is_empty(), "{task}");
        if wanted == "completed" {
            let succeeded: usize = stack.sims.iter().map(|sim| count(sim, LogEvent::Succeeded, &prompt(id, 1))).sum();
            assert_eq!(succeeded, 1, "{task}");
        }
    }
    let cancelled = answers.iter().filter(|status| **status == StatusCode::OK).count();
    assert!((20..=200).contains(&cancelled), "{cancelled} of {TASKS}: not the moment of completion");
    // Refused endings had stored their files already; none may be left.
    eprintln!(
        "{cancelled} cancelled, {} endings came too late",
        stack.log().matches("AlreadyEnded(Cancelled)").count()
    );
    eventually("the store has exactly the files of the tasks", WAIT_MAX, || async {
        (stack.stored_files().into_iter().collect::<BTreeSet<_>>() == named).then_some(())
    })
    .await;
    for (sim, foreign) in stack.sims.iter().zip(&foreign_prompts) {
        assert_eq!(count(sim, LogEvent::Succeeded, foreign), 1);
        assert_eq!(count(sim, LogEvent::InterruptAsked, ""), 0);
    }
}

/// Waits until the task runs, lets a part of the run pass, and cancels twice at once. Both callers get the same answer.
async fn cancel_twice(stack: &Stack, id: &str, n: u64) -> StatusCode {
    let path = format!("/api/tasks/{id}");
    eventually("it runs, or has ended", WAIT_MAX, || async {
        (stack.client.task(id).await["status"] != "pending").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(n % 9 * 10)).await;
    let call = || stack.client.call(Method::DELETE, &path, None);
    let ((one, answer), (other, _)) = tokio::join!(call(), call());
    assert_eq!(one, other, "{answer}");
    let status = answer["data"]["status"].as_str().or(answer["error"]["type"].as_str());
    assert_eq!(status, Some(if one == StatusCode::OK { "cancelled" } else { "task_ended" }), "{answer}");
    one
}
