//! `shuzhiren sample`: the shortest way from a running system to a picture.

use crate::settings::Secret;
use clap::Args;
use reqwest::Client;
use serde_json::{Value, json};
use std::{io::Write as _, path::PathBuf, time::Duration};

/// Settings of `sample`.
#[derive(Debug, Args)]
pub struct SampleArgs {
    /// Address of the system
    #[arg(long, env = "SHUZHIREN_URL", default_value = "http://127.0.0.1:3000")]
    url: String,
    /// Login
    #[arg(long, env = "SHUZHIREN_USERNAME", default_value = "admin")]
    username: String,
    /// Password
    #[arg(long, env = "SHUZHIREN_PASSWORD", default_value = "admin123", hide_env_values = true)]
    password: Secret,
    /// What the picture should show
    #[arg(long, default_value = "a lighthouse in the morning")]
    prompt: String,
    /// Where the picture goes
    #[arg(long, default_value = "sample.png")]
    out: PathBuf,
}

/// Longest wait for the task's end.
const WAIT: Duration = Duration::from_secs(600);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Logs in, submits, waits, saves the first picture.
///
/// # Errors
/// A sentence for people.
pub async fn sample(args: SampleArgs) -> Result<(), String> {
    let base = args.url.trim_end_matches('/').to_owned();
    let client = Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(|error| error.to_string())?;
    let login = json!({"username": args.username, "password": args.password.expose()});
    let login = call(client.post(format!("{base}/api/auth/login")).json(&login)).await?;
    let token = login["token"].as_str().ok_or("the login answered without a token")?.to_owned();

    let body = json!({"workflow": workflow(), "params": {"6.text": args.prompt, "3.seed": "random"}});
    let task = call(client.post(format!("{base}/api/tasks")).bearer_auth(&token).json(&body)).await?;
    let id = task["id"].as_str().ok_or("the task has no id")?.to_owned();
    say(&format!("task {id} accepted, seed {}", task["resolved"]["seeds"]["3.seed"]))?;

    let task = tokio::time::timeout(WAIT, ended(&client, &base, &token, &id)).await.map_err(|_elapsed| {
        format!("task {id} has not ended within {} s; see GET /api/tasks/{id}", WAIT.as_secs())
    })??;
    if task["status"] != "completed" {
        return Err(format!("task {id} {}: {}", task["status"].as_str().unwrap_or("?"), task["error"]["message"]));
    }
    let link = task["result"]["files"][0].as_str().ok_or("the task made no file")?;
    let picture = client
        .get(link)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| error.to_string())?;
    let bytes = picture.bytes().await.map_err(|error| error.to_string())?;
    std::fs::write(&args.out, &bytes).map_err(|error| format!("cannot write {}: {error}", args.out.display()))?;
    say(&format!("picture {link}\nsaved   {} ({} bytes)", args.out.display(), bytes.len()))
}

async fn ended(client: &Client, base: &str, token: &str, id: &str) -> Result<Value, String> {
    let mut shown = String::new();
    loop {
        let task = call(client.get(format!("{base}/api/tasks/{id}")).bearer_auth(token)).await?;
        let status = task["status"].as_str().unwrap_or("?");
        let line = match status {
            "pending" => format!("pending: {}", task["waitingFor"].as_str().unwrap_or("…")),
            _ => format!("{status} {} %", task["progress"]),
        };
        if line != shown {
            say(&line)?;
            shown = line;
        }
        if !matches!(status, "pending" | "running") {
            return Ok(task);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn call(request: reqwest::RequestBuilder) -> Result<Value, String> {
    let response = request.send().await.map_err(|error| format!("no answer: {error}"))?;
    let mut body: Value = response.json().await.map_err(|error| format!("not an answer of ours: {error}"))?;
    if body["code"] != 200 {
        return Err(format!("{} {}", body["code"], body["message"].as_str().unwrap_or("")));
    }
    Ok(body["data"].take())
}

/// The classic text-to-image graph; stand-ins know its nodes. Real instances need the checkpoint it names.
fn workflow() -> Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal",
              "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a picture", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "sample", "images": ["8", 0]}}
    })
}

/// One line on stdout; a reader that went away ends the command politely.
fn say(line: &str) -> Result<(), String> {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(error.to_string()),
    }
}
