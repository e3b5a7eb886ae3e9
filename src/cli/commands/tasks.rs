//! `shuzhiren tasks`, `show`, `cancel`, `retry`.

use super::{
    explain,
    for_each_id::{about, check_ids, each},
    submit::extra_data::ExtraDataArgs,
};
use crate::{
    cli::{
        client::{
            common_args::Common,
            envelope::Answer,
            pagination::{self, ListRequest},
            rest::Repeat,
            tasks::cancel_task,
        },
        error::Error,
        term::{
            format::{age, format_ms, is_ended, text},
            output::{self, Color},
            table::Table,
        },
        watch::progress::{ending, state_of},
    },
    clock,
    task::{BatchId, WorkflowName},
};
use clap::Args;
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::Value;

/// Settings of `tasks`.
#[derive(Debug, Args)]
pub struct TasksArgs {
    /// Only these statuses: pending, running, completed, failed, cancelled; comma separated
    #[arg(short, long)]
    status: Option<String>,
    /// Only failed tasks with these error types; comma separated
    #[arg(long, value_name = "TYPE", conflicts_with = "status")]
    error_type: Option<String>,
    /// Only tasks of this batch, the last first; ids end with the index in the batch, 0000, 0001, … (hexadecimal)
    #[arg(long, value_name = "ID", conflicts_with = "error_type")]
    batch: Option<BatchId>,
    /// Only tasks of this published workflow
    #[arg(long, value_name = "NAME", conflicts_with_all = ["error_type", "batch"])]
    workflow: Option<WorkflowName>,
    /// Number of entries to show, newest first
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[command(flatten)]
    common: Common,
}

/// Settings of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Task id
    id: String,
    /// Show only its workflow, with params applied
    #[arg(long)]
    workflow: bool,
    #[command(flatten)]
    common: Common,
}

/// Settings of `retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    extra_data: ExtraDataArgs,
    #[command(flatten)]
    tasks: TaskIdsArgs,
}

/// Settings of `cancel`.
#[derive(Debug, Args)]
pub struct TaskIdsArgs {
    /// Task ids
    #[arg(required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Lists tasks.
pub(crate) async fn tasks(args: TasksArgs) -> Result<(), Error> {
    let api = args.common.connection.logged_in()?;
    let filters = [
        ("status", args.status),
        ("errorType", args.error_type),
        ("batchId", args.batch.map(|id| id.to_string())),
        ("workflow", args.workflow.map(String::from)),
    ];
    let filters = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let request = ListRequest { path: "/api/tasks", filters, limit: args.limit, has_cursor: true };
    let columns = || Table::new(&["ID", "STATUS", "AGE", "RAN", "ATTEMPT", "INSTANCE", "DETAIL"]);
    let now = clock::unix_ms();
    pagination::print(&api, &request, args.common.json, columns, |task, table| row(task, table, now)).await
}

fn row(task: &Value, table: &mut Table, now_ms: u64) {
    let status = text(task, "status");
    let plain = |text: String| (text, Color::Plain);
    let what = match status {
        "running" => state_of(task),
        "failed" => ending(task).trim_start_matches("failed: ").to_owned(),
        "completed" => match task["result"]["files"].as_array().map_or(0, Vec::len) {
            0 => String::new(),
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        },
        _ => String::new(),
    };
    table.push([
        plain(text(task, "id").to_owned()),
        (status.to_owned(), Color::of(status)),
        plain(age(&task["createdAt"], now_ms)),
        plain(task["runMs"].as_u64().map(format_ms).unwrap_or_default()),
        plain(task["attempt"].to_string()),
        plain(text(task, "instanceId").to_owned()),
        plain(what),
    ]);
}

/// Shows a task.
pub(crate) async fn show(args: ShowArgs) -> Result<(), Error> {
    check_ids(std::slice::from_ref(&args.id))?;
    let api = args.common.connection.logged_in()?;
    if args.workflow {
        return output::print_line(api.get(&format!("/api/tasks/{}/workflow", args.id)).await?.raw.get());
    }
    let task = api.get(&format!("/api/tasks/{}", args.id)).await.map_err(|error| about(error, &args.id))?;
    if args.common.json {
        return output::print_line(task.raw.get());
    }
    facts(&task.value).iter().try_for_each(|line| output::print_line(line))
}

fn facts(task: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() && value != "null" {
            lines.push(format!("{name:<12}{}", output::sanitize(&value)));
        }
    };
    let status = text(task, "status");
    fact("task", text(task, "id").to_owned());
    fact("status", if is_ended(status) { ending(task) } else { format!("{status}: {}", state_of(task)) });
    if let Some(index) = task["batchIndex"].as_u64() {
        fact("batch", format!("{}, task {index:03}", text(task, "batchId")));
    }
    if let Some(name) = task["workflowName"].as_str() {
        fact("workflow", format!("{name}@{}", task["workflowVersion"]));
    }
    fact("owner", text(task, "owner").to_owned());
    fact("priority", text(task, "priority").to_owned());
    fact("attempt", format!("{} of {}", task["attempt"], task["maxAttempts"]));
    fact("instance", text(task, "instanceId").to_owned());
    fact("accepted", text(task, "createdAt").to_owned());
    fact("started", text(task, "startedAt").to_owned());
    fact("ended", text(task, "finishedAt").to_owned());
    fact("waited", task["waitedMs"].as_u64().map(format_ms).unwrap_or_default());
    fact("ran", task["runMs"].as_u64().map(format_ms).unwrap_or_default());
    fact("params", task["params"].to_string());
    fact("resolved", task["resolved"].to_string());
    fact("metadata", task["metadata"].to_string());
    for output in task["result"]["outputs"].as_array().into_iter().flatten() {
        fact("output", described(output));
    }
    for warning in task["warnings"].as_array().into_iter().flatten() {
        fact("warning", text(warning, "message").to_owned());
    }
    for line in task["error"]["traceback"].as_array().into_iter().flatten() {
        fact("traceback", line.as_str().unwrap_or_default().trim_end().to_owned());
    }
    lines.extend(explain::attempts(task));
    lines
}

