//! `shuzhiren bench`: throughput of many concurrent tasks, and the latency of each from submit to end. `bench schedule`
//! simulates instead.

pub(super) mod bench_waiter;
pub(super) mod percentiles;
mod schedule;

use crate::cli::{
    client::{
        address::is_loopback,
        common_args::Common,
        rest::{Api, Repeat},
    },
    error::Error,
    examples,
    term::{format::format_ms, output},
};
use bench_waiter::BenchWaiter;
use clap::{Args, Subcommand};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use percentiles::Percentiles;
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json, value::RawValue};
use std::{path::PathBuf, time::Duration};
use tokio::time::Instant;

/// Tasks of one run: the server keeps each like any other task.
const TASKS_MAX: u64 = 100_000;
/// Concurrent tasks.
const CONCURRENCY_MAX: u64 = 1_000;

/// Settings of `bench`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    simulation: Option<Simulation>,
    /// Total number of tasks
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=TASKS_MAX))]
    tasks: u64,
    /// Number of concurrent tasks
    #[arg(short, long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=CONCURRENCY_MAX))]
    concurrency: u64,
    /// Workflow to submit unchanged, instead of one that draws a small picture
    #[arg(long, value_name = "FILE")]
    workflow: Option<PathBuf>,
    /// Confirm a run against a system on another machine
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

/// Benchmarks that need no system.
#[derive(Debug, Subcommand)]
enum Simulation {
    /// Simulate schedules over a trace of requests, and print loads, waits and GPU time of each
    ///
    /// Runs in virtual time and needs no system. Light users have at most 5 tasks. The dispatcher takes tasks in fair order
    /// so far, without regard to the models that an instance holds.
    #[command(after_help = examples::BENCH_SCHEDULE)]
    Schedule(schedule::ScheduleArgs),
}

/// Measurement of one task.
struct Run {
    accepted: Duration,
    whole: Duration,
    status: String,
}

/// Runs the benchmark. The tasks stay in the list, marked by `metadata.bench`.
pub(crate) async fn bench(args: BenchArgs) -> Result<(), Error> {
    if let Some(Simulation::Schedule(args)) = &args.simulation {
        return schedule::schedule(args);
    }
    let api = args.common.connection.logged_in()?;
    if !is_loopback(api.base()) && !args.yes {
        let why =
            format!("{} tasks would go to {}, which is not this machine: confirm with --yes", args.tasks, api.base());
        return Err(Error::Usage(why));
    }
    let workflow = args.workflow.as_deref().map(super::submit::submit_request::read_json).transpose()?;
    let waiter = BenchWaiter::new(&api);
    let runs = async {
        // Otherwise an ending could arrive before the connection is open.
        waiter.listening().await;
        let (began, concurrency) = (Instant::now(), usize::try_from(args.concurrency).unwrap_or(usize::MAX));
        let runs = stream::iter(0..args.tasks).map(|number| run(&api, &waiter, number, workflow.as_deref()));
        let runs: Vec<Run> = runs.buffer_unordered(concurrency).try_collect().await?;
        Ok((runs, began.elapsed()))
    };
    let (runs, took) = tokio::select! {
        runs = runs => runs?,
        Err(error) = waiter.listen() => return Err(error),
        _ = tokio::signal::ctrl_c() => {
            return Err(Error::Interrupted("interrupted: submitted tasks continue".to_owned()));
        }
    };
    report(&args, api.base(), &runs, took)
}

async fn run(api: &Api, waiter: &BenchWaiter<'_>, number: u64, workflow: Option<&RawValue>) -> Result<Run, Error> {
    let body = match workflow {
        Some(workflow) => format!("{{\"workflow\":{workflow},\"metadata\":{{\"bench\":{number}}}}}"),
        None => json!({"workflow": small_picture(number), "metadata": {"bench": number}}).to_string(),
    };
    let key = format!("bench-{}", uuid::Uuid::new_v4());
    let began = Instant::now();
    let task = api
        .call(Repeat::Safe, async || {
            let request = api.request(Method::POST, "/api/tasks").header(CONTENT_TYPE, "application/json");
            Ok(request.header("Idempotency-Key", &key).body(body.clone()))
        })
        .await?;
    let accepted = began.elapsed();
    let status = waiter.status_of(task.text("id")).await?;
    Ok(Run { accepted, whole: began.elapsed(), status })
}

/// Returns a workflow that draws a picture in a random color, so that no instance has it in its cache.
fn small_picture(number: u64) -> Value {
    let color = getrandom::u32().map_or(number, u64::from) % 16_777_216;
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": color}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "bench"}}
    })
}

fn report(args: &BenchArgs, base: &str, runs: &[Run], took: Duration) -> Result<(), Error> {
    let accepted = Percentiles::of(runs.iter().map(|run| run.accepted).collect());
    let whole = Percentiles::of(runs.iter().map(|run| run.whole).collect());
    let completed = runs.iter().filter(|run| run.status == "completed").count();
    let per_second = runs.len() as f64 / took.as_secs_f64().max(1e-9);
    if args.common.json {
        output::print_line(
            &json!({"url": base, "tasks": runs.len(), "concurrency": args.concurrency, "completed": completed,
                "tookMs": took.as_secs_f64() * 1e3, "tasksPerSecond": per_second,
                "submitMs": accepted.json(), "wholeMs": whole.json()})
            .to_string(),
        )?;
    } else {
        let took = format_ms(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        output::print_line(&format!("{} tasks, {} at once, at {base}: {took}", runs.len(), args.concurrency))?;
        output::print_line(&format!("  completed   {completed}, {per_second:.1} per second"))?;
        output::print_line(&format!("  submit      {accepted}"))?;
        output::print_line(&format!("  total       {whole}"))?;
    }
    match runs.len() - completed {
        0 => Ok(()),
        failed => Err(Error::TaskFailed(format!("{failed} of {} tasks did not complete", runs.len()))),
    }
}
