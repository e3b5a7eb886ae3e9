//! Well-behaved clients: every submit has an Idempotency-Key and is repeated until it is answered. They record every
//! promise of the API.

use super::cluster::{Cluster, WAIT_MAX};
use crate::support::stack::workflow;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The work of a task, which decides how it may end.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A picture, immediately.
    Quick,
    /// Steps of this many seconds in total.
    Steps(f64),
    /// A node raises an exception: final.
    Fails,
    /// Out of memory, at most twice.
    Hungry,
    /// Every instance refuses it.
    Invalid,
    /// Inverts an uploaded file.
    Upload(String),
}

/// A submitted task.
#[derive(Debug, Clone)]
pub struct Entry {
    pub kind: Kind,
    /// Task id, once answered with 200.
    pub id: Option<String>,
    /// Whether a DELETE was answered with "cancelled".
    pub is_cancelled: bool,
    /// Whether a DELETE was sent.
    pub may_be_cancelled: bool,
    /// Number of requests without any answer.
    pub unanswered: u32,
}

/// Posts tasks and records the answers.
#[derive(Clone)]
pub struct Load {
    http: Client,
    bases: Vec<String>,
    token: String,
    entries: Arc<Mutex<Vec<Entry>>>,
    /// Answers that the API must not give.
    violations: Arc<Mutex<Vec<String>>>,
    refusals: Arc<Mutex<Vec<Duration>>>,
    /// Times at which a task was accepted.
    accepted: Arc<Mutex<Vec<Instant>>>,
    /// Pause between two tries of a request.
    pause: Duration,
    seeds: Arc<AtomicU64>,
}

