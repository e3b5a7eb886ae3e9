//! Two hundred cancels at the moment of completion: one winner each, and every caller was told the truth.

use super::{count, post_stranger, prompt};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
};
use futures_util::{StreamExt as _, stream};
use reqwest::{Method, StatusCode};
use serde_json::json;
use shuzhiren::sim::Happened;
use std::{collections::BTreeSet, time::Duration};

/// Tasks; each is cancelled by two callers at once.
const TASKS: u64 = 220;
/// Cancels under way at a time.
const CALLERS: usize = 6;
/// How long a task runs: cancels come at any moment of it, and after it.
const RUN_SECONDS: f64 = 0.06;

#[tokio::test]
async fn a_storm_of_cancels_has_one_winner_each() {
    let stack = Stack::start(3, 1).await;
    let strangers: Vec<String> = (1..4).map(|n| format!("00000000-0000-4000-8000-00000000010{n}")).collect();
    for (sim, stranger) in stack.sims.iter().zip(&strangers) {
        post_stranger(sim, stranger, workflow::steps(5, 0.5)).await;
    }
    let ids: Vec<String> = stream::iter(0..TASKS)
        .map(|seed| {
            stack.client.submit(json!({"workflow": workflow::steps(2, RUN_SECONDS), "params": {"2.seed": seed}}))
        })
        .buffered(8)
        .collect()
        .await;
    let told: Vec<StatusCode> =
        stream::iter(ids.iter().zip(0..)).map(|(id, n)| cancel_twice(&stack, id, n)).buffered(CALLERS).collect().await;

    let quiet = tokio::time::Instant::now();
    stack.wait_idle().await;
    assert!(quiet.elapsed() < Duration::from_secs(2), "every GPU is free: {:?}", quiet.elapsed());
    let mut named = BTreeSet::new();
    for (id, told) in ids.iter().zip(&told) {
        let task = stack.client.task(id).await;
        let wanted = if *told == StatusCode::OK { "cancelled" } else { "completed" };
        assert_eq!(task["status"], wanted, "{told}: {task}\n{}", stack.log());
        assert!(stack.executions(id) <= 1, "{task}");
        let links = task["result"]["files"].as_array().cloned().unwrap_or_default();
        named.extend(links.iter().map(|link| link.as_str().unwrap().rsplit('/').next().unwrap().to_owned()));
        // What was told before a cancel stays.
        assert!(links.len() == 1 || wanted == "cancelled" && links.is_empty(), "{task}");
        if wanted == "completed" {
            let succeeded: usize = stack.sims.iter().map(|sim| count(sim, Happened::Succeeded, &prompt(id, 1))).sum();
            assert_eq!(succeeded, 1, "{task}");
        }
    }
    let cancelled = told.iter().filter(|status| **status == StatusCode::OK).count();
    assert!((20..=200).contains(&cancelled), "{cancelled} of {TASKS}: not the moment of completion");
    // Endings that were refused had stored their files already; none of them is left.
    eprintln!(
        "{cancelled} cancelled, {} endings came too late",
        stack.log().matches("AlreadyEnded(Cancelled)").count()
    );
    eventually("the store has what tasks name, no more", WAIT_MAX, || async {
        (stack.stored_files().into_iter().collect::<BTreeSet<_>>() == named).then_some(())
    })
    .await;
    for (sim, stranger) in stack.sims.iter().zip(&strangers) {
        assert_eq!(count(sim, Happened::Succeeded, stranger), 1);
        assert_eq!(count(sim, Happened::InterruptAsked, ""), 0);
    }
}

/// Waits until it runs, lets a different part of the run pass, and has two callers cancel at once: both are told the same.
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