/// `image of node 9: http://…`, `number of node 3 (value): 0.873`.
fn described(output: &Value) -> String {
    let (url, value) = (output["url"].as_str(), output["text"].as_str());
    let what = [value.filter(|_| url.is_none() || output["truncated"] != true), url];
    let what = what.into_iter().flatten().collect::<Vec<_>>().join("  ");
    let key = value.and(output["key"].as_str()).map(|key| format!(" ({key})")).unwrap_or_default();
    format!("{} of node {}{key}: {what}", text(output, "kind"), text(output, "nodeId"))
}

/// Cancels tasks.
pub(crate) async fn cancel(args: TaskIdsArgs) -> Result<(), Error> {
    check_ids(&args.ids)?;
    let (api, json) = (args.common.connection.logged_in()?, args.common.json);
    each(&args.ids, async |id| {
        let task = cancel_task(&api, id).await.map_err(|error| about(error, id))?;
        let still = task.value["cancelRequested"] == true;
        print_result(json, &task, if still { "cancelled; its instance has not stopped yet" } else { "cancelled" })
    })
    .await
}

/// Retries failed or cancelled tasks.
pub(crate) async fn retry(RetryArgs { extra_data, tasks: args }: RetryArgs) -> Result<(), Error> {
    check_ids(&args.ids)?;
    // Those of a task are deleted when it ends.
    let body = extra_data.read()?.map(|extra_data| format!("{{\"extraData\":{}}}", extra_data.get()));
    let (api, json) = (args.common.connection.logged_in()?, args.common.json);
    each(&args.ids, async |id| {
        let path = format!("/api/tasks/{id}/retry");
        // Idempotent.
        let request = async || {
            let request = api.request(Method::POST, &path);
            Ok(match &body {
                Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.clone()),
                None => request,
            })
        };
        let task = api.call(Repeat::Safe, request).await;
        print_result(json, &task.map_err(|error| about(error, id))?, "is queued again")
    })
    .await
}

fn print_result(json: bool, task: &Answer, what: &str) -> Result<(), Error> {
    if json { output::print_line(task.raw.get()) } else { output::print_line(&format!("{} {what}", task.text("id"))) }
}
