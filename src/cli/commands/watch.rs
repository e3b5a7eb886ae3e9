//! `shuzhiren watch`: watches tasks until they end, or everything that happens.

use super::{
    files::download::{self, StoredFile},
    for_each_id::check_ids,
};
use crate::cli::{
    client::{common_args::Common, envelope::Answer, rest::Api},
    error::Error,
    term::{format::text, output},
    watch::{follow, progress::ProgressReporter, targets::Targets, watch_all},
};
use clap::Args;
use std::path::PathBuf;

/// Settings of `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Ids of tasks and batches; without ids, everything is shown until Ctrl-C
    ids: Vec<String>,
    #[command(flatten)]
    results: ResultArgs,
    #[command(flatten)]
    common: Common,
}

/// Settings for results and for Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// Save results in this folder; existing files stay, new ones get another name
    ///
    /// Results of a batch are prefixed by the index of their task: 000-, 001-, …. A file appears once its SHA-256 is
    /// verified.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// With --out: replace existing files. Links, devices and pipes are never replaced
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Cancel the tasks on Ctrl-C instead of leaving them running
    #[arg(long)]
    cancel_on_interrupt: bool,
}

/// Runs `watch`.
pub(crate) async fn watch(args: WatchArgs) -> Result<(), Error> {
    let api = args.common.connection.logged_in()?;
    if args.ids.is_empty() {
        return watch_all::watch_all(&api, args.common.json).await;
    }
    check_ids(&args.ids)?;
    let targets = Targets::look_up(&api, &args.ids).await?;
    follow_to_end(&api, &targets, &args.results, args.common.json).await
}

/// Follows tasks until they end, and prints or saves their results. An error if one did not complete.
pub(crate) async fn follow_to_end(api: &Api, targets: &Targets, results: &ResultArgs, json: bool) -> Result<(), Error> {
    let is_batch = targets.batches().next().is_some();
    let mut reporter =
        if is_batch { ProgressReporter::of_batch(json, targets.tasks().len()) } else { ProgressReporter::new(json) };
    let report = |update: follow::Update<'_>| ignore_reader_gone(reporter.report(update), results);
    let ended = tokio::select! {
        ended = follow::follow(api, targets, report) => ended.map_err(|error| with_watch_command(error, targets))?,
        _ = tokio::signal::ctrl_c() => return Err(interrupted(api, targets, results).await),
    };
    for task in &ended {
        tokio::select! {
            delivered = deliver(api, task, results, json) => delivered?,
            _ = tokio::signal::ctrl_c() => return Err(Error::Interrupted("interrupted while saving results".to_owned())),
        }
    }
    let failed: Vec<&Answer> = ended.iter().filter(|task| task.text("status") != "completed").collect();
    match failed.as_slice() {
        [] => Ok(()),
        [one] => {
            Err(Error::TaskFailed(format!("task {0} {1}: shuzhiren explain {0}", one.text("id"), one.text("status"))))
        }
        more => {
            let commands: Vec<String> = targets.batches().map(|id| format!("shuzhiren tasks --batch {id}")).collect();
            let hint = if commands.is_empty() { String::new() } else { format!(": {}", commands.join(", ")) };
            Err(Error::TaskFailed(format!("{} of {} tasks did not complete{hint}", more.len(), ended.len())))
        }
    }
}

/// Ignores that the reader of standard output has gone if results are to be saved.
fn ignore_reader_gone(printed: Result<(), Error>, results: &ResultArgs) -> Result<(), Error> {
    match printed {
        Err(Error::ReaderGone) if results.out.is_some() => Ok(()),
        printed => printed,
    }
}

/// Saves or prints the outputs of a task.
async fn deliver(api: &Api, task: &Answer, results: &ResultArgs, json: bool) -> Result<(), Error> {
    // The same prefix as that of saved files.
    let place = task.value["batchIndex"].as_u64().map(|index| format!("{index:03} ")).unwrap_or_default();
    for output in task.value["result"]["outputs"].as_array().into_iter().flatten() {
        let printed = match (StoredFile::of_output(&task.value, output), &results.out) {
            (Some(stored), Some(folder)) => {
                let saved = download::save(api, &stored, folder, results.overwrite).await?;
                output::print_line(&saved.describe(json, Some(task.text("id"))))
            }
            (Some(_), None) if !json => {
                output::print_line(&format!("  {place}{}", output::sanitize(text(output, "url"))))
            }
            (None, _) if !json => text(output, "text")
                .lines()
                .try_for_each(|line| output::print_line(&format!("  {place}{}", output::sanitize(line)))),
            _ => Ok(()),
        };
        ignore_reader_gone(printed, results)?;
    }
    Ok(())
}

/// Adds to an error that ends the watch that the tasks continue.
fn with_watch_command(error: Error, targets: &Targets) -> Error {
    match error {
        Error::Unreachable(why) => Error::Unreachable(format!("{why}\n{}", watch_command(targets))),
        Error::NotLoggedIn(why) => Error::NotLoggedIn(format!("{why}\n{}", watch_command(targets))),
        other => other,
    }
}

fn watch_command(targets: &Targets) -> String {
    let what = if targets.tasks().len() == 1 { "the task continues" } else { "the tasks continue" };
    format!("{what}; watch again: shuzhiren watch {}", output::sanitize(&targets.name()))
}

async fn interrupted(api: &Api, targets: &Targets, results: &ResultArgs) -> Error {
    if !results.cancel_on_interrupt {
        return Error::Interrupted(format!("interrupted: {}", watch_command(targets)));
    }
    tokio::select! {
        () = targets.cancel(api) => Error::Interrupted("interrupted: the tasks were cancelled".to_owned()),
        _ = tokio::signal::ctrl_c() => Error::Interrupted("interrupted twice: some tasks may continue".to_owned()),
    }
}
