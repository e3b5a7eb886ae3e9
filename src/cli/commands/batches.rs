//! `shuzhiren batches show|cancel`: all tasks of one submit with `--count` or `--sweep`.

use crate::{
    cli::{
        client::{
            connection::Common,
            envelope::Answer,
            error::{Fault, each},
            pagination,
            rest::{Api, Repeat},
        },
        examples,
        term::{format::text, output},
    },
    task::BatchId,
};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

/// Tasks of one page.
const PAGE: usize = 200;

/// Settings of `batches`.
#[derive(Debug, Args)]
pub struct BatchesArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
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

/// Shows or cancels.
pub(crate) async fn batches(args: BatchesArgs) -> Result<(), Fault> {
    match args.what {
        What::List(_) => Err(Fault::Usage(format!("there is no list of batches. {}", examples::BATCHES))),
        What::Show(args) => show(args).await,
        What::Cancel(args) => {
            let ids = args.ids.iter().map(|id| batch_id(id)).collect::<Result<Vec<BatchId>, Fault>>()?;
            let (api, json) = (args.common.connection.logged_in()?, args.common.json);
            each(&ids, async |id| {
                let batch = cancel(&api, *id).await.map_err(|fault| fault.about(&id.to_string()))?;
                if json { output::say(batch.raw.get()) } else { output::say(&cancelled(*id, &batch.value)) }
            })
            .await
        }
    }
}

async fn show(args: ShowArgs) -> Result<(), Fault> {
    let id = batch_id(&args.id)?;
    let batch = find(&args.common.connection.logged_in()?, id).await.map_err(|fault| fault.about(&args.id))?;
    if args.common.json {
        return output::say(batch.raw.get());
    }
    facts(&batch.value).iter().try_for_each(|line| output::say(line))?;
    if output::is_shown() {
        output::hint(&format!("its tasks: shuzhiren tasks --batch {id}"));
    }
    Ok(())
}

fn facts(batch: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name:<12}{}", output::clean(value)));
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
fn batch_id(text: &str) -> Result<BatchId, Fault> {
    text.parse().map_err(|_| match text.parse::<crate::task::TaskId>() {
        Ok(task) => {
            let batch = BatchId::of(task);
            Fault::NotFound(format!("{text} is the id of a task; if it belongs to a batch, the batch is {batch}"))
        }
        Err(_) => Fault::NotFound(format!("`{text}` is not a batch id")),
    })
}

/// Reads a batch.
pub(crate) async fn find(api: &Api, id: BatchId) -> Result<Answer, Fault> {
    api.get(&format!("/api/batches/{id}")).await
}

/// Cancels the tasks of a batch that have not ended. Idempotent.
pub(crate) async fn cancel(api: &Api, id: BatchId) -> Result<Answer, Fault> {
    let path = format!("/api/batches/{id}");
    api.call(Repeat::Safe, async || Ok(api.request(Method::DELETE, &path))).await
}

/// Reads the tasks of a batch that still exist, as list items in the order of the batch.
pub(crate) async fn tasks_of(api: &Api, id: BatchId) -> Result<Vec<Answer>, Fault> {
    let (mut tasks, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/api/tasks?batchId={id}&limit={PAGE}{cursor}")).await?;
        let items = pagination::items(page.raw.get())?;
        let is_empty = items.is_empty();
        tasks.extend(items);
        match page.value["nextCursor"].as_str() {
            Some(next) if !is_empty => cursor = format!("&cursor={}", pagination::encoded(next)),
            _ => break,
        }
    }
    // Lists start with the newest.
    tasks.reverse();
    Ok(tasks)
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
