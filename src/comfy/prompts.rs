//! Finds and cancels prompts on an instance (`/queue`, `/history`, `/api/jobs`).

use super::{Error, PromptResult, PromptStatus, QueueSnapshot, history, http::Http, limits, python_json};
use crate::{
    backoff,
    fleet::Target,
    json::{each_element, first_elements, member},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// Client of one instance. Cheap to clone; pools its connections. Never retries, sends no `Origin`, follows no
/// redirect, uses no proxy.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) http: Http,
    pub(super) has_jobs: Arc<AtomicBool>,
    /// Size of a history entry beyond the limit, for the echo of a large graph, bytes.
    pub(super) echo_bytes: usize,
}

/// `{"queue_running":[item],"queue_pending":[item]}`, item = `[number,id,graph,extra,[outputs]]`
#[derive(Deserialize)]
struct Queue<'a> {
    #[serde(borrow)]
    queue_running: &'a RawValue,
    #[serde(borrow)]
    queue_pending: &'a RawValue,
}

#[derive(Deserialize)]
struct Job<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    status: &'a RawValue,
}

impl Client {
    /// Creates a client. `timeout` limits each request as a whole; of downloads and uploads it limits each read and
    /// write.
    ///
    /// # Errors
    /// [`Error::Refused`]: the target's headers or URL are unusable.
    pub fn new(target: &Target, timeout: Duration) -> Result<Self, Error> {
        Ok(Self { http: Http::new(target, timeout)?, has_jobs: Arc::default(), echo_bytes: 0 })
    }

    /// Returns a client for a prompt whose graph has `bytes` bytes: its history entry echoes the graph, and may be
    /// longer by that.
    pub fn for_graph(&self, bytes: usize) -> Self {
        Self { echo_bytes: limits::ECHO_FACTOR * bytes, ..self.clone() }
    }

    /// Reads GET /queue.
    ///
    /// # Errors
    /// The instance does not answer, or is not a ComfyUI.
    pub async fn queue(&self) -> Result<QueueSnapshot, Error> {
        let reply = self.http.send_known(self.http.get("/queue"), limits::QUEUE_BYTES_MAX).await?;
        reply.parse(snapshot).await?.ok_or_else(|| Error::Broken("/queue is not ComfyUI's".to_owned()))
    }

    /// Returns the state of a prompt. `Unknown` is certain, because /queue is read before /history.
    ///
    /// # Errors
    /// [`Error::TooLong`] and [`Error::Unreadable`]: the prompt is not in the queue any more, but the history does not
    /// say how it ended. Others: the instance does not answer, or not as ComfyUI does; the state of the prompt is then
    /// undetermined.
    pub async fn status(&self, prompt: Uuid) -> Result<PromptStatus, Error> {
        if self.has_jobs.load(Ordering::Relaxed) {
            match self.job_status(prompt).await?.as_deref() {
                Some("pending") => return Ok(PromptStatus::Pending),
                Some("in_progress") => return Ok(PromptStatus::Running),
                Some("completed" | "failed" | "cancelled") => {
                    if let Some(result) = self.history(prompt).await? {
                        return Ok(PromptStatus::Ended(Box::new(result)));
                    }
                }
                // An unknown status, or no such job: /queue and /history decide.
                _ => {}
            }
        }
        let id = prompt.to_string();
        let queue = self.queue().await?;
        if queue.running.contains(&id) {
            return Ok(PromptStatus::Running);
        }
        if queue.pending.contains(&id) {
            return Ok(PromptStatus::Pending);
        }
        Ok(self.history(prompt).await?.map_or(PromptStatus::Unknown, |result| PromptStatus::Ended(Box::new(result))))
    }

    /// Like [`Client::status`], to be called after an event that suggests the end: polls for up to two seconds until
    /// the prompt has ended, because ComfyUI sends `execution_success` some milliseconds before it writes the history
    /// entry (protocol §3). Returns the last status read.
    ///
    /// # Errors
    /// As [`Client::status`]; the last of all that time, but [`Error::TooLong`] at once.
    pub async fn result(&self, prompt: Uuid) -> Result<PromptStatus, Error> {
        let polled = backoff::retry_within(limits::HISTORY_DELAYS, limits::HISTORY_WAIT_MAX, || async {
            match self.status(prompt).await {
                status @ (Ok(PromptStatus::Ended(_)) | Err(Error::TooLong(_))) => Ok(status),
                other => Err(other),
            }
        });
        polled.await.unwrap_or_else(|last| last)
    }

    /// Deletes the prompt from the queue or, if it is running, interrupts it. One attempt: repeat until
    /// [`Client::status`] no longer finds it. Never interrupts globally.
    ///
    /// # Errors
    /// The instance does not answer. The prompt may be gone all the same.
    pub async fn cancel(&self, prompt: Uuid) -> Result<(), Error> {
        if self.has_jobs.load(Ordering::Relaxed) {
            let request = self.http.post_json(&format!("/api/jobs/{prompt}/cancel"), "{}".to_owned());
            if self.http.send(request, limits::REPLY_BYTES_MAX).await?.accepted().is_ok() {
                return Ok(());
            }
        }
        self.post("/queue", &json!({ "delete": [prompt] })).await?;
        // Old versions ignore the id and interrupt the running prompt: only send this when that one is ours.
        if self.queue().await?.running.contains(&prompt.to_string()) {
            self.post("/interrupt", &json!({ "prompt_id": prompt })).await?;
        }
        Ok(())
    }

