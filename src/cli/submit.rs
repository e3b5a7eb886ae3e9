//! `shuzhiren submit`: a workflow and its params become a task, once.
//!
//! Invariant: what is submitted carries an idempotency key, ours when none is given: a request whose answer was lost is said again
//! and makes no second task. Numbers of workflow and params leave as they were written.

use super::{
    answer::Answer,
    api::{Api, Repeat},
    connection::Common,
    fault::Fault,
    live, out,
    params::{self, Given, Param},
    upload,
    watch::{ResultArgs, to_the_end},
    words::text,
};
use crate::settings::duration;
use clap::Args;
use reqwest::{Method, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Settings of `submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The workflow (ComfyUI's "Export (API)"), `-` = standard input
    file: PathBuf,
    /// Put a value into the workflow: JSON if it parses, else a text; `@photo.png` is uploaded
    ///
    /// E.g. 6.text="a lighthouse", 3.seed=random, 3:KSampler.steps=20, @Positive.text="a cat", prompt="a cat". Numbers stay exactly as typed.
    /// All forms are at /docs#params of the running system.
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE")]
    params: Vec<String>,
    /// Follow it to its end and name what it made
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    results: ResultArgs,
    /// high, normal or low
    #[arg(long)]
    priority: Option<String>,
    /// Longest run, e.g. 10m
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    timeout: Option<Duration>,
    /// Must have begun by then: a time (2030-01-31T08:00:00Z) or from now on (2h)
    #[arg(long, value_name = "TIME")]
    start_by: Option<String>,
    /// Tries, 1-10
    #[arg(long)]
    max_attempts: Option<u64>,
    /// A JSON object that is kept with the task
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// No param may go unused
    #[arg(long)]
    strict: bool,
    /// Draw every seed that no param sets
    #[arg(long)]
    randomize_seeds: bool,
    /// Find prompt, seed, steps, cfg, width, height in the graph
    #[arg(long)]
    auto_map: bool,
    /// Show what it would come to; nothing is enqueued
    #[arg(long, conflicts_with_all = ["watch", "out"])]
    dry_run: bool,
    /// The same key and the same task again is the same task
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    workflow: Box<RawValue>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<String, Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    randomize_seeds: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    auto_map: bool,
}

/// Submits.
pub(super) async fn submit(args: SubmitArgs) -> Result<(), Fault> {
    let params = params::parse_all(&args.params)?;
    let has_files = params.iter().any(|param| matches!(param.value, Given::File(_)));
    if has_files && args.idempotency_key.is_some() {
        let why = "each upload is a new file, and so it would be another task: upload first and give the file's id";
        return Err(Fault::Usage(format!("--idempotency-key with `@file`: {why}")));
    }
    let mut body = body(&args)?;
    let api = args.common.connection.logged_in()?;
    let uploaded = put_params(&api, params, &mut body).await?;
    let answer = send(&api, &args, &body).await;
    if args.dry_run || matches!(answer, Err(Fault::Refused(_))) {
        // No task has them.
        for id in &uploaded {
            let path = format!("/api/files/{id}");
            if let Err(fault) = api.call(Repeat::IfUnsent, async || Ok(api.request(Method::DELETE, &path))).await {
                out::hint(&format!("the upload {id} stays behind: {fault}"));
            }
        }
    }
    let answer = answer?;
    warn(&answer.value);
    if args.dry_run {
        return rehearsed(&answer, args.common.json);
    }
    accepted(&api, &args, &answer).await
}

async fn accepted(api: &Api, args: &SubmitArgs, task: &Answer) -> Result<(), Fault> {
    let (id, json, is_watched) =
        (task.text("id").to_owned(), args.common.json, args.watch || args.results.out.is_some());
    let said = match (json, is_watched) {
        (true, true) => out::say(&live::line("task", &task.raw)),
        (true, false) => out::say(task.raw.get()),
        (false, _) => out::say(&id),
    };
    match said {
        Err(Fault::ReaderGone) if args.results.out.is_some() => {}
        said => said?,
    }
    if is_watched {
        return to_the_end(api, &[id], &args.results, json).await;
    }
    if out::is_shown() && !json {
        out::hint(&format!("to watch it: shuzhiren watch {id}"));
    }
    Ok(())
}

/// Everything but the params.
fn body(args: &SubmitArgs) -> Result<Body, Fault> {
    let timeout_ms = args.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let metadata = args.metadata.as_deref().map(serde_json::from_str::<Box<RawValue>>).transpose();
    Ok(Body {
        workflow: read_workflow(&args.file)?,
        params: BTreeMap::new(),
        priority: args.priority.clone(),
        timeout_ms,
        start_by: args.start_by.as_deref().map(start_by).transpose()?,
        max_attempts: args.max_attempts,
        metadata: metadata.map_err(|error| Fault::Usage(format!("--metadata is no JSON: {error}")))?,
        strict: args.strict,
        randomize_seeds: args.randomize_seeds.then_some("all"),
        auto_map: args.auto_map,
    })
}

/// Reads a workflow as it is: the server judges what is in it.
pub(super) fn read_workflow(path: &Path) -> Result<Box<RawValue>, Fault> {
    let unusable = |why: &dyn std::fmt::Display| Fault::Usage(format!("cannot use {}: {why}", path.display()));
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| unusable(&error))?;
    // An editor on Windows may have put a mark in front.
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| unusable(&format!("no JSON: {error}")))
}

/// A time stays as it is, a duration is added to now.
fn start_by(text: &str) -> Result<String, Fault> {
    let Ok(after) = duration(text) else { return Ok(text.to_owned()) };
    let time =
        jiff::Timestamp::now().checked_add(after).map_err(|error| Fault::Usage(format!("--start-by: {error}")))?;
    Ok(format!("{time:.3}"))
}

/// Uploads what must be, each file once; gives the ids of the uploads.
async fn put_params(api: &Api, params: Vec<Param>, body: &mut Body) -> Result<Vec<String>, Fault> {
    let mut uploaded: BTreeMap<PathBuf, String> = BTreeMap::new();
    for Param { key, value } in params {
        let value = match value {
            Given::Json(value) => value,
            Given::File(path) => {
                if !uploaded.contains_key(&path) {
                    let file = upload::upload(api, &path).await?;
                    uploaded.insert(path.clone(), file.text("fileId").to_owned());
                }
                let directive = serde_json::json!({ "$file": uploaded[&path] });
                serde_json::value::to_raw_value(&directive).expect("an object with a text can be written as JSON")
            }
        };
        body.params.insert(key, value);
    }
    Ok(uploaded.into_values().collect())
}

async fn send(api: &Api, args: &SubmitArgs, body: &Body) -> Result<Answer, Fault> {
    let body = serde_json::to_string(body).map_err(|error| Fault::Usage(format!("cannot write the task: {error}")))?;
    let key = args.idempotency_key.clone().unwrap_or_else(|| format!("cli-{}", uuid::Uuid::new_v4()));
    let path = if args.dry_run { "/api/tasks?dryRun=true" } else { "/api/tasks" };
    api.call(Repeat::Safe, async || {
        let request = api.request(Method::POST, path).header(CONTENT_TYPE, "application/json");
        Ok(request.header("Idempotency-Key", &key).body(body.clone()))
    })
    .await
}

fn warn(answer: &Value) {
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        out::hint(&format!("warning: {}", out::clean(text(warning, "message"))));
    }
}

fn rehearsed(answer: &Answer, json: bool) -> Result<(), Fault> {
    if json {
        return out::say(answer.raw.get());
    }
    let value = &answer.value;
    out::say(&format!("it would be accepted: {} nodes", value["nodesTotal"]))?;
    for (name, seed) in value["resolved"]["seeds"].as_object().into_iter().flatten() {
        out::say(&format!("  seed {} = {seed}", out::clean(name)))?;
    }
    for (name, address) in value["resolved"]["params"].as_object().into_iter().flatten() {
        out::say(&format!("  {} goes to {}", out::clean(name), out::clean(address.as_str().unwrap_or_default())))?;
    }
    let instances: Vec<&str> =
        value["eligibleInstances"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match (value["checked"] == true, instances.is_empty()) {
        (true, false) => out::say(&format!("it could run on {}", out::clean(&instances.join(", ")))),
        (true, true) => out::say("no instance of the config could run it"),
        (false, _) => out::say("not checked against instances: none has been seen yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::start_by;

    #[test]
    fn a_start_is_a_time_or_from_now_on() {
        assert_eq!(start_by("2030-01-31T08:00:00Z").unwrap(), "2030-01-31T08:00:00Z");
        let soon: jiff::Timestamp = start_by("2h").unwrap().parse().unwrap();
        let ahead = soon.as_second() - jiff::Timestamp::now().as_second();
        assert!((7_190..=7_200).contains(&ahead), "{ahead}");
    }
}
