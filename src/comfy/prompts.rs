//! Where a prompt is, and that one be dropped.

use super::{Ending, Error, QueueSnapshot, Sighting, history, http::Http, limits, pauses, python_json};
use crate::fleet::Target;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// One instance's client; cheap to clone; keeps its connections. Never retries by itself, sends no `Origin`, follows no
/// redirect, uses no proxy.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) http: Http,
    pub(super) has_jobs: Arc<AtomicBool>,
}

/// `{"queue_running":[item],"queue_pending":[item]}`, item = `[number,id,graph,extra,[outputs]]`
#[derive(Deserialize)]
struct Queue<'a> {
    #[serde(borrow)]
    queue_running: Vec<&'a RawValue>,
    #[serde(borrow)]
    queue_pending: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Job<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    status: &'a RawValue,
}

impl Client {
    /// A client of one instance. `timeout` is of each request; of downloads and uploads, of connect and of each read.
    ///
    /// # Errors
    /// The target's headers or URL cannot be used.
    pub fn new(target: &Target, timeout: Duration) -> Result<Self, Error> {
        Ok(Self { http: Http::new(target, timeout)?, has_jobs: Arc::default() })
    }

    /// GET /queue.
    ///
    /// # Errors
    /// It does not answer, or is no ComfyUI.
    pub async fn queue(&self) -> Result<QueueSnapshot, Error> {
        let body = self.http.ask_known(self.http.get("/queue"), limits::LEDGER_BYTES_MAX).await?;
        snapshot(&python_json::tidy(&body)).ok_or_else(|| Error::Broken("/queue is not ComfyUI's".to_owned()))
    }

    /// Where the prompt is. `Unknown` is certain: /queue was read before /history.
    ///
    /// # Errors
    /// It does not answer, or what it says makes no sense: nothing is known then.
    pub async fn look(&self, prompt: Uuid) -> Result<Sighting, Error> {
        if self.has_jobs.load(Ordering::Relaxed) {
            match self.job_status(prompt).await?.as_deref() {
                Some("pending") => return Ok(Sighting::Pending),
                Some("in_progress") => return Ok(Sighting::Running),
                Some("completed" | "failed" | "cancelled") => {
                    if let Some(ending) = self.history(prompt).await? {
                        return Ok(Sighting::Ended(ending));
                    }
                }
                // A status we do not know, or no such job: the two ledgers have the last word.
                _ => {}
            }
        }
        let id = prompt.to_string();
        let queue = self.queue().await?;
        if queue.running.contains(&id) {
            return Ok(Sighting::Running);
        }
        if queue.pending.contains(&id) {
            return Ok(Sighting::Pending);
        }
        Ok(self.history(prompt).await?.map_or(Sighting::Unknown, Sighting::Ended))
    }

    /// Like [`Client::look`], after a sign of the end: looks again for up to two seconds until the ending is there, because
    /// ComfyUI says success some milliseconds before it writes its history (protocol §3). Gives what it saw last.
    ///
    /// # Errors
    /// It did not answer in all that time.
    pub async fn ending(&self, prompt: Uuid) -> Result<Sighting, Error> {
        let looked = backoff::future::retry(pauses::until_ended(), || async {
            match self.look(prompt).await {
                Ok(sighting @ Sighting::Ended(_)) => Ok(sighting),
                other => Err(backoff::Error::transient(other)),
            }
        });
        looked.await.or_else(|last| last)
    }

    /// Asks once that the prompt be dropped from the queue and, if it runs, interrupted. Repeat until `look` says gone.
    /// Never a global interrupt.
    ///
    /// # Errors
    /// It does not answer; the prompt may be gone all the same.
    pub async fn cancel(&self, prompt: Uuid) -> Result<(), Error> {
        if self.has_jobs.load(Ordering::Relaxed) {
            let request = self.http.post_json(&format!("/api/jobs/{prompt}/cancel"), "{}".to_owned());
            if self.http.ask(request, limits::REPLY_BYTES_MAX).await?.accepted().is_ok() {
                return Ok(());
            }
        }
        self.post("/queue", &json!({ "delete": [prompt] })).await?;
        // Old versions take no notice of the id and interrupt whatever runs: ask only when that is ours.
        if self.queue().await?.running.contains(&prompt.to_string()) {
            self.post("/interrupt", &json!({ "prompt_id": prompt })).await?;
        }
        Ok(())
    }