    /// Deletes a waiting duplicate of a prompt that is in the queue twice because its first request arrived after the
    /// retry. Returns whether there was one. ComfyUI itself would run both (protocol §2).
    ///
    /// # Errors
    /// The instance does not answer.
    pub async fn delete_duplicate(&self, prompt: Uuid) -> Result<bool, Error> {
        let (id, queue) = (prompt.to_string(), self.queue().await?);
        let copies = queue.running.iter().chain(&queue.pending).filter(|other| **other == id).count();
        if copies > 1 {
            // ComfyUI deletes one of them, and never the running one.
            self.post("/queue", &json!({ "delete": [prompt] })).await?;
        }
        Ok(copies > 1)
    }

    /// Deletes the history entry (`POST /history {"delete":[id]}`), once the result is stored.
    ///
    /// # Errors
    /// The instance does not answer.
    pub async fn delete_history(&self, prompt: Uuid) -> Result<(), Error> {
        self.post("/history", &json!({ "delete": [prompt] })).await
    }

    /// Unloads models and frees memory (POST /free), after a prompt ran out of memory.
    ///
    /// # Errors
    /// The instance does not answer.
    pub async fn free_memory(&self) -> Result<(), Error> {
        self.post("/free", &json!({ "unload_models": true, "free_memory": true })).await
    }

    pub(super) async fn post(&self, path: &str, body: &serde_json::Value) -> Result<(), Error> {
        let request = self.http.post_json(path, body.to_string());
        self.http.send_known(request, limits::REPLY_BYTES_MAX).await.map(drop)
    }

    async fn history(&self, prompt: Uuid) -> Result<Option<PromptResult>, Error> {
        let request = self.http.get(&format!("/history/{prompt}"));
        let bytes_max = limits::HISTORY_BYTES_MAX + self.echo_bytes;
        let reply = self.http.send_long(request, bytes_max).await.map_err(|error| match error {
            Error::TooLong(_) => {
                Error::TooLong(format!("the history entry of the prompt is longer than {bytes_max} bytes"))
            }
            other => other,
        })?;
        reply.known()?.parse(move |json| history::result(json, prompt)).await?
    }

    /// Returns the `status` of /api/jobs/{id}; `None` if there is no such job or the answer is unusable.
    async fn job_status(&self, prompt: Uuid) -> Result<Option<String>, Error> {
        let request = self.http.get(&format!("/api/jobs/{prompt}"));
        let bytes_max = limits::HISTORY_BYTES_MAX + self.echo_bytes;
        let reply = match self.http.send_long(request, bytes_max).await {
            Ok(reply) => reply.accepted(),
            // /queue and /history decide.
            Err(error @ Error::TooLong(_)) => Err(error),
            Err(error) => return Err(error),
        };
        let Ok(reply) = reply else { return Ok(None) };
        reply
            .parse(move |json| {
                let job = python_json::object::<Job<'_>>(json)?;
                let id = python_json::text(job.id, limits::PROMPT_ID_BYTES_MAX)?;
                (id == prompt.to_string()).then(|| python_json::text(job.status, limits::WORD_BYTES_MAX))?
            })
            .await
    }

    /// Whether /api/jobs exists.
    pub(super) async fn knows_jobs(&self) -> Result<bool, Error> {
        match self.http.send(self.http.get("/api/jobs?limit=1"), limits::HISTORY_BYTES_MAX).await {
            Ok(reply) => match reply.accepted() {
                Ok(reply) => reply.parse(|json| member(json, "jobs").is_some()).await,
                Err(_) => Ok(false),
            },
            Err(error @ Error::Unreachable(_)) => Err(error),
            Err(_) => Ok(false),
        }
    }
}

fn snapshot(json: &str) -> Option<QueueSnapshot> {
    let queue: Queue<'_> = python_json::object(json)?;
    let running = items(queue.queue_running)?.into_iter().map(|(_, id)| id).collect();
    let mut pending = items(queue.queue_pending)?;
    // Heap order is not run order (protocol §4).
    pending.sort_by(|left, right| left.0.total_cmp(&right.0).then_with(|| left.1.cmp(&right.1)));
    Some(QueueSnapshot { running, pending: pending.into_iter().map(|(_, id)| id).collect() })
}

/// Reads a list of queue items. `None` if one has no id: it could be the prompt in question, so the whole reply proves
/// nothing. Nor does a list that is too long.
fn items(list: &RawValue) -> Option<Vec<(f64, String)>> {
    let (mut found, mut is_whole) = (Vec::new(), true);
    each_element(list.get(), |raw| match item(raw) {
        Some(item) if found.len() < limits::QUEUED_MAX => {
            found.push(item);
            ControlFlow::Continue(())
        }
        _ => {
            is_whole = false;
            ControlFlow::Break(())
        }
    })?;
    is_whole.then_some(found)
}

/// Returns number and prompt id of a queue item.
fn item(raw: &RawValue) -> Option<(f64, String)> {
    let [number, id] = first_elements(raw.get())?;
    Some((python_json::number(number).unwrap_or(0.0), python_json::text(id, limits::PROMPT_ID_BYTES_MAX)?))
}

#[cfg(test)]
mod tests {
    use super::snapshot;
    use proptest::prelude::*;

    #[test]
    fn pending_prompts_are_sorted_in_run_order() {
        let queue = snapshot(
            r#"{"queue_running":[[3,"r",{},{},["1"]]],"queue_pending":[[5,"c",{}],[-1.5,"a"],[5,"b",{}],[4,7]]}"#,
        )
        .unwrap();
        assert_eq!(queue.running, ["r"]);
        assert_eq!(queue.pending, ["a", "7", "b", "c"]);
    }

    #[test]
    fn a_reply_without_both_lists_is_rejected() {
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
        fn no_queue_panics(items in "[\\[\\]{}\",:a-z0-9 .]{0,60}") {
            snapshot(&format!("{{\"queue_running\":[{items}],\"queue_pending\":{items}}}"));
        }
    }
}
