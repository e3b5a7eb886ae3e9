//! `shuzhiren watch`: tasks to their endings, or everything that happens.

use super::{
    answer::Answer,
    api::{Api, Repeat},
    connection::Common,
    everything,
    fault::Fault,
    fetch::{self, Remote},
    follow, out,
    task_id::check_ids,
    teller::Teller,
    words::text,
};
use clap::Args;
use reqwest::Method;
use std::path::PathBuf;

/// Settings of `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The tasks; without any, everything that happens until Ctrl-C
    ids: Vec<String>,
    #[command(flatten)]
    results: ResultArgs,
    #[command(flatten)]
    common: Common,
}

/// What becomes of results, and of the task when nobody waits any more.
#[derive(Debug, Args)]
pub(super) struct ResultArgs {
    /// Save the results in this folder; a file that exists stays, the new one gets another name
    ///
    /// Each is checked by its SHA-256 before it is there. Of submit: waits for the end, as --watch does.
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// With --out: replace files that exist
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Ctrl-C cancels the tasks, instead of leaving them to themselves
    #[arg(long)]
    cancel_on_interrupt: bool,
}

/// Watches.
pub(super) async fn watch(args: WatchArgs) -> Result<(), Fault> {
    let api = args.common.connection.logged_in()?;
    if args.ids.is_empty() {
        return everything::watch(&api, args.common.json).await;
    }
    check_ids(&args.ids)?;
    let mut ids = args.ids;
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    to_the_end(&api, &ids, &args.results, args.common.json).await
}

/// Follows tasks, says how each ended and what it made; a fault when one did not end well.
pub(super) async fn to_the_end(api: &Api, ids: &[String], results: &ResultArgs, json: bool) -> Result<(), Fault> {
    let mut teller = Teller::new(json);
    let mut hear = |news: follow::News<'_>| unless_saving(teller.hear(news), results);
    let ended = tokio::select! {
        ended = follow::follow(api, ids, &mut hear) => ended.map_err(|fault| left_alone(fault, ids))?,
        _ = tokio::signal::ctrl_c() => return Err(interrupted(api, ids, results).await),
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
        more => Err(Fault::TaskFailed(format!("{} of {} tasks did not end well", more.len(), ended.len()))),
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
    for output in task.value["result"]["outputs"].as_array().into_iter().flatten() {
        let said = match (Remote::of_output(output), &results.out) {
            (Some(remote), Some(folder)) => {
                let saved = fetch::save(api, &remote, folder, results.overwrite).await?;
                out::say(&saved.told(json, Some(task.text("id"))))
            }
            (Some(_), None) if !json => out::say(&format!("  {}", out::clean(text(output, "url")))),
            (None, _) if !json => {
                text(output, "text").lines().try_for_each(|line| out::say(&format!("  {}", out::clean(line))))
            }
            _ => Ok(()),
        };
        unless_saving(said, results)?;
    }
    Ok(())
}

/// The server went away for too long, or the login ended: the tasks do not care.
fn left_alone(fault: Fault, ids: &[String]) -> Fault {
    match fault {
        Fault::Unreachable(why) => Fault::Unreachable(format!("{why}\n{}", goes_on(ids))),
        Fault::NotLoggedIn(why) => Fault::NotLoggedIn(format!("{why}\n{}", goes_on(ids))),
        other => other,
    }
}

fn goes_on(ids: &[String]) -> String {
    let what = if ids.len() == 1 { "the task goes on" } else { "the tasks go on" };
    format!("{what}; to watch again: shuzhiren watch {}", ids.join(" "))
}

async fn interrupted(api: &Api, ids: &[String], results: &ResultArgs) -> Fault {
    if !results.cancel_on_interrupt {
        return Fault::Interrupted(format!("interrupted: {}", goes_on(ids)));
    }
    let cancelling = async {
        for id in ids {
            match cancel(api, id).await {
                Ok(_) => out::hint(&format!("{id} cancelled")),
                // It ended before.
                Err(Fault::Refused(why)) => out::hint(&format!("{id}: {why}")),
                Err(fault) => out::hint(&format!("error: {id}: {fault}")),
            }
        }
    };
    tokio::select! {
        () = cancelling => Fault::Interrupted("interrupted: the tasks were cancelled".to_owned()),
        _ = tokio::signal::ctrl_c() => Fault::Interrupted("interrupted twice: some tasks may go on".to_owned()),
    }
}

/// Cancels one task; one whose cancelling got no answer is not asked for twice, but looked at.
pub(super) async fn cancel(api: &Api, id: &str) -> Result<Answer, Fault> {
    let path = format!("/api/tasks/{id}");
    match api.call(Repeat::Safe, async || Ok(api.request(Method::DELETE, &path))).await {
        // Perhaps by our own first request, whose answer was lost.
        Err(Fault::Refused(why)) => match api.get(&path).await {
            Ok(task) if task.text("status") == "cancelled" => Ok(task),
            _ => Err(Fault::Refused(why)),
        },
        answer => answer,
    }
}
