//! `shuzhiren submit`: creates a task, or a batch of tasks, from a workflow and params.
//!
//! Invariant: each request carries an idempotency key, a random one if none is given. A request whose answer was lost
//! is repeated and creates no second task.

pub(super) mod dry_run;
pub(super) mod extra_data;
pub(super) mod params;
pub(super) mod submit_request;
pub(super) mod sweep;

use super::{
    watch::{ResultArgs, follow_to_end},
    workflows::workflow_ref::WorkflowRef,
};
use crate::{
    cli::{
        client::{
            common_args::Common,
            envelope::Answer,
            rest::{Api, Repeat},
        },
        error::Error,
        term::{format::text, output},
        watch::targets::Targets,
    },
    settings::duration,
};
use clap::{ArgGroup, Args};
use dry_run::print_dry_run;
use extra_data::ExtraDataArgs;
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::value::{RawValue, to_raw_value};
use std::{path::PathBuf, time::Duration};
use submit_request::{Members, SubmitRequest, Uploads, has_files, read_json, split_body};

/// Settings of `submit`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["file", "workflow"])))]
pub struct SubmitArgs {
    /// Workflow file (ComfyUI's "Export (API)"), `-` = standard input
    file: Option<PathBuf>,
    /// Published workflow instead of a file (listed by `shuzhiren workflows`); a flag, so that a file of the same name
    /// is never mistaken for it
    #[arg(long, value_name = "NAME[@VERSION]")]
    workflow: Option<WorkflowRef>,
    /// Set a value in the workflow: JSON if it parses, else a string; `@photo.png` is uploaded
    ///
    /// E.g. 6.text="a lighthouse", 3.seed=random, 3:KSampler.steps=20, @Positive.text="a cat", prompt="a cat". Numbers
    /// stay exactly as typed. All forms are at /docs#params of the running system.
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE")]
    params: Vec<String>,
    /// Create a task per value, parsed like those of -p; write values with commas as a JSON list. Several --sweep: a
    /// task per combination, the values of the last change fastest
    #[arg(long = "sweep", value_name = "KEY=V1,V2,…")]
    sweeps: Vec<String>,
    /// Number of tasks per combination; each draws its own seeds
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Watch until the end and print the results; implied by --out
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    results: ResultArgs,
    /// Priority: high, normal or low
    #[arg(long)]
    priority: Option<String>,
    /// Time limit of a run, e.g. 10m
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    timeout: Option<Duration>,
    /// Latest start: a time (2030-01-31T08:00:00Z) or a duration from now (2h)
    #[arg(long, value_name = "TIME")]
    start_by: Option<String>,
    /// Maximum attempts, 1-10
    #[arg(long)]
    max_attempts: Option<u64>,
    /// JSON object to store with the task
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    #[command(flatten)]
    extra_data: ExtraDataArgs,
    /// Fail if a param is not used
    #[arg(long)]
    strict: bool,
    /// Draw random values for all seeds that no param sets
    #[arg(long)]
    randomize_seeds: bool,
    /// Map prompt, seed, steps, cfg, width, height to inputs of the graph automatically
    #[arg(long)]
    auto_map: bool,
    /// Validate and show the result without submitting
    #[arg(long, conflicts_with_all = ["watch", "out"])]
    dry_run: bool,
    /// Idempotency key: repeating a submit with the same key returns the existing task or batch
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Submits a task or a batch.
pub(crate) async fn submit(args: SubmitArgs) -> Result<(), Error> {
    let (params, sweeps) = (params::parse_all(&args.params)?, sweep::parse_all(&args.sweeps)?);
    if has_files(&params, &sweeps) && args.idempotency_key.is_some() {
        let why = "each upload is a new file, which makes it another task: upload the file first and pass its id";
        return Err(Error::Usage(format!("--idempotency-key with `@file`: {why}")));
    }
    let mut request = request(&args)?;
    let api = args.common.connection.logged_in()?;
    let mut uploads = Uploads::default();
    let answer = match uploads.fill(&api, &mut request, params, sweeps).await {
        Ok(()) => send(&api, &args, &request).await,
        Err(error) => {
            uploads.delete_all(&api).await;
            return Err(error);
        }
    };
    if args.dry_run || matches!(answer, Err(Error::Refused(_) | Error::NotFound(_))) {
        uploads.delete_all(&api).await;
    }
    let answer = answer.map_err(|error| match (error, &args.workflow) {
        (Error::Refused(why), Some(workflow)) => {
            Error::Refused(format!("{why}\nits params: shuzhiren workflows show {workflow}"))
        }
        (error, _) => error,
    })?;
    if args.dry_run {
        warn(&answer);
        return print_dry_run(&answer, args.common.json);
    }
    accepted(&api, &args, &answer).await
}

async fn accepted(api: &Api, args: &SubmitArgs, answer: &Answer) -> Result<(), Error> {
    let (targets, kind) = match answer.value["batchId"].as_str().filter(|_| answer.value["tasks"].is_array()) {
        Some(id) => (Targets::batch(id, &answer.value), "batch"),
        None => (Targets::task(answer.text("id")), "task"),
    };
    warn(answer);
    let (json, is_watched) = (args.common.json, args.watch || args.results.out.is_some());
    let printed = match (json, is_watched) {
        (true, true) => output::print_json_line(kind, &answer.raw),
        (true, false) => output::print_line(answer.raw.get()),
        (false, _) => output::print_line(&output::sanitize(&targets.name())),
    };
    match printed {
        Err(Error::ReaderGone) if args.results.out.is_some() => {}
        printed => printed?,
    }
    if is_watched {
        return follow_to_end(api, &targets, &args.results, json).await;
    }
    if output::is_terminal() && !json {
        let what = if kind == "batch" { format!("{}; watch them", targets.size()) } else { "watch it".to_owned() };
        output::hint(&format!("{what}: shuzhiren watch {}", targets.name()));
    }
    Ok(())
}

/// Builds the request without params.
fn request(args: &SubmitArgs) -> Result<SubmitRequest, Error> {
    let timeout_ms = args.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let metadata = args.metadata.as_deref().map(serde_json::from_str::<Box<RawValue>>).transpose();
    let (workflow, params) = split_body(workflow(args)?)?;
    Ok(SubmitRequest {
        workflow,
        params,
        count: args.count,
        sweep: Members::new(),
        priority: args.priority.clone(),
        timeout_ms,
        start_by: args.start_by.as_deref().map(start_by).transpose()?,
        max_attempts: args.max_attempts,
        metadata: metadata.map_err(|error| Error::Usage(format!("--metadata is not JSON: {error}")))?,
        extra_data: args.extra_data.read()?,
        strict: args.strict,
        randomize_seeds: args.randomize_seeds.then_some("all"),
        auto_map: args.auto_map,
    })
}

/// Returns the graph of the file, or the name of the published workflow.
fn workflow(args: &SubmitArgs) -> Result<Box<RawValue>, Error> {
    if let Some(workflow) = &args.workflow {
        return Ok(to_raw_value(&workflow.to_string()).expect("a text can be written as JSON"));
    }
    let path = args.file.as_deref().ok_or_else(|| Error::Usage("FILE or --workflow is required".to_owned()))?;
    read_json(path).map_err(|error| match (error, path.to_str().map(str::parse::<WorkflowRef>)) {
        // Without an extension, a published workflow was probably meant.
        (Error::Usage(why), Some(Ok(workflow))) if !path.exists() && path.extension().is_none() => {
            Error::Usage(format!("{why}\nfor a published workflow: shuzhiren submit --workflow {workflow}"))
        }
        (error, _) => error,
    })
}

/// Converts a duration from now into a time; a time stays unchanged.
fn start_by(text: &str) -> Result<String, Error> {
    let Ok(after) = duration(text) else { return Ok(text.to_owned()) };
    let time =
        jiff::Timestamp::now().checked_add(after).map_err(|error| Error::Usage(format!("--start-by: {error}")))?;
    Ok(format!("{time:.3}"))
}

async fn send(api: &Api, args: &SubmitArgs, request: &SubmitRequest) -> Result<Answer, Error> {
    let body =
        serde_json::to_string(request).map_err(|error| Error::Usage(format!("cannot write the task: {error}")))?;
    let key = args.idempotency_key.clone().unwrap_or_else(|| format!("cli-{}", uuid::Uuid::new_v4()));
    let path = if args.dry_run { "/api/tasks?dryRun=true" } else { "/api/tasks" };
    api.call(Repeat::Safe, async || {
        let request = api.request(Method::POST, path).header(CONTENT_TYPE, "application/json");
        Ok(request.header("Idempotency-Key", &key).body(body.clone()))
    })
    .await
}

/// Prints the warnings of all tasks, each once.
fn warn(answer: &Answer) {
    let own = answer.value["warnings"].as_array();
    let tasks = answer.value["tasks"].as_array().into_iter().flatten();
    let all = own.into_iter().chain(tasks.filter_map(|task| task["warnings"].as_array())).flatten();
    let mut printed = std::collections::HashSet::new();
    for message in all.map(|warning| text(warning, "message")) {
        if printed.insert(message) {
            output::hint(&format!("warning: {}", output::sanitize(message)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::start_by;

    #[test]
    fn a_start_is_a_time_or_a_duration_from_now() {
        assert_eq!(start_by("2030-01-31T08:00:00Z").unwrap(), "2030-01-31T08:00:00Z");
        let soon: jiff::Timestamp = start_by("2h").unwrap().parse().unwrap();
        let ahead = soon.as_second() - jiff::Timestamp::now().as_second();
        assert!((7_190..=7_200).contains(&ahead), "{ahead}");
    }
}
