//! Lists of tasks with long results: entries are cut, no page is large, and no task is lost, by cursor or by offset.

use super::server::{Api, data};
use serde_json::Value;
use shuzhiren::{
    queue::Lease,
    task::{Outcome, Output, OutputKind},
};
use std::collections::BTreeSet;

const PAGE_BYTES_MAX: usize = 4 << 20;

fn texts(bytes: usize, count: usize) -> Vec<Output> {
    let text = Output { node_id: "9".to_owned(), kind: OutputKind::Text, ..Output::default() };
    vec![Output { text: Some("\u{1}".repeat(bytes)), ..text }; count]
}

/// Submits tasks and completes them with these outputs.
async fn completed(api: &Api, lease: &Lease, count: usize, outputs: Vec<Output>) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for _ in 0..count {
        ids.insert(api.submit().await);
        let claim = api.claim(lease).await;
        let outcome = Outcome::Completed(outputs.clone());
        api.queue.settle(lease, claim.task, claim.attempt, &outcome).await.unwrap();
    }
    ids
}

async fn page(api: &Api, query: &str) -> Value {
    let answer = api.get(&format!("/api/tasks?{query}")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() <= PAGE_BYTES_MAX, "{query}: a page of {} bytes", answer.body.len());
    data(&answer)
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_cut_and_the_task_is_whole() {
    let api = Api::start().await;
    let lease = api.lease().await;
    let id = completed(&api, &lease, 1, texts(65_000, 16)).await.pop_first().unwrap();
    let item = page(&api, "limit=20").await["items"][0].clone();
    let outputs = item["result"]["outputs"].as_array().unwrap();
    assert!((1..16).contains(&outputs.len()), "{}", outputs.len());
    for output in outputs {
        assert_eq!((output["text"].as_str().unwrap().len(), output["truncated"].as_bool()), (1_024, Some(true)));
    }
    assert_eq!((item["truncated"].as_bool(), item["result"]["truncated"].as_bool()), (Some(true), Some(true)));
    let whole = data(&api.get(&format!("/api/tasks/{id}")).await);
    let outputs = whole["result"]["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 16);
    assert!(outputs.iter().all(|output| output["text"].as_str().unwrap().len() == 65_000));
    assert!(whole.get("truncated").is_none() && whole["result"].get("truncated").is_none());
    // A short result stays as it is.
    completed(&api, &lease, 1, texts(1_000, 1)).await;
    let item = page(&api, "limit=1").await["items"][0].clone();
    assert!(item.get("truncated").is_none() && item["result"]["outputs"][0].get("truncated").is_none(), "{item}");
}

/// A control character has six bytes in JSON, so that entries of 12 KiB have 72 KiB.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_before_it_is_large_and_continues() {
    let api = Api::start().await;
    let lease = api.lease().await;
    let all = completed(&api, &lease, 90, texts(1_000, 10)).await;
    let (mut seen, mut pages) = (Vec::new(), 0);
    let mut query = "limit=200".to_owned();
    loop {
        let page = page(&api, &query).await;
        assert_eq!(page["total"], 90);
        seen.extend(ids(&page));
        pages += 1;
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        query = format!("limit=200&cursor={cursor}");
    }
    assert!(pages > 1, "one page");
    assert_eq!((seen.len(), seen.into_iter().collect::<BTreeSet<_>>()), (90, all.clone()));
    let mut seen = Vec::new();
    while seen.len() < 90 {
        let page = page(&api, &format!("limit=200&offset={}", seen.len())).await;
        assert!(!ids(&page).is_empty());
        seen.extend(ids(&page));
    }
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);
    // The default page is never cut short.
    assert_eq!(ids(&page(&api, "limit=20").await).len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_megabytes_of_outputs_is_read_in_part() {
    let api = Api::start().await;
    let lease = api.lease().await;
    let outputs = vec![Output { text: Some("x".repeat(65_000)), ..texts(1, 1).remove(0) }; 16];
    let all = completed(&api, &lease, 40, outputs).await;
    let first = page(&api, "limit=200").await;
    assert!((20..40).contains(&ids(&first).len()), "{} read at once", ids(&first).len());
    let rest = page(&api, &format!("limit=200&cursor={}", first["nextCursor"].as_str().unwrap())).await;
    assert_eq!(ids(&first).into_iter().chain(ids(&rest)).collect::<BTreeSet<_>>(), all);
    assert!(rest["nextCursor"].is_null());
}
