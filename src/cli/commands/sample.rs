//! `shuzhiren sample`: submits a built-in workflow to a running system and saves the picture.

use super::files::{
    download::StoredFile,
    download_to_path::{check_target, save_as},
};
use crate::{
    cli::{
        client::{
            address::base_of,
            rest::{Api, Repeat},
        },
        error::Error,
        term::output,
        watch::{
            follow,
            progress::{ProgressReporter, ending},
            targets::Targets,
        },
    },
    settings::Secret,
};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// Settings of `sample`.
#[derive(Debug, Args)]
pub struct SampleArgs {
    /// Address of the system
    #[arg(long, env = "SHUZHIREN_URL", default_value = "http://127.0.0.1:3000")]
    url: String,
    /// User name
    #[arg(long, env = "SHUZHIREN_USERNAME", default_value = "admin")]
    username: String,
    /// Password
    #[arg(long, env = "SHUZHIREN_PASSWORD", default_value = "admin123", hide_env_values = true)]
    password: Secret,
    /// Text prompt of the picture
    #[arg(long, default_value = "a lighthouse in the morning")]
    prompt: String,
    /// File to save the picture in: replaced if it exists; a link is followed, a device or pipe is written to
    #[arg(long, default_value = "sample.png")]
    out: PathBuf,
}

/// Time to wait for a system that stops answering.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Logs in, submits, waits, and saves the first picture. The login is not saved.
pub(crate) async fn sample(args: SampleArgs) -> Result<(), Error> {
    let base = base_of(&args.url)?;
    check_target(&args.out)?;
    let api = Api::new(&base, None, WAIT_MAX)?;
    let body = json!({"username": args.username, "password": args.password.expose()});
    let login = api.call(Repeat::Safe, async || Ok(api.request(Method::POST, "/api/auth/login").json(&body))).await?;
    let api = Api::new(&base, Some(Secret::new(login.text("token"))), WAIT_MAX)?;

    let (body, key) = (body_of(&args.prompt), format!("sample-{}", uuid::Uuid::new_v4()));
    let submit = async || Ok(api.request(Method::POST, "/api/tasks").header("Idempotency-Key", &key).json(&body));
    let task = api.call(Repeat::Safe, submit).await?;
    let id = task.text("id").to_owned();
    output::print_line(&format!("task {id} accepted, seed {}", task.value["resolved"]["seeds"]["3.seed"]))?;

    let mut reporter = ProgressReporter::new(false);
    let targets = Targets::task(&id);
    let ended = tokio::select! {
        ended = follow::follow(&api, &targets, |update| reporter.report(update)) => ended?,
        _ = tokio::signal::ctrl_c() => return Err(Error::Interrupted(format!("interrupted: task {id} continues"))),
    };
    let task = ended.first().map(|task| &task.value).unwrap_or(&Value::Null);
    if task["status"] != "completed" {
        return Err(Error::TaskFailed(format!("task {id} {}", ending(task))));
    }
    let output = StoredFile::of_task(task).into_iter().next();
    let output = output.ok_or_else(|| Error::TaskFailed("the task produced no file".to_owned()))?;
    let size = tokio::select! {
        size = save_as(&api, &output, &args.out) => size?,
        _ = tokio::signal::ctrl_c() => return Err(Error::Interrupted(format!("interrupted: download {id} later"))),
    };
    // In private mode only the signed link opens the file.
    let signature = task["result"]["files"][0].as_str().and_then(|link| link.split_once('?'));
    let signature = signature.map(|(_, signature)| format!("?{}", output::sanitize(signature))).unwrap_or_default();
    output::print_line(&format!(
        "picture {}/upload/file/{}{signature}\nsaved   {} ({size} bytes)",
        api.base(),
        output.file_id,
        args.out.display()
    ))
}

fn body_of(prompt: &str) -> Value {
    json!({"workflow": workflow(), "params": {"6.text": prompt, "3.seed": "random"}})
}

/// The default text-to-image graph. Stand-in instances know its nodes; real ones need the checkpoint it names.
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
