//! `shuzhiren workflows [list|show|get|set|delete]`: published workflows, which `submit --workflow` runs.

pub(super) mod publish;
pub(super) mod workflow_ref;
pub(super) mod workflow_table;

use super::for_each_id::each;
use crate::{
    cli::{
        client::{
            common_args::Common,
            envelope::Answer,
            pagination::{self, ListRequest},
            rest::Repeat,
        },
        error::Error,
        term::{
            format::{age, bytes, text},
            output::{self, Color},
            table::{Table, truncate},
        },
    },
    clock,
    json::pretty,
    save_file::{self, Target},
    task::WorkflowName,
};
use clap::{Args, Subcommand};
use publish::SetArgs;
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use workflow_ref::{WorkflowRef, path_of, whole_name};
use workflow_table::{WIDTH_MAX, facts, table};

/// Settings of `workflows`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct WorkflowsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List published workflows (the default)
    #[command(alias = "ls")]
    List(ListArgs),
    /// Show a published workflow and its params
    Show(ShowArgs),
    /// Print the graph; with --json everything, in the form that `set` accepts
    Get(GetArgs),
    /// Publish a graph under a name, as its next version; description and params stay unless given
    #[command(alias = "put")]
    Set(SetArgs),
    /// Delete published workflows with all versions; existing tasks are not affected
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Number of entries to show, by name
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Name; name@3 for an older version
    #[arg(value_name = "NAME[@VERSION]")]
    workflow: WorkflowRef,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct GetArgs {
    /// Name; name@3 for an older version
    #[arg(value_name = "NAME[@VERSION]")]
    workflow: WorkflowRef,
    /// File to write instead of standard output; a link is followed, a device or pipe is written to
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// With --out: replace an existing file
    #[arg(long, requires = "out")]
    overwrite: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// Names
    #[arg(required = true, value_name = "NAME", value_parser = whole_name)]
    names: Vec<WorkflowName>,
    #[command(flatten)]
    common: Common,
}

/// Runs a subcommand of `workflows`.
pub(crate) async fn workflows(args: WorkflowsArgs) -> Result<(), Error> {
    match args.action {
        None => list(args.list).await,
        Some(Action::List(args)) => list(args).await,
        Some(Action::Show(args)) => show(args).await,
        Some(Action::Get(args)) => get(args).await,
        Some(Action::Set(args)) => publish::set(args).await,
        Some(Action::Delete(args)) => delete(args).await,
    }
}

async fn list(args: ListArgs) -> Result<(), Error> {
    let api = args.common.connection.logged_in()?;
    let request = ListRequest { path: "/api/workflows", filters: Vec::new(), limit: args.limit, has_cursor: false };
    let columns = || Table::new(&["NAME", "VERSION", "AGE", "DESCRIPTION", "PARAMS"]);
    let now = clock::unix_ms();
    pagination::print(&api, &request, args.common.json, columns, |workflow, table| {
        let plain = |text: String| (text, Color::Plain);
        let params: Vec<&str> =
            workflow["params"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        table.push([
            plain(text(workflow, "name").to_owned()),
            plain(workflow["version"].to_string()),
            plain(age(&workflow["updatedAt"], now)),
            plain(truncate(&output::sanitize(text(workflow, "description")), WIDTH_MAX)),
            plain(params.join(", ")),
        ]);
    })
    .await
}

async fn show(args: ShowArgs) -> Result<(), Error> {
    let workflow = read(&args.workflow, &args.common).await?;
    if args.common.json {
        return output::print_line(workflow.raw.get());
    }
    facts(&workflow.value).iter().try_for_each(|line| output::print_line(line))?;
    let params = workflow.value["params"].as_object().filter(|params| !params.is_empty());
    if let Some(params) = params {
        output::print_line("")?;
        table(params).print(true)?;
    }
    if output::is_terminal() {
        let needed = params.into_iter().flatten().filter(|(_, param)| param["required"] == true);
        let needed: String = needed.map(|(name, _)| format!(" -p {name}=…")).collect();
        output::hint(&format!("\nrun it: shuzhiren submit --workflow {}{}", args.workflow, output::sanitize(&needed)));
    }
    Ok(())
}

async fn read(workflow: &WorkflowRef, common: &Common) -> Result<Answer, Error> {
    common.connection.logged_in()?.get(&workflow.path()).await.map_err(|error| error.about(&workflow.to_string()))
}

/// Graph as stored: its numbers are exact.
#[derive(Deserialize)]
struct Graph<'a> {
    #[serde(borrow)]
    workflow: &'a RawValue,
}

async fn get(args: GetArgs) -> Result<(), Error> {
    let workflow = read(&args.workflow, &args.common).await?;
    let text = if args.common.json {
        workflow.raw.get().to_owned()
    } else {
        let graph: Graph<'_> = serde_json::from_str(workflow.raw.get())
            .map_err(|error| Error::Unreachable(format!("the answer is not a published workflow: {error}")))?;
        pretty(graph.workflow.get(), output::is_control)
    };
    let Some(path) = &args.out else { return output::print_line(&text) };
    write(path, &text, args.overwrite).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Local(format!("{} exists: --overwrite replaces it", path.display())),
        io::ErrorKind::IsADirectory => Error::Local(format!("cannot write {}: it is a directory", path.display())),
        _ => Error::Local(format!("cannot write {}: {error}", path.display())),
    })?;
    output::print_line(&format!("saved {}  {}", path.display(), bytes(text.len() as u64 + 1)))
}

fn write(path: &Path, text: &str, overwrite: bool) -> io::Result<()> {
    let mut file = match Target::at(path)? {
        Target::Stream(path) => save_file::open_stream(&path)?,
        // In place, so that permissions and owner stay. A link is followed.
        Target::File(path) if overwrite => File::create(path)?,
        Target::File(path) => File::create_new(path)?,
    };
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")
}

async fn delete(args: DeleteArgs) -> Result<(), Error> {
    let (api, json) = (args.common.connection.logged_in()?, args.common.json);
    each(&args.names, async |name| {
        let path = path_of(name);
        // Idempotent.
        let gone = api.call(Repeat::Safe, async || Ok(api.request(Method::DELETE, &path))).await;
        let gone = gone.map_err(|error| error.about(name.as_str()))?;
        if json {
            return output::print_line(gone.raw.get());
        }
        output::print_line(&format!("{name} deleted; last version {}", gone.value["lastVersion"]))
    })
    .await
}
