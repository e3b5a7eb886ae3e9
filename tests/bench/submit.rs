//! `POST /api/tasks` with a 2 KB body.

use super::{
    http::{closed_loop, open_loop, post},
    ours,
    program::{Program, token},
    redis::TestRedis,
};
use serde_json::json;
use std::time::Duration;

const CONNECTIONS: usize = 64;
const ROUND: Duration = Duration::from_secs(3);

pub async fn run() {
    println!("submit: POST /api/tasks, 2 KB, {CONNECTIONS} connections");
    let (redis, folder) = (TestRedis::start(), tempfile::tempdir().unwrap());
    let bare = Program::in_role("bare-submit", &[("REDIS_URL", redis.url())]);
    let our = Program::start("api", &ours::environment(&redis, folder.path()));
    let request = post("/api/tasks", &token().await, &body());
    let (mut our_rate, mut bare_rate) = (0.0, 0.0);
    closed_loop(bare.address, &request, CONNECTIONS, Duration::from_secs(1)).await;
    closed_loop(our.address, &request, CONNECTIONS, Duration::from_secs(1)).await;
    for round in 1..=3 {
        let bare = closed_loop(bare.address, &request, CONNECTIONS, ROUND).await;
        let our = closed_loop(our.address, &request, CONNECTIONS, ROUND).await;
        println!("  round {round}: ours {our:.0}/s, bare {bare:.0}/s, ratio {:.2}", our / bare);
        our_rate += our;
        bare_rate += bare;
    }
    println!("  ratio {:.2} (wanted: at least 0.6)", our_rate / bare_rate);
    let times = open_loop(our.address, &request, 64, 1_000, Duration::from_secs(6)).await;
    let (p50, p99) = (times.percentile(50.0), times.percentile(99.0));
    println!("  at 1,000/s ({} requests): p50 {p50:.2} ms, p99 {p99:.2} ms (wanted: p99 below 20)", times.len());
}

/// Returns the default text-to-image graph, with a prompt that makes the body 2 KB long.
fn body() -> String {
    let body = |text: &str| {
        let workflow = json!({
            "3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 20, "cfg": 8.0, "sampler_name": "euler",
                "scheduler": "normal", "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0],
                "latent_image": ["5", 0]}},
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned-emaonly.safetensors"}},
            "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["4", 1]}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text, watermark", "clip": ["4", 1]}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
        });
        json!({"workflow": workflow, "params": {}}).to_string()
    };
    let short = body("").len();
    body(&"beautiful scenery nature glass bottle landscape, ".repeat(60)[..2_048 - short])
}
