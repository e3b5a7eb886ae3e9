//! The client against a real ComfyUI. Runs when `COMFYUI_DIR` is set; the instances are `COMFYUI_URLS` (comma
//! separated, default `http://127.0.0.1:8188,http://127.0.0.1:8189`) and have the test nodes of
//! `<shared>/comfyui/test_nodes`; `<shared>` is `SHUZHIREN_SHARED`, default `../shared` beside the repository.

mod bad;
mod good;

use futures_util::TryStreamExt;
use serde_json::value::RawValue;
use shuzhiren::{
    comfy::{
        Client, NodeOutput, ProgressTracker, PromptEvent, PromptOutcome, PromptResult, PromptStatus, RemoteFile,
        Submitted,
    },
    fleet::Target,
    task::{Failure, InstanceId, Progress},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Time limit of a prompt. The instances are shared: other prompts may be queued before ours.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Returns the real instances; none, with a note on standard error, if no ComfyUI is configured.
fn instances() -> Vec<Client> {
    if std::env::var_os("COMFYUI_DIR").is_none() {
        eprintln!("real ComfyUI: not configured");
        return Vec::new();
    }
    let urls =
        std::env::var("COMFYUI_URLS").unwrap_or_else(|_| "http://127.0.0.1:8188,http://127.0.0.1:8189".to_owned());
    urls.split(',').map(|url| Client::new(&target(url), TIMEOUT).unwrap()).collect()
}

fn target(base_url: &str) -> Target {
    Target {
        id: InstanceId::new("real"),
        server_id: "real".to_owned(),
        server_name: "real".to_owned(),
        ip: "127.0.0.1".to_owned(),
        port: 8188,
        base_url: base_url.to_owned(),
        headers: BTreeMap::new(),
        extra_data: Default::default(),
        server_enabled: true,
    }
}

fn workflow(name: &str) -> Box<RawValue> {
    let shared = std::env::var_os("SHUZHIREN_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = shared.join("comfyui/workflows").join(name).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    RawValue::from_string(text).unwrap()
}

/// Returns the workflow with a new seed, so that nothing comes from the cache.
fn fresh(name: &str) -> Box<RawValue> {
    let seed = Uuid::new_v4().as_u128() as u32;
    let text = workflow(name).get().replace("\"seed\": 1", &format!("\"seed\": {seed}"));
    RawValue::from_string(text).unwrap()
}

struct Run {
    ending: PromptResult,
    progress: Vec<Progress>,
    took: Duration,
}

impl Run {
    fn failure(&self) -> &Failure {
        match &self.ending.outcome {
            PromptOutcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    fn files(&self) -> Vec<&RemoteFile> {
        let outputs = self.ending.outputs.iter();
        outputs
            .filter_map(|output| if let NodeOutput::File { file, .. } = output { Some(file) } else { None })
            .collect()
    }

    fn texts(&self) -> Vec<&str> {
        let outputs = self.ending.outputs.iter();
        outputs
            .filter_map(|output| if let NodeOutput::Value { text, .. } = output { Some(text.as_str()) } else { None })
            .collect()
    }
}

async fn run(client: &Client, workflow: &RawValue) -> Run {
    let started = Instant::now();
    let prompt = Uuid::new_v4();
    let client_id = format!("test-{prompt}");
    let mut socket = client.connect(&client_id, TIMEOUT).await.unwrap();
    let nodes: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_str(workflow.get()).unwrap();
    let mut tracker = ProgressTracker::new(prompt, nodes.into_keys());
    let mut progress = Vec::new();
    let submitted = client.submit(prompt, workflow, &client_id).await.unwrap();
    assert!(matches!(submitted, Submitted::Accepted), "{submitted:?}");
    let received = async {
        while let Some(event) = socket.next().await {
            if tracker.apply(&event) {
                progress.push(tracker.progress());
            }
            if event == PromptEvent::Ended(prompt) {
                return;
            }
        }
        panic!("the WebSocket closed");
    };
    tokio::time::timeout(WAIT_MAX, received).await.expect("no end event in time");
    let PromptStatus::Ended(ending) = client.result(prompt).await.unwrap() else {
        panic!("the prompt is not in the history")
    };
    let took = started.elapsed();
    socket.close().await;
    client.delete_history(prompt).await.unwrap();
    assert!(matches!(client.status(prompt).await.unwrap(), PromptStatus::Unknown));
    Run { ending: *ending, progress, took }
}

/// Downloads a file and checks its length.
async fn bytes_of(client: &Client, file: &RemoteFile) -> Vec<u8> {
    let download = client.view(file).await.unwrap();
    let size_bytes = download.size_bytes.expect("a Content-Length");
    let bytes: Vec<u8> = download
        .bytes
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
        .unwrap();
    assert_eq!(bytes.len() as u64, size_bytes, "{file:?}");
    bytes
}

fn has_magic(filename: &str, bytes: &[u8]) -> bool {
    match filename.rsplit('.').next().unwrap() {
        "png" => bytes.starts_with(b"\x89PNG"),
        "webp" => bytes.starts_with(b"RIFF") && bytes[8..].starts_with(b"WEBP"),
        "flac" => bytes.starts_with(b"fLaC"),
        "mp3" => bytes.starts_with(b"ID3") || bytes[0] == 0xFF,
        "opus" => bytes.starts_with(b"OggS"),
        "mp4" => bytes[4..].starts_with(b"ftyp"),
        "webm" => bytes.starts_with(b"\x1a\x45\xdf\xa3"),
        "latent" => bytes.len() > 8,
        other => panic!("{other}"),
    }
}