    /// Drops a waiting copy of a prompt that is in the queue twice: one whose request came late, after it was sent again.
    /// Gives whether there was one. The server itself would run both (protocol §2).
    ///
    /// # Errors
    /// It does not answer.
    pub async fn drop_copy(&self, prompt: Uuid) -> Result<bool, Error> {
        let (id, queue) = (prompt.to_string(), self.queue().await?);
        let copies = queue.running.iter().chain(&queue.pending).filter(|other| **other == id).count();
        if copies > 1 {
            // Takes one, and never the one that runs.
            self.post("/queue", &json!({ "delete": [prompt] })).await?;
        }
        Ok(copies > 1)
    }

    /// `POST /history {"delete":[id]}`: after the result is stored.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn forget(&self, prompt: Uuid) -> Result<(), Error> {
        self.post("/history", &json!({ "delete": [prompt] })).await
    }

    /// POST /free: after out of memory.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn free(&self) -> Result<(), Error> {
        self.post("/free", &json!({ "unload_models": true, "free_memory": true })).await
    }

    pub(super) async fn post(&self, path: &str, body: &serde_json::Value) -> Result<(), Error> {
        let request = self.http.post_json(path, body.to_string());
        self.http.ask_known(request, limits::REPLY_BYTES_MAX).await.map(drop)
    }

    async fn history(&self, prompt: Uuid) -> Result<Option<Ending>, Error> {
        let request = self.http.get(&format!("/history/{prompt}"));
        let body = self.http.ask_known(request, limits::LEDGER_BYTES_MAX).await?;
        history::ending(&python_json::tidy(&body), prompt)
    }

    /// The word of /api/jobs/{id}; `None` when it has none that can be used.
    async fn job_status(&self, prompt: Uuid) -> Result<Option<String>, Error> {
        let request = self.http.get(&format!("/api/jobs/{prompt}"));
        let Ok(body) = self.http.ask(request, limits::LEDGER_BYTES_MAX).await?.accepted() else { return Ok(None) };
        let body = python_json::tidy(&body);
        let job = python_json::object::<Job<'_>>(&body);
        let is_this = |job: &Job<'_>| python_json::text(job.id).is_some_and(|id| id == prompt.to_string());
        Ok(job.filter(is_this).and_then(|job| python_json::text(job.status)))
    }
}

fn snapshot(json: &str) -> Option<QueueSnapshot> {
    let queue: Queue<'_> = python_json::object(json)?;
    // An item without an id could be the one that is looked for: then nothing is known.
    let items = |items: Vec<&RawValue>| items.into_iter().map(item).collect::<Option<Vec<(f64, String)>>>();
    let running = items(queue.queue_running)?.into_iter().map(|(_, id)| id).collect();
    let mut pending = items(queue.queue_pending)?;
    // Heap order is not run order (protocol §4).
    pending.sort_by(|left, right| left.0.total_cmp(&right.0).then_with(|| left.1.cmp(&right.1)));
    Some(QueueSnapshot { running, pending: pending.into_iter().map(|(_, id)| id).collect() })
}

/// Number and prompt id of a queue item.
fn item(raw: &RawValue) -> Option<(f64, String)> {
    let parts: Vec<&RawValue> = python_json::read(raw.get())?;
    let number = parts.first().and_then(|raw| python_json::number(raw)).unwrap_or(0.0);
    Some((number, python_json::text(parts.get(1)?)?))
}

#[cfg(test)]
mod tests {
    use super::snapshot;
    use proptest::prelude::*;

    #[test]
    fn pending_prompts_come_in_run_order() {
        let queue = snapshot(
            r#"{"queue_running":[[3,"r",{},{},["1"]]],"queue_pending":[[5,"c",{}],[-1.5,"a"],[5,"b",{}],[4,7]]}"#,
        )
        .unwrap();
        assert_eq!(queue.running, ["r"]);
        assert_eq!(queue.pending, ["a", "7", "b", "c"]);
    }

    #[test]
    fn a_queue_without_its_lists_is_no_queue() {
        for json in [
            "{}",
            "[]",
            "null",
            r#"{"queue_running":[]}"#,
            r#"{"queue_running":{},"queue_pending":[]}"#,
            r#"{"queue_running":[[1]],"queue_pending":[]}"#,
            "[[],[]]",
            r#"{"queue_running":[],"queue_pending":[null]}"#,
            "<html>",
        ] {
            assert!(snapshot(json).is_none(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(items in "[\\[\\]{}\",:a-z0-9 .]{0,60}") {
            snapshot(&format!("{{\"queue_running\":[{items}],\"queue_pending\":{items}}}"));
        }
    }
}
