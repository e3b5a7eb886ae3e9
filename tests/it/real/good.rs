//! Successful prompts with their files, uploads, sockets.

use super::{TIMEOUT, WAIT_MAX, bytes_of, fresh, has_magic, instances, run, workflow};
use futures_util::{StreamExt, stream};
use serde_json::value::RawValue;
use shuzhiren::comfy::{NodeOutput, PromptEvent, PromptOutcome, PromptStatus};
use std::time::Instant;
use uuid::Uuid;

#[tokio::test]
async fn a_probe_returns_version_and_device() {
    for client in instances() {
        let probe = client.probe(TIMEOUT).await.unwrap();
        assert!(probe.version.starts_with("0."), "{probe:?}");
        assert_eq!(probe.upload_bytes_max, Some(100 << 20));
        assert!(!probe.has_jobs, "0.3 has no jobs API");
        assert!(probe.device.is_some_and(|device| device.name == "cpu" && device.vram_total > 0));
        client.queue_remaining(TIMEOUT).await.unwrap();
    }
}

/// Workflow, number of files, texts.
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
async fn every_valid_workflow_produces_complete_files() {
    let clients = instances();
    if clients.is_empty() {
        return;
    }
    for (turn, (name, files, texts)) in GOOD.into_iter().enumerate() {
        let client = &clients[turn % clients.len()];
        let run = run(client, &fresh(name)).await;
        assert!(matches!(run.ending.outcome, PromptOutcome::Success), "{name}: {:?}", run.ending);
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
async fn outputs_have_their_kind() {
    for client in instances() {
        let video = run(&client, &workflow("save_video")).await;
        assert!(
            matches!(&video.ending.outputs[..], [NodeOutput::File { node_id, key, file, animated: true, .. }]
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
async fn a_u64_seed_arrives_exactly() {
    for client in instances() {
        let run = run(&client, &workflow("seed_max")).await;
        assert!(matches!(run.ending.outcome, PromptOutcome::Success), "{:?}", run.ending);
    }
}

#[tokio::test]
async fn an_upload_is_used_under_the_returned_name() {
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
        assert!(matches!(run.ending.outcome, PromptOutcome::Success), "{:?}", run.ending);
        assert!(has_magic("x.png", &bytes_of(&client, run.files()[0]).await));
    }
}

#[tokio::test]
async fn a_closed_socket_can_be_reopened_with_its_client_id() {
    for client in instances() {
        let client_id = format!("test-{}", Uuid::new_v4());
        for _ in 0..3 {
            let mut socket = client.connect(&client_id, TIMEOUT).await.unwrap();
            let prompt = Uuid::new_v4();
            client.submit(prompt, &fresh("steps_text"), &client_id).await.unwrap();
            let ended = async {
                while let Some(sign) = socket.next().await {
                    if sign == PromptEvent::Ended(prompt) {
                        return true;
                    }
                }
                false
            };
            assert!(tokio::time::timeout(WAIT_MAX, ended).await.unwrap());
            socket.close().await;
            client.delete_history(prompt).await.unwrap();
        }
    }
}

/// ComfyUI sends success before it writes the history; nevertheless every result must be found.
#[tokio::test]
async fn the_results_of_fifty_quick_prompts_are_found() {
    let Some(client) = instances().into_iter().next() else { return };
    let client_id = format!("test-{}", Uuid::new_v4());
    let mut socket = client.connect(&client_id, TIMEOUT).await.unwrap();
    let started = Instant::now();
    for _ in 0..50 {
        let prompt = Uuid::new_v4();
        client.submit(prompt, &workflow("always"), &client_id).await.unwrap();
        let ended = async { while socket.next().await.expect("open") != PromptEvent::Ended(prompt) {} };
        tokio::time::timeout(WAIT_MAX, ended).await.unwrap();
        assert!(matches!(client.result(prompt).await.unwrap(), PromptStatus::Ended(_)));
        client.delete_history(prompt).await.unwrap();
    }
    eprintln!("50 prompts in {:?}", started.elapsed());
    socket.close().await;
}
