//! `shuzhiren workflows [list|show|get|set|delete]`: published workflows, which `submit --workflow` runs.

pub(super) mod publish;
pub(super) mod workflow_ref;
pub(super) mod workflow_table;

use crate::{
    cli::{
        client::{
            connection::Common,
            envelope::Answer,
            error::{Fault, each},
            pagination::{self, Asked},
            rest::Repeat,
        },
        term::{
            format::{age, bytes, text},
            json_pretty::layout,
            output::{self, Ink},
            table::{Table, cut},
        },
    },
    clock,
    save_file::{self, Target},
    task::FlowName,
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
use workflow_ref::{FlowRef, path_of, whole_name};
use workflow_table::{CUT, facts, table};

/// Settings of `workflows`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct WorkflowsArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum What {
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
    flow: FlowRef,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct GetArgs {
    /// Name; name@3 for an older version
    #[arg(value_name = "NAME[@VERSION]")]
    flow: FlowRef,
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
    names: Vec<FlowName>,
    #[command(flatten)]
    common: Common,
}

/// Lists, reads, publishes or deletes.
pub(crate) async fn workflows(args: WorkflowsArgs) -> Result<(), Fault> {
    match args.what {
        None => list(args.list).await,
        Some(What::List(args)) => list(args).await,
        Some(What::Show(args)) => show(args).await,
        Some(What::Get(args)) => get(args).await,
        Some(What::Set(args)) => publish::set(args).await,
        Some(What::Delete(args)) => delete(args).await,
    }
}

async fn list(args: ListArgs) -> Result<(), Fault> {
    let api = args.common.connection.logged_in()?;
    let asked = Asked { path: "/api/workflows", filters: Vec::new(), limit: args.limit, has_cursor: false };
    let columns = || Table::new(&["NAME", "VERSION", "AGE", "DESCRIPTION", "PARAMS"]);
    let now = clock::unix_ms();
    pagination::say(&api, &asked, args.common.json, columns, |flow, table| {
        let plain = |text: String| (text, Ink::Plain);
        let params: Vec<&str> =
            flow["params"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        table.row([
            plain(text(flow, "name").to_owned()),
            plain(flow["version"].to_string()),
            plain(age(&flow["updatedAt"], now)),
            plain(cut(&output::clean(text(flow, "description")), CUT)),
            plain(params.join(", ")),
        ]);
    })
    .await
}

async fn show(args: ShowArgs) -> Result<(), Fault> {
    let flow = read(&args.flow, &args.common).await?;
    if args.common.json {
        return output::say(flow.raw.get());
    }
    facts(&flow.value).iter().try_for_each(|line| output::say(line))?;
    let params = flow.value["params"].as_object().filter(|params| !params.is_empty());
    if let Some(params) = params {
        output::say("")?;
        table(params).say(true)?;
    }
    if output::is_shown() {
        let needed = params.into_iter().flatten().filter(|(_, param)| param["required"] == true);
        let needed: String = needed.map(|(name, _)| format!(" -p {name}=…")).collect();
        output::hint(&format!("\nrun it: shuzhiren submit --workflow {}{}", args.flow, output::clean(&needed)));
    }
    Ok(())
}

async fn read(flow: &FlowRef, common: &Common) -> Result<Answer, Fault> {
    common.connection.logged_in()?.get(&flow.path()).await.map_err(|fault| fault.about(&flow.to_string()))
}

/// Graph as stored: its numbers are exact.
#[derive(Deserialize)]
struct Graph<'a> {
    #[serde(borrow)]
    workflow: &'a RawValue,
}

async fn get(args: GetArgs) -> Result<(), Fault> {
    let flow = read(&args.flow, &args.common).await?;
    let text = if args.common.json {
        flow.raw.get().to_owned()
    } else {
        let graph: Graph<'_> = serde_json::from_str(flow.raw.get())
            .map_err(|error| Fault::Unreachable(format!("the answer is not a published workflow: {error}")))?;
        layout(graph.workflow.get())
    };
    let Some(path) = &args.out else { return output::say(&text) };
    write(path, &text, args.overwrite).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Fault::Local(format!("{} exists: --overwrite replaces it", path.display())),
        io::ErrorKind::IsADirectory => Fault::Local(format!("cannot write {}: it is a directory", path.display())),
        _ => Fault::Local(format!("cannot write {}: {error}", path.display())),
    })?;
    output::say(&format!("saved {}  {}", path.display(), bytes(text.len() as u64 + 1)))
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

async fn delete(args: DeleteArgs) -> Result<(), Fault> {
    let (api, json) = (args.common.connection.logged_in()?, args.common.json);
    each(&args.names, async |name| {
        let path = path_of(name);
        // Idempotent.
        let gone = api.call(Repeat::Safe, async || Ok(api.request(Method::DELETE, &path))).await;
        let gone = gone.map_err(|fault| fault.about(name.as_str()))?;
        if json {
            return output::say(gone.raw.get());
        }
        output::say(&format!("{name} deleted; last version {}", gone.value["lastVersion"]))
    })
    .await
}
