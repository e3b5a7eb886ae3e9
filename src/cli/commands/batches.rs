//! `shuzhiren batches show|cancel`: all tasks of one submit with `--count` or `--sweep`.

use super::for_each_id::each;
use crate::{
    cli::{
        client::{
            common_args::Common,
            tasks::{cancel_batch, find_batch},
        },
        error::Error,
        examples,
        term::{format::text, output},
    },
    task::BatchId,
};
use clap::{Args, Subcommand};
use serde_json::Value;

/// Settings of `batches`.
#[derive(Debug, Args)]
pub struct BatchesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Not available; explains how to find batches
    #[command(hide = true, alias = "ls")]
    List(Common),
    /// Show the progress of a batch
    Show(ShowArgs),
    /// Cancel the tasks of batches that have not ended
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Batch id
    id: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct CancelArgs {
    /// Batch ids
    #[arg(required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Runs `batches`.
pub(crate) async fn batches(args: BatchesArgs) -> Result<(), Error> {
    match args.action {
        Action::List(_) => Err(Error::Usage(format!("there is no list of batches. {}", examples::BATCHES))),
        Action::Show(args) => show(args).await,
        Action::Cancel(args) => {
            let ids = args.ids.iter().map(|id| batch_id(id)).collect::<Result<Vec<BatchId>, Error>>()?;
            let (api, json) = (args.common.connection.logged_in()?, args.common.json);
            each(&ids, async |id| {
                let batch = cancel_batch(&api, *id).await.map_err(|error| error.about(&id.to_string()))?;
                if json {
                    output::print_line(batch.raw.get())
                } else {
                    output::print_line(&cancelled(*id, &batch.value))
                }
            })
            .await
        }
    }
}

async fn show(args: ShowArgs) -> Result<(), Error> {
    let id = batch_id(&args.id)?;
    let batch = find_batch(&args.common.connection.logged_in()?, id).await.map_err(|error| error.about(&args.id))?;
    if args.common.json {
        return output::print_line(batch.raw.get());
    }
    facts(&batch.value).iter().try_for_each(|line| output::print_line(line))?;
    if output::is_terminal() {
        output::hint(&format!("its tasks: shuzhiren tasks --batch {id}"));
    }
    Ok(())
}

fn facts(batch: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name:<12}{}", output::sanitize(value)));
        }
    };
    fact("batch", text(batch, "batchId"));
    fact("tasks", &tasks(batch));
    fact("progress", &format!("{} %", batch["progress"]));
    if let Some(name) = batch["workflowName"].as_str() {
        fact("workflow", &format!("{name}@{}", batch["workflowVersion"]));
    }
    fact("owner", text(batch, "owner"));
    fact("accepted", text(batch, "createdAt"));
    fact("updated", text(batch, "updatedAt"));
    lines
}

/// Counts by status: `6: 2 pending, 1 running, 3 completed`, and the tasks whose retention has passed.
fn tasks(batch: &Value) -> String {
    let counts = batch["counts"].as_object().into_iter().flatten();
    let counts: Vec<(&str, u64)> =
        counts.map(|(status, count)| (status.as_str(), count.as_u64().unwrap_or(0))).collect();
    let (count, kept) = (batch["count"].as_u64().unwrap_or(0), counts.iter().map(|(_, count)| count).sum::<u64>());
    let mut parts: Vec<String> =
        counts.iter().filter(|it| it.1 > 0).map(|(status, count)| format!("{count} {status}")).collect();
    if count > kept {
        parts.push(format!("{} ended and deleted since", count - kept));
    }
    format!("{count}: {}", parts.join(", "))
}

fn cancelled(id: BatchId, batch: &Value) -> String {
    match batch["cancelled"].as_u64().unwrap_or(0) {
        0 => format!("{id} has already ended: nothing to cancel"),
        1 => format!("{id} cancelled: 1 task"),
        count => format!("{id} cancelled: {count} tasks"),
    }
}

/// Parses a batch id from the command line.
fn batch_id(text: &str) -> Result<BatchId, Error> {
    text.parse().map_err(|_| match text.parse::<crate::task::TaskId>() {
        Ok(task) => {
            let batch = BatchId::of(task);
            Error::NotFound(format!("{text} is the id of a task; if it belongs to a batch, the batch is {batch}"))
        }
        Err(_) => Error::NotFound(format!("`{text}` is not a batch id")),
    })
}

#[cfg(test)]
mod tests {
    use super::{batch_id, cancelled, facts};
    use crate::task::BatchId;
    use serde_json::json;

    #[test]
    fn a_batch_is_shown_with_its_counts() {
        let batch = json!({"batchId": "x", "count": 9, "progress": 66, "owner": "lin\u{1b}",
            "counts": {"pending": 0, "running": 1, "completed": 5, "failed": 1, "cancelled": 0},
            "workflowName": "portrait", "workflowVersion": 3, "createdAt": "c", "updatedAt": "u"});
        assert_eq!(
            facts(&batch),
            [
                "batch       x",
                "tasks       9: 1 running, 5 completed, 1 failed, 2 ended and deleted since",
                "progress    66 %",
                "workflow    portrait@3",
                "owner       lin ",
                "accepted    c",
                "updated     u",
            ]
        );
    }

    #[test]
    fn a_task_id_in_place_of_a_batch_id_names_the_batch() {
        let batch = BatchId::new();
        assert_eq!(batch_id(&batch.to_string()).unwrap(), batch);
        let error = batch_id(&batch.task(3).to_string()).unwrap_err().to_string();
        assert!(error.ends_with(&format!("the batch is {batch}")), "{error}");
        assert!(batch_id("../config").unwrap_err().to_string().contains("not a batch id"));
        assert!(cancelled(batch, &json!({"cancelled": 0})).ends_with("nothing to cancel"));
    }
}
