//! `shuzhiren watch`: watches tasks until they end, or everything that happens.

use super::files::download::{self, Remote};
use crate::cli::{
    client::{connection::Common, envelope::Answer, error::Fault, rest::Api},
    term::{format::text, output},
    watch::{follow, progress::Teller, targets::Watched, watch_all},
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
pub(crate) async fn watch(args: WatchArgs) -> Result<(), Fault> {
    let api = args.common.connection.logged_in()?;
    if args.ids.is_empty() {
        return watch_all::watch(&api, args.common.json).await;
    }
    let watched = Watched::look_up(&api, &args.ids).await?;
    to_the_end(&api, &watched, &args.results, args.common.json).await
}

/// Follows tasks until they end, and prints or saves their results. An error if one did not complete.
pub(crate) async fn to_the_end(api: &Api, watched: &Watched, results: &ResultArgs, json: bool) -> Result<(), Fault> {
    let is_batch = watched.batches().next().is_some();
    let mut teller = if is_batch { Teller::of_batch(json, watched.tasks().len()) } else { Teller::new(json) };
    let mut hear = |news: follow::News<'_>| unless_saving(teller.hear(news), results);
    let ended = tokio::select! {
        ended = follow::follow(api, watched, &mut hear) => ended.map_err(|fault| left_alone(fault, watched))?,
        _ = tokio::signal::ctrl_c() => return Err(interrupted(api, watched, results).await),
    };
    for task in &ended {
        tokio::select! {
            given = give(api, task, results, json) => given?,
            _ = tokio::signal::ctrl_c() => return Err(Fault::Interrupted("interrupted while saving results".to_owned())),
        }
    }
    let failed: Vec<&Answer> = ended.iter().filter(|task| task.text("status") != "completed").collect();
    match failed.as_slice() {
        [] => Ok(()),
        [one] => {
            Err(Fault::TaskFailed(format!("task {0} {1}: shuzhiren explain {0}", one.text("id"), one.text("status"))))
        }
        more => {
            let whose: Vec<String> = watched.batches().map(|id| format!("shuzhiren tasks --batch {id}")).collect();
            let look = if whose.is_empty() { String::new() } else { format!(": {}", whose.join(", ")) };
            Err(Fault::TaskFailed(format!("{} of {} tasks did not complete{look}", more.len(), ended.len())))
        }
    }
}

/// Ignores that the reader of standard output has gone if results are to be saved.
fn unless_saving(said: Result<(), Fault>, results: &ResultArgs) -> Result<(), Fault> {
    match said {
        Err(Fault::ReaderGone) if results.out.is_some() => Ok(()),
        said => said,
    }
}

/// Saves or prints the outputs of a task.
async fn give(api: &Api, task: &Answer, results: &ResultArgs, json: bool) -> Result<(), Fault> {
    // The same prefix as that of saved files.
    let place = task.value["batchIndex"].as_u64().map(|index| format!("{index:03} ")).unwrap_or_default();
    for output in task.value["result"]["outputs"].as_array().into_iter().flatten() {
        let said = match (Remote::of_output(&task.value, output), &results.out) {
            (Some(remote), Some(folder)) => {
                let saved = download::save(api, &remote, folder, results.overwrite).await?;
                output::say(&saved.told(json, Some(task.text("id"))))
            }
            (Some(_), None) if !json => output::say(&format!("  {place}{}", output::clean(text(output, "url")))),
            (None, _) if !json => text(output, "text")
                .lines()
                .try_for_each(|line| output::say(&format!("  {place}{}", output::clean(line)))),
            _ => Ok(()),
        };
        unless_saving(said, results)?;
    }
    Ok(())
}

/// Adds to an error that ends the watch that the tasks continue.
fn left_alone(fault: Fault, watched: &Watched) -> Fault {
    match fault {
        Fault::Unreachable(why) => Fault::Unreachable(format!("{why}\n{}", goes_on(watched))),
        Fault::NotLoggedIn(why) => Fault::NotLoggedIn(format!("{why}\n{}", goes_on(watched))),
        other => other,
    }
}

fn goes_on(watched: &Watched) -> String {
    let what = if watched.tasks().len() == 1 { "the task continues" } else { "the tasks continue" };
    format!("{what}; watch again: shuzhiren watch {}", output::clean(&watched.name()))
}

async fn interrupted(api: &Api, watched: &Watched, results: &ResultArgs) -> Fault {
    if !results.cancel_on_interrupt {
        return Fault::Interrupted(format!("interrupted: {}", goes_on(watched)));
    }
    tokio::select! {
        () = watched.cancel(api) => Fault::Interrupted("interrupted: the tasks were cancelled".to_owned()),
        _ = tokio::signal::ctrl_c() => Fault::Interrupted("interrupted twice: some tasks may continue".to_owned()),
    }
}