impl Load {
    pub fn new(cluster: &Cluster) -> Self {
        Self {
            http: Client::builder().no_proxy().timeout(Duration::from_secs(15)).build().unwrap(),
            bases: cluster.apis.iter().map(|api| format!("http://127.0.0.1:{}", api.port)).collect(),
            token: cluster.client.token.clone(),
            entries: Arc::default(),
            violations: Arc::default(),
            refusals: Arc::default(),
            accepted: Arc::default(),
            pause: Duration::from_millis(150),
            seeds: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Clients of one API only, which try again after this pause.
    pub fn at(cluster: &Cluster, api: usize, pause: Duration) -> Self {
        let all = Self::new(cluster);
        // Graphs of two loads must differ.
        let seeds = Arc::new(AtomicU64::new(1 + 1_000_000 * u64::try_from(api).unwrap()));
        Self { bases: vec![all.bases[api].clone()], pause, seeds, ..all }
    }

    /// Times at which a task was accepted, in order.
    pub fn accepted(&self) -> Vec<Instant> {
        let mut accepted = self.accepted.lock().unwrap().clone();
        accepted.sort();
        accepted
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    pub fn ids(&self) -> BTreeSet<String> {
        self.entries().into_iter().filter_map(|entry| entry.id).collect()
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// Durations of answers with 503, shortest first.
    pub fn refusals(&self) -> Vec<Duration> {
        let mut refusals = self.refusals.lock().unwrap().clone();
        refusals.sort();
        refusals
    }

    pub async fn post(&self, kind: Kind) -> String {
        self.post_as(kind, "normal").await
    }

    /// Posts one task until an API accepts it.
    pub async fn post_as(&self, kind: Kind, priority: &str) -> String {
        let seed = self.seeds.fetch_add(1, Ordering::Relaxed);
        let mut body = body(&kind, seed);
        body["priority"] = json!(priority);
        let place = {
            let mut entries = self.entries.lock().unwrap();
            let entry = Entry { kind, id: None, is_cancelled: false, may_be_cancelled: false, unanswered: 0 };
            entries.push(entry);
            entries.len() - 1
        };
        let key = uuid::Uuid::new_v4().to_string();
        let answer = self.until_answered(seed, Method::POST, "/api/tasks", Some((&key, &body)), Some(place)).await;
        let id = answer["data"]["id"].as_str().unwrap_or_else(|| panic!("no task: {answer}")).to_owned();
        self.entries.lock().unwrap()[place].id = Some(id.clone());
        self.accepted.lock().unwrap().push(Instant::now());
        id
    }

    /// Cancels a task until it is answered. Returns true if the cancel was in time.
    pub async fn cancel(&self, id: &str) -> bool {
        let place = self.entries().iter().position(|entry| entry.id.as_deref() == Some(id)).unwrap();
        self.entries.lock().unwrap()[place].may_be_cancelled = true;
        let seed = self.seeds.load(Ordering::Relaxed);
        let answer = self.until_answered(seed, Method::DELETE, &format!("/api/tasks/{id}"), None, None).await;
        let is_cancelled = answer["data"]["status"] == "cancelled";
        if !is_cancelled && answer["error"]["type"] != "task_ended" {
            self.violation(format!("cancel of {id}: {answer}"));
        }
        self.entries.lock().unwrap()[place].is_cancelled = is_cancelled;
        is_cancelled
    }

    /// Uploads a file and returns its id.
    pub async fn upload(&self, bytes: &[u8]) -> String {
        let give_up = Instant::now() + WAIT_MAX;
        for turn in 0.. {
            let part = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name("a.png");
            let form = reqwest::multipart::Form::new().part("file", part);
            let url = format!("{}/api/files/upload", self.bases[turn % self.bases.len()]);
            let answer = self.http.post(url).bearer_auth(&self.token).multipart(form).send().await;
            if let Ok(answer) = answer
                && answer.status() == 200
                && let Ok(answer) = answer.json::<Value>().await
            {
                return answer["data"]["fileId"].as_str().unwrap().to_owned();
            }
            assert!(Instant::now() < give_up, "no upload was answered");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        unreachable!()
    }

    /// Sends the request to one API after another until one answers with anything but "later".
    async fn until_answered(
        &self,
        first: u64,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
        place: Option<usize>,
    ) -> Value {
        let give_up = Instant::now() + WAIT_MAX;
        for turn in first.. {
            let base = &self.bases[usize::try_from(turn).unwrap() % self.bases.len()];
            let mut request = self.http.request(method.clone(), format!("{base}{path}")).bearer_auth(&self.token);
            if let Some((key, body)) = body {
                request = request.header("Idempotency-Key", key).json(body);
            }
            let asked = Instant::now();
            match self.answer(request).await {
                Some((status, retry_after, answer)) if matches!(status.as_u16(), 429 | 503) => {
                    self.refusals.lock().unwrap().push(asked.elapsed());
                    if !retry_after || answer["code"] != status.as_u16() || answer["error"]["type"].is_null() {
                        self.violation(format!("{status} without Retry-After or envelope: {answer}"));
                    }
                }
                Some((status, _, answer)) if matches!(status.as_u16(), 200 | 409) => return answer,
                Some((status, _, answer)) => {
                    assert!(status.is_server_error(), "{method} {path}: {status} {answer}");
                    self.violation(format!("{method} {path}: {status} {answer}"));
                }
                None => {
                    if let Some(place) = place {
                        self.entries.lock().unwrap()[place].unanswered += 1;
                    }
                }
            }
            assert!(Instant::now() < give_up, "{method} {path} was never answered");
            tokio::time::sleep(self.pause).await;
        }
        unreachable!()
    }

    /// Sends a request. Returns the status, whether Retry-After is set, and the envelope.
    async fn answer(&self, request: reqwest::RequestBuilder) -> Option<(StatusCode, bool, Value)> {
        let answer = request.send().await.ok()?;
        let (status, retry_after) = (answer.status(), answer.headers().contains_key("retry-after"));
        Some((status, retry_after, answer.json().await.ok()?))
    }

    fn violation(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }
}

fn body(kind: &Kind, seed: u64) -> Value {
    match kind {
        Kind::Quick => json!({"workflow": workflow::quick(seed), "maxAttempts": 10}),
        Kind::Steps(seconds) => {
            let graph = workflow::steps(10, *seconds);
            json!({"workflow": graph, "params": {"2.seed": seed}, "maxAttempts": 10})
        }
        Kind::Fails => {
            let mut graph = workflow::steps(4, 0.2);
            graph["2"]["inputs"]["fail_at"] = json!(2);
            json!({"workflow": graph, "params": {"2.seed": seed}, "maxAttempts": 10})
        }
        Kind::Hungry => {
            let mut graph = workflow::steps(2, 0.1);
            graph["2"]["inputs"]["fail_at"] = json!(1);
            graph["2"]["inputs"]["oom"] = json!(true);
            json!({"workflow": graph, "params": {"2.seed": seed}, "maxAttempts": 2})
        }
        Kind::Invalid => {
            // Only the instance can know that the file is missing.
            let load = json!({"class_type": "LoadImage", "inputs": {"image": format!("missing-{seed}.png")}});
            let save = json!({"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}});
            json!({"workflow": {"1": load, "2": save}})
        }
        Kind::Upload(file) => json!({
            "workflow": {
                "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
                "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
                "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": format!("inverted-{seed}")}}
            },
            "params": {"1.image": {"$file": file}}, "maxAttempts": 10
        }),
    }
}
