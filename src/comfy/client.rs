//! What can be asked of an instance in one breath: what it is, where a prompt is, that one be dropped.

use super::{Ending, Error, Probe, QueueSnapshot, Sighting, history, http::Http, lenient, limits, pauses};
use crate::fleet::{Device, Target};
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
    has_jobs: Arc<AtomicBool>,
}

/// `{"system":{"comfyui_version",…},"devices":[{"name","vram_total","vram_free",…}]}`
#[derive(Deserialize)]
struct Stats<'a> {
    #[serde(borrow)]
    system: SystemStats<'a>,
    #[serde(borrow, default)]
    devices: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SystemStats<'a> {
    #[serde(borrow, default)]
    comfyui_version: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DeviceStats<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    vram_total: Option<&'a RawValue>,
    #[serde(borrow, default)]
    vram_free: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Features<'a> {
    #[serde(borrow, default)]
    max_upload_size: Option<&'a RawValue>,
}

/// `{"exec_info":{"queue_remaining":n}}`
#[derive(Deserialize)]
struct ExecInfo<'a> {
    #[serde(borrow)]
    exec_info: Remaining<'a>,
}

#[derive(Deserialize)]
struct Remaining<'a> {
    #[serde(borrow)]
    queue_remaining: &'a RawValue,
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

    /// Asks what it is: /system_stats, /features, /api/jobs. Remembers whether to use /api/jobs.
    ///
    /// # Errors
    /// It does not answer within `timeout`, or is no ComfyUI.
    pub async fn probe(&self, timeout: Duration) -> Result<Probe, Error> {
        let http = self.http.within(timeout);
        let stats = http.ask_known(http.get("/system_stats"), limits::REPLY_BYTES_MAX).await?;
        let stats = lenient::tidy(&stats);
        let stats: Stats<'_> =
            lenient::read(&stats).ok_or_else(|| Error::Broken("/system_stats is not ComfyUI's".to_owned()))?;
        let version = stats.system.comfyui_version.and_then(lenient::text).unwrap_or_else(|| "unknown".to_owned());
        let features = match http.ask(http.get("/features"), limits::REPLY_BYTES_MAX).await {
            Ok(reply) => reply.accepted().unwrap_or_default(),
            Err(error @ Error::Unreachable(_)) => return Err(error),
            Err(_) => bytes::Bytes::new(),
        };
        let features = lenient::tidy(&features);
        let upload_bytes_max = lenient::read::<Features<'_>>(&features)
            .and_then(|features| features.max_upload_size)
            .and_then(lenient::count);
        let has_jobs = match http.ask(http.get("/api/jobs?limit=1"), limits::LEDGER_BYTES_MAX).await {
            Ok(reply) => reply.accepted().is_ok_and(|body| {
                lenient::read::<lenient::Pairs<'_>>(&lenient::tidy(&body))
                    .is_some_and(|pairs| pairs.0.iter().any(|(key, _)| key == "jobs"))
            }),
            Err(error @ Error::Unreachable(_)) => return Err(error),
            Err(_) => false,
        };
        self.has_jobs.store(has_jobs, Ordering::Relaxed);
        Ok(Probe { version: word(version), device: device(stats.devices), upload_bytes_max, has_jobs })
    }

    /// GET /prompt: prompts pending and running. The cheapest check.
    ///
    /// # Errors
    /// It does not answer within `timeout`, or is no ComfyUI.
    pub async fn queue_remaining(&self, timeout: Duration) -> Result<u32, Error> {
        let http = self.http.within(timeout);
        let body = http.ask_known(http.get("/prompt"), limits::REPLY_BYTES_MAX).await?;
        lenient::read::<ExecInfo<'_>>(&lenient::tidy(&body))
            .and_then(|info| lenient::count(info.exec_info.queue_remaining))
            .map(|remaining| u32::try_from(remaining).unwrap_or(u32::MAX))
            .ok_or_else(|| Error::Broken("/prompt is not ComfyUI's".to_owned()))
    }

    /// GET /queue.
    ///
    /// # Errors
    /// It does not answer, or is no ComfyUI.
    pub async fn queue(&self) -> Result<QueueSnapshot, Error> {
        let body = self.http.ask_known(self.http.get("/queue"), limits::LEDGER_BYTES_MAX).await?;
        snapshot(&lenient::tidy(&body)).ok_or_else(|| Error::Broken("/queue is not ComfyUI's".to_owned()))
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

    /// POST /history {"delete":[id]}: after the result is stored.
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
        history::ending(&lenient::tidy(&body), prompt)
    }

    /// The word of /api/jobs/{id}; `None` when it has none that can be used.
    async fn job_status(&self, prompt: Uuid) -> Result<Option<String>, Error> {
        let request = self.http.get(&format!("/api/jobs/{prompt}"));
        let Ok(body) = self.http.ask(request, limits::LEDGER_BYTES_MAX).await?.accepted() else { return Ok(None) };
        let body = lenient::tidy(&body);
        let job = lenient::read::<Job<'_>>(&body);
        let is_this = |job: &Job<'_>| lenient::text(job.id).is_some_and(|id| id == prompt.to_string());
        Ok(job.filter(is_this).and_then(|job| lenient::text(job.status)))
    }
}

fn snapshot(json: &str) -> Option<QueueSnapshot> {
    let queue: Queue<'_> = lenient::read(json)?;
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
    let parts: Vec<&RawValue> = lenient::read(raw.get())?;
    let number = parts.first().and_then(|raw| lenient::number(raw)).unwrap_or(0.0);
    Some((number, lenient::text(parts.get(1)?)?))
}

fn device(devices: Option<&RawValue>) -> Option<Device> {
    let devices: Vec<&RawValue> = lenient::read(devices?.get())?;
    let device: DeviceStats<'_> = lenient::read(devices.first()?.get())?;
    Some(Device {
        name: word(device.name.and_then(lenient::text).unwrap_or_default()),
        vram_total: device.vram_total.and_then(lenient::count).unwrap_or(0),
        vram_free: device.vram_free.and_then(lenient::count).unwrap_or(0),
    })
}

/// A word for people: no control characters, short.
fn word(text: String) -> String {
    lenient::cut(text.chars().filter(|c| !c.is_control()).collect(), limits::WORD_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::{device, snapshot};
    use crate::comfy::lenient;
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
            r#"{"queue_running":[],"queue_pending":[null]}"#,
            "<html>",
        ] {
            assert!(snapshot(json).is_none(), "{json}");
        }
    }

    #[test]
    fn a_device_is_read_whatever_its_numbers_are() {
        let raw =
            lenient::read(r#"[{"name":"cuda:0 \u0000NVIDIA","vram_total":25276063744.0,"vram_free":-5,"index":null}]"#);
        let device = device(raw).unwrap();
        assert_eq!((device.name.as_str(), device.vram_total, device.vram_free), ("cuda:0 NVIDIA", 25_276_063_744, 0));
    }

    proptest! {
        #[test]
        fn nothing_panics(items in "[\\[\\]{}\",:a-z0-9 .]{0,60}") {
            snapshot(&format!("{{\"queue_running\":[{items}],\"queue_pending\":{items}}}"));
        }
    }
}
