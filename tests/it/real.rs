//! The client against a real ComfyUI. Runs when `COMFYUI_DIR` is set; the instances are `COMFYUI_URLS` (comma separated,
//! default `http://127.0.0.1:8188,http://127.0.0.1:8189`) and have the test nodes of `<shared>/comfyui/test_nodes`;
//! `<shared>` is `SHUZHIREN_SHARED`, default `../shared` beside the repository.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::value::RawValue;
use shuzhiren::{
    comfy::{Client, Ending, Error, Made, RemoteFile, Sighting, Sign, Submitted, Tracker, Verdict},
    fleet::Target,
    task::{Failure, FailureKind, InstanceId, Progress},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Others use the instances too: their prompts may be in front of ours.
const PATIENCE: Duration = Duration::from_secs(120);

/// The real instances; none, with a word about it, when there is no ComfyUI here.
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

/// The workflow with a seed that was never used, so that nothing comes from the cache.
fn fresh(name: &str) -> Box<RawValue> {
    let seed = Uuid::new_v4().as_u128() as u32;
    let text = workflow(name).get().replace("\"seed\": 1", &format!("\"seed\": {seed}"));
    RawValue::from_string(text).unwrap()
}

struct Run {
    ending: Ending,
    progress: Vec<Progress>,
    took: Duration,
}

impl Run {
    fn failure(&self) -> &Failure {
        match &self.ending.verdict {
            Verdict::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    fn files(&self) -> Vec<&RemoteFile> {
        let outputs = self.ending.outputs.iter();
        outputs.filter_map(|made| if let Made::File { file, .. } = made { Some(file) } else { None }).collect()
    }

    fn texts(&self) -> Vec<&str> {
        let outputs = self.ending.outputs.iter();
        outputs.filter_map(|made| if let Made::Text { text, .. } = made { Some(text.as_str()) } else { None }).collect()
    }
}

async fn run(client: &Client, workflow: &RawValue) -> Run {
    let started = Instant::now();
    let prompt = Uuid::new_v4();
    let client_id = format!("test-{prompt}");
    let mut socket = client.connect(&client_id, TIMEOUT).await.unwrap();
    let nodes: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_str(workflow.get()).unwrap();
    let mut tracker = Tracker::new(prompt, nodes.into_keys());
    let mut progress = Vec::new();
    let submitted = client.submit(prompt, workflow, &client_id).await.unwrap();
    assert!(matches!(submitted, Submitted::Accepted), "{submitted:?}");
    let heard = async {
        while let Some(sign) = socket.next().await {
            if tracker.see(&sign) {
                progress.push(tracker.progress());
            }
            if sign == Sign::Ended(prompt) {
                return;
            }
        }
        panic!("the WebSocket closed");
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("no ending was heard");
    let Sighting::Ended(ending) = client.ending(prompt).await.unwrap() else { panic!("not in history") };
    let took = started.elapsed();
    socket.close().await;
    client.forget(prompt).await.unwrap();
    assert!(matches!(client.look(prompt).await.unwrap(), Sighting::Unknown));
    Run { ending, progress, took }
}

/// The whole file, as long as the instance said.
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

#[tokio::test]
async fn a_probe_tells_what_it_is() {
    for client in instances() {
        let probe = client.probe(TIMEOUT).await.unwrap();
        assert!(probe.version.starts_with("0."), "{probe:?}");
        assert_eq!(probe.upload_bytes_max, Some(100 << 20));
        assert!(!probe.has_jobs, "0.3 has no jobs API");
        assert!(probe.device.is_some_and(|device| device.name == "cpu" && device.vram_total > 0));
        client.queue_remaining(TIMEOUT).await.unwrap();
    }
}

/// Name, files, texts.
const GOOD: [(&str, usize, usize); 27] = [
    ("empty_save", 1, 0),
    ("empty_save_512", 1, 0),
    ("steps_save", 1, 0),
    ("steps_image", 1, 0),
    ("steps_text", 0, 1),
    ("two_outputs", 2, 0),
    ("batch_save", 3, 0),
    ("preview_image", 1, 0),
    ("preview_any", 0, 1),
    ("progress_text", 0, 1),
    ("animated_webp", 1, 0),
    ("animated_png", 1, 0),
    ("save_audio", 1, 0),
    ("save_audio_mp3", 1, 0),
    ("save_audio_opus", 1, 0),
    ("save_video", 1, 0),
    ("save_webm", 1, 0),
    ("save_latent", 1, 0),
    ("save_websocket", 0, 0),
    ("expand", 1, 0),
    ("async_two", 1, 2),
    ("block_message", 0, 1),
    ("ui_nan", 0, 0),
    ("ui_none", 0, 0),
    ("ui_empty", 0, 0),
    ("ui_big", 0, 1),
    ("stray_dangling_link", 1, 0),
];

#[tokio::test]
async fn every_good_workflow_ends_with_whole_files() {
    let clients = instances();
    if clients.is_empty() {
        return;
    }
    for (turn, (name, files, texts)) in GOOD.into_iter().enumerate() {
        let client = &clients[turn % clients.len()];
        let run = run(client, &fresh(name)).await;
        assert!(matches!(run.ending.verdict, Verdict::Success), "{name}: {:?}", run.ending);
        let mut sizes = Vec::new();
        for file in run.files() {
            let bytes = bytes_of(client, file).await;
            assert!(has_magic(&file.filename, &bytes), "{name}: {file:?}");
            sizes.push(bytes.len());
        }
        assert_eq!((sizes.len(), run.texts().len()), (files, texts), "{name}: {:?}", run.ending);
        let percents: Vec<u8> = run.progress.iter().map(|progress| progress.percent).collect();
        assert!(percents.is_sorted() && percents.iter().all(|percent| *percent <= 99), "{name}: {percents:?}");
        let last = run.progress.last().unwrap_or_else(|| panic!("{name}: no progress"));
        assert!(name.starts_with("stray") || last.nodes_done == last.nodes_total, "{name}: {last:?}");
        eprintln!("{name}: {:?}, bytes {sizes:?}, percent {percents:?}", run.took);
    }
}

#[tokio::test]
async fn what_is_shown_has_its_kind() {
    for client in instances() {
        let video = run(&client, &workflow("save_video")).await;
        assert!(
            matches!(&video.ending.outputs[..], [Made::File { node_id, key, file, animated: true }]
                if node_id == "3" && key == "images" && file.subfolder == "video" && file.folder_type == "output"),
            "{:?}",
            video.ending
        );
        let preview = run(&client, &workflow("preview_image")).await;
        assert_eq!(preview.files()[0].folder_type, "temp");
        assert_eq!(run(&client, &workflow("preview_any")).await.texts(), ["42"]);
        assert_eq!(run(&client, &workflow("block_message")).await.texts(), ["still runs"]);
        let big = run(&client, &workflow("ui_big")).await;
        assert_eq!(big.texts()[0].len(), 64 * 1024);
    }
}

#[tokio::test]
async fn a_u64_seed_arrives_whole() {
    for client in instances() {
        let run = run(&client, &workflow("seed_max")).await;
        assert!(matches!(run.ending.verdict, Verdict::Success), "{:?}", run.ending);
    }
}

#[tokio::test]
async fn a_node_that_fails_is_named_and_the_rest_is_kept() {
    for client in instances() {
        let run = run(&client, &fresh("steps_fail")).await;
        let failure = run.failure();
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (FailureKind::NodeError, "TestSteps: told to fail at step 2")
        );
        assert_eq!((failure.node_id.as_deref(), failure.node_type.as_deref()), (Some("2"), Some("TestSteps")));
        assert_eq!(failure.exception_type.as_deref(), Some("RuntimeError"));
        assert!(!failure.traceback.is_empty() && failure.traceback.iter().all(|line| !line.contains("\"/")));
        assert_eq!(run.files().len(), 1, "node 4 had ended");
        assert!(!bytes_of(&client, run.files()[0]).await.is_empty());
    }
}

#[tokio::test]
async fn out_of_memory_is_told_apart() {
    for client in instances() {
        let run = run(&client, &fresh("steps_oom")).await;
        assert_eq!(run.failure().kind, FailureKind::OutOfMemory);
        client.free().await.unwrap();
    }
}

/// Name, node to blame, word of the message.
const BAD: [(&str, Option<&str>, &str); 15] = [
    ("bad_class", Some("1"), "NoSuchNode"),
    ("bad_combo", Some("2"), "'magic' not in"),
    ("bad_combo_long", Some("1"), "Value not in list"),
    ("bad_custom_validation", Some("1"), "Invalid image file"),
    ("bad_cycle", None, "circle"),
    ("bad_link_dangling", Some("2"), "'99'"),
    ("bad_link_shape", Some("2"), "length-2 list"),
    ("bad_link_slot", Some("2"), "out of range"),
    ("bad_link_type", Some("2"), "mismatch"),
    ("bad_min_max", Some("1"), "smaller than min"),
    ("bad_missing_class_type", Some("1"), "class_type"),
    ("bad_missing_input", Some("1"), "color"),
    ("bad_missing_inputs_key", Some("1"), "inputs"),
    ("bad_no_outputs", None, "no outputs"),
    ("bad_type", Some("1"), "INT"),
];

#[tokio::test]
async fn a_bad_workflow_is_refused_in_plain_words() {
    for client in instances() {
        for (name, node_id, word) in BAD {
            let prompt = Uuid::new_v4();
            let Submitted::Invalid(failure) = client.submit(prompt, &workflow(name), "test-bad").await.unwrap() else {
                panic!("{name} was accepted")
            };
            assert_eq!(failure.kind, FailureKind::InvalidWorkflow, "{name}");
            assert_eq!(failure.node_id.as_deref(), node_id, "{name}: {}", failure.message);
            assert!(failure.message.contains(word), "{name}: {}", failure.message);
            assert!(!failure.message.contains("execution.py") && failure.traceback.is_empty(), "{name}: {failure:?}");
            assert!(matches!(client.look(prompt).await.unwrap(), Sighting::Unknown), "{name}");
            eprintln!("{name}: {}", failure.message);
        }
        let seed = client.submit(Uuid::new_v4(), &workflow("bad_seed_too_big"), "test-bad").await.unwrap();
        assert!(matches!(seed, Submitted::Invalid(_)));
    }
}

#[tokio::test]
async fn half_a_workflow_is_taken_back() {
    for client in instances() {
        // Something slow in front of it, so that it is still pending when it is taken back.
        let (slow, prompt) = (Uuid::new_v4(), Uuid::new_v4());
        client.submit(slow, &fresh("steps_slow"), "test-slow").await.unwrap();
        let Submitted::Invalid(failure) = client.submit(prompt, &workflow("partly_bad"), "test-partly").await.unwrap()
        else {
            panic!("accepted")
        };
        assert_eq!(failure.node_id.as_deref(), Some("3"));
        assert!(matches!(client.look(prompt).await.unwrap(), Sighting::Unknown));
        gone(&client, slow).await;
    }
}

/// Cancels until the instance has let go of it.
async fn gone(client: &Client, prompt: Uuid) -> Sighting {
    let started = Instant::now();
    loop {
        client.cancel(prompt).await.unwrap();
        match client.look(prompt).await.unwrap() {
            Sighting::Pending | Sighting::Running => {}
            gone => {
                client.forget(prompt).await.unwrap();
                return gone;
            }
        }
        assert!(started.elapsed() < Duration::from_secs(10), "not let go");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

async fn until(client: &Client, prompt: Uuid, wanted: impl Fn(&Sighting) -> bool) {
    super::support::eventually("the prompt is where it should be", PATIENCE, || async {
        wanted(&client.look(prompt).await.unwrap()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_running_and_a_pending_prompt_can_be_cancelled() {
    for client in instances() {
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        client.submit(first, &fresh("steps_slow"), "test-cancel").await.unwrap();
        client.submit(second, &fresh("steps_slow"), "test-cancel").await.unwrap();
        until(&client, first, |sighting| matches!(sighting, Sighting::Running)).await;
        assert!(matches!(client.look(second).await.unwrap(), Sighting::Pending));
        let queue = client.queue().await.unwrap();
        assert!(queue.running.contains(&first.to_string()) && queue.pending.contains(&second.to_string()));
        let pending = gone(&client, second).await;
        assert!(matches!(pending, Sighting::Unknown), "{pending:?}");
        assert!(matches!(client.look(first).await.unwrap(), Sighting::Running), "the other one was hit");
        let running = gone(&client, first).await;
        assert!(matches!(&running, Sighting::Ended(Ending { verdict: Verdict::Interrupted, .. })), "{running:?}");
    }
}

#[tokio::test]
async fn an_upload_is_used_under_the_name_that_came_back() {
    for client in instances() {
        let saved = run(&client, &workflow("empty_save")).await;
        let picture = bytes_of(&client, saved.files()[0]).await;
        let size_bytes = picture.len() as u64;
        let chunks: Vec<std::io::Result<bytes::Bytes>> =
            picture.chunks(100).map(|chunk| Ok(bytes::Bytes::copy_from_slice(chunk))).collect();
        let folder = format!("test-{}", Uuid::new_v4());
        let name = client.upload(&folder, "in ü.png", size_bytes, stream::iter(chunks).boxed()).await.unwrap();
        assert_eq!(name, format!("{folder}/in__.png"));
        let text = workflow("load_scale_invert_save").get().replace("up.png", &name);
        let run = run(&client, &RawValue::from_string(text).unwrap()).await;
        assert!(matches!(run.ending.verdict, Verdict::Success), "{:?}", run.ending);
        assert!(has_magic("x.png", &bytes_of(&client, run.files()[0]).await));
    }
}

#[tokio::test]
async fn a_missing_or_hostile_file_is_an_error_and_nothing_else() {
    for client in instances() {
        let file = |filename: &str, subfolder: &str, folder_type: &str| RemoteFile {
            filename: filename.to_owned(),
            subfolder: subfolder.to_owned(),
            folder_type: folder_type.to_owned(),
        };
        assert!(matches!(client.view(&file("none.png", "", "output")).await, Err(Error::NotFound)));
        for hostile in [
            file("../x.png", "", "output"),
            file("/etc/passwd", "", "output"),
            file("a&type=input\r\nX: y #%00?", "", "temp"),
            file("x.png", "../..", "output"),
            file("x.png", "", "nowhere"),
        ] {
            assert!(client.view(&hostile).await.is_err(), "{hostile:?}");
        }
    }
}

#[tokio::test]
async fn a_socket_closed_in_full_can_be_opened_again_under_its_name() {
    for client in instances() {
        let client_id = format!("test-{}", Uuid::new_v4());
        for _ in 0..3 {
            let mut socket = client.connect(&client_id, TIMEOUT).await.unwrap();
            let prompt = Uuid::new_v4();
            client.submit(prompt, &fresh("steps_text"), &client_id).await.unwrap();
            let ended = async {
                while let Some(sign) = socket.next().await {
                    if sign == Sign::Ended(prompt) {
                        return true;
                    }
                }
                false
            };
            assert!(tokio::time::timeout(PATIENCE, ended).await.unwrap());
            socket.close().await;
            client.forget(prompt).await.unwrap();
        }
    }
}

/// ComfyUI says success before its history does: every ending must be found at once all the same.
#[tokio::test]
async fn fifty_quick_prompts_are_all_found_in_history() {
    let Some(client) = instances().into_iter().next() else { return };
    let client_id = format!("test-{}", Uuid::new_v4());
    let mut socket = client.connect(&client_id, TIMEOUT).await.unwrap();
    let started = Instant::now();
    for _ in 0..50 {
        let prompt = Uuid::new_v4();
        client.submit(prompt, &workflow("always"), &client_id).await.unwrap();
        let ended = async { while socket.next().await.expect("open") != Sign::Ended(prompt) {} };
        tokio::time::timeout(PATIENCE, ended).await.unwrap();
        assert!(matches!(client.ending(prompt).await.unwrap(), Sighting::Ended(_)));
        client.forget(prompt).await.unwrap();
    }
    eprintln!("50 prompts in {:?}", started.elapsed());
    socket.close().await;
}
