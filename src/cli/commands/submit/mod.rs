//! `shuzhiren submit`: creates a task, or a batch of tasks, from a workflow and params.
//!
//! Invariant: each request carries an idempotency key, a random one if none is given. A request whose answer was lost is
//! repeated and creates no second task.

pub(super) mod dry_run;
pub(super) mod params;
pub(super) mod submit_request;
pub(super) mod sweep;

use super::{
    watch::{ResultArgs, to_the_end},
    workflows::workflow_ref::FlowRef,
};
use crate::{
    cli::{
        client::{
            connection::Common,
            envelope::Answer,
            error::Fault,
            rest::{Api, Repeat},
            websocket,
        },
        term::{format::text, output},
        watch::targets::Watched,
    },
    settings::duration,
};
use clap::{ArgGroup, Args};
use dry_run::rehearsed;
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::value::{RawValue, to_raw_value};
use std::{path::PathBuf, time::Duration};
use submit_request::{Members, Order, Uploads, has_files, read_json};

/// Settings of `submit`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["file", "workflow"])))]
pub struct SubmitArgs {
    /// Workflow file (ComfyUI's "Export (API)"), `-` = standard input
    file: Option<PathBuf>,
    /// Published workflow instead of a file (listed by `shuzhiren workflows`); a flag, so that a file of the same name is never
    /// mistaken for it
    #[arg(long, value_name = "NAME[@VERSION]")]
    workflow: Option<FlowRef>,
    /// Set a value in the workflow: JSON if it parses, else a string; `@photo.png` is uploaded
    ///
    /// E.g. 6.text="a lighthouse", 3.seed=random, 3:KSampler.steps=20, @Positive.text="a cat", prompt="a cat". Numbers stay exactly as typed.
    /// All forms are at /docs#params of the running system.
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE")]
    params: Vec<String>,
    /// One task per value, parsed like those of -p; write values with commas as a JSON list. Several --sweep: one task per
    /// combination, the values of the last change fastest
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
pub(crate) async fn submit(args: SubmitArgs) -> Result<(), Fault> {
    let (params, sweeps) = (params::parse_all(&args.params)?, sweep::parse_all(&args.sweeps)?);
    if has_files(&params, &sweeps) && args.idempotency_key.is_some() {
        let why = "each upload is a new file, which makes it another task: upload the file first and pass its id";
        return Err(Fault::Usage(format!("--idempotency-key with `@file`: {why}")));
    }
    let mut order = order(&args)?;
    let api = args.common.connection.logged_in()?;
    let mut uploads = Uploads::default();
    let answer = match uploads.put(&api, &mut order, params, sweeps).await {
        Ok(()) => send(&api, &args, &order).await,
        Err(fault) => {
            uploads.take_back(&api).await;
            return Err(fault);
        }
    };
    if args.dry_run || matches!(answer, Err(Fault::Refused(_) | Fault::NotFound(_))) {
        uploads.take_back(&api).await;
    }
    let answer = answer.map_err(|fault| match (fault, &args.workflow) {
        (Fault::Refused(why), Some(flow)) => {
            Fault::Refused(format!("{why}\nits params: shuzhiren workflows show {flow}"))
        }
        (fault, _) => fault,
    })?;
    if args.dry_run {
        warn(&answer);
        return rehearsed(&answer, args.common.json);
    }
    accepted(&api, &args, &answer).await
}

async fn accepted(api: &Api, args: &SubmitArgs, answer: &Answer) -> Result<(), Fault> {
    let (watched, kind) = match answer.value["batchId"].as_str().filter(|_| answer.value["tasks"].is_array()) {
        Some(id) => (Watched::batch(id, &answer.value["tasks"]), "batch"),
        None => (Watched::task(answer.text("id")), "task"),
    };
    warn(answer);
    let (json, is_watched) = (args.common.json, args.watch || args.results.out.is_some());
    let said = match (json, is_watched) {
        (true, true) => output::say(&websocket::line(kind, &answer.raw)),
        (true, false) => output::say(answer.raw.get()),
        (false, _) => output::say(&output::clean(&watched.name())),
    };
    match said {
        Err(Fault::ReaderGone) if args.results.out.is_some() => {}
        said => said?,
    }
    if is_watched {
        return to_the_end(api, &watched, &args.results, json).await;
    }
    if output::is_shown() && !json {
        let what = if kind == "batch" { format!("{}; watch them", watched.size()) } else { "watch it".to_owned() };
        output::hint(&format!("{what}: shuzhiren watch {}", watched.name()));
    }
    Ok(())
}

/// Builds the request without params.
fn order(args: &SubmitArgs) -> Result<Order, Fault> {
    let timeout_ms = args.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let metadata = args.metadata.as_deref().map(serde_json::from_str::<Box<RawValue>>).transpose();
    Ok(Order {
        workflow: workflow(args)?,
        params: Members::new(),
        count: args.count,
        sweep: Members::new(),
        priority: args.priority.clone(),
        timeout_ms,
        start_by: args.start_by.as_deref().map(start_by).transpose()?,
        max_attempts: args.max_attempts,
        metadata: metadata.map_err(|error| Fault::Usage(format!("--metadata is not JSON: {error}")))?,
        strict: args.strict,
        randomize_seeds: args.randomize_seeds.then_some("all"),
        auto_map: args.auto_map,
    })
}

/// Returns the graph of the file, or the name of the published workflow.
fn workflow(args: &SubmitArgs) -> Result<Box<RawValue>, Fault> {
    if let Some(flow) = &args.workflow {
        return Ok(to_raw_value(&flow.to_string()).expect("a text can be written as JSON"));
    }
    let path = args.file.as_deref().ok_or_else(|| Fault::Usage("FILE or --workflow is required".to_owned()))?;
    read_json(path).map_err(|fault| match (fault, path.to_str().map(str::parse::<FlowRef>)) {
        // Without an extension, a published workflow was probably meant.
        (Fault::Usage(why), Some(Ok(flow))) if !path.exists() && path.extension().is_none() => {
            Fault::Usage(format!("{why}\nfor a published workflow: shuzhiren submit --workflow {flow}"))
        }
        (fault, _) => fault,
    })
}

/// Converts a duration from now into a time; a time stays unchanged.
fn start_by(text: &str) -> Result<String, Fault> {
    let Ok(after) = duration(text) else { return Ok(text.to_owned()) };
    let time =
        jiff::Timestamp::now().checked_add(after).map_err(|error| Fault::Usage(format!("--start-by: {error}")))?;
    Ok(format!("{time:.3}"))
}

async fn send(api: &Api, args: &SubmitArgs, order: &Order) -> Result<Answer, Fault> {
    let body = serde_json::to_string(order).map_err(|error| Fault::Usage(format!("cannot write the task: {error}")))?;
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
    let mut told = std::collections::HashSet::new();
    for message in all.map(|warning| text(warning, "message")) {
        if told.insert(message) {
            output::hint(&format!("warning: {}", output::clean(message)));
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
