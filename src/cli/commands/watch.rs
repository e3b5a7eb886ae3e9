//! `shuzhiren watch`: tasks to their endings, or everything that happens.

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
    /// The tasks and batches; without any, everything that happens until Ctrl-C
    ids: Vec<String>,
    #[command(flatten)]
    results: ResultArgs,
    #[command(flatten)]
    common: Common,
}

/// What becomes of results, and of the task when nobody waits any more.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// Save the results in this folder; a file that exists stays, the new one gets another name
    ///
    /// Those of a batch have the place of their task in front: 000-, 001-, …. Each is checked by its SHA-256 before it is
    /// there.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// With --out: replace files that exist
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Ctrl-C cancels the tasks, instead of leaving them to themselves
    #[arg(long)]
    cancel_on_interrupt: bool,
}

/// Watches.
pub(crate) async fn watch(args: WatchArgs) -> Result<(), Fault> {
    let api = args.common.connection.logged_in()?;
    if args.ids.is_empty() {
        return watch_all::watch(&api, args.common.json).await;
    }
    let watched = Watched::look_up(&api, &args.ids).await?;
    to_the_end(&api, &watched, &args.results, args.common.json).await
}

/// Follows tasks, says how each ended and what it made; a fault when one did not end well.
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
            _ = tokio::signal::ctrl_c() => return Err(Fault::Interrupted("interrupted while results were saved".to_owned())),
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
            Err(Fault::TaskFailed(format!("{} of {} tasks did not end well{look}", more.len(), ended.len())))
        }
    }
}

/// Whoever wants files is served although nobody reads the lines.
fn unless_saving(said: Result<(), Fault>, results: &ResultArgs) -> Result<(), Fault> {
    match said {
        Err(Fault::ReaderGone) if results.out.is_some() => Ok(()),
        said => said,
    }
}

/// Saves or names what a task made.
async fn give(api: &Api, task: &Answer, results: &ResultArgs, json: bool) -> Result<(), Fault> {
    // As the names of its files, where they are saved.
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

/// The server went away for too long, or the login ended: the tasks do not care.
fn left_alone(fault: Fault, watched: &Watched) -> Fault {
    match fault {
        Fault::Unreachable(why) => Fault::Unreachable(format!("{why}\n{}", goes_on(watched))),
        Fault::NotLoggedIn(why) => Fault::NotLoggedIn(format!("{why}\n{}", goes_on(watched))),
        other => other,
    }
}

fn goes_on(watched: &Watched) -> String {
    let what = if watched.tasks().len() == 1 { "the task goes on" } else { "the tasks go on" };
    format!("{what}; to watch again: shuzhiren watch {}", output::clean(&watched.name()))
}

async fn interrupted(api: &Api, watched: &Watched, results: &ResultArgs) -> Fault {
    if !results.cancel_on_interrupt {
        return Fault::Interrupted(format!("interrupted: {}", goes_on(watched)));
    }
    tokio::select! {
        () = watched.cancel(api) => Fault::Interrupted("interrupted: the tasks were cancelled".to_owned()),
        _ = tokio::signal::ctrl_c() => Fault::Interrupted("interrupted twice: some tasks may go on".to_owned()),
    }
}
