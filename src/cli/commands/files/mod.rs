//! `shuzhiren upload`, `files`, `download`, `rm`.

pub(super) mod download;
pub(super) mod save_file;
pub(super) mod upload;

use super::batches;
use crate::{
    cli::{
        client::{
            connection::Common,
            error::{Fault, each},
            pagination::{self, Asked},
            rest::{Api, Repeat},
        },
        term::{
            format::{age, bytes, text},
            output::{self, Ink},
            table::Table,
        },
    },
    clock,
    task::{BatchId, FileId},
};
use clap::Args;
use download::Remote;
use reqwest::Method;
use std::path::{Path, PathBuf};

/// Settings of `upload`.
#[derive(Debug, Args)]
pub struct UploadArgs {
    /// Files to upload
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Settings of `files`.
#[derive(Debug, Args)]
pub struct FilesArgs {
    /// Show only uploads or only outputs
    #[arg(long, value_name = "upload|output")]
    kind: Option<String>,
    /// Number of entries to show, newest first
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[command(flatten)]
    common: Common,
}

/// Settings of `download`.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// File ids or links; or ids of tasks and batches, to download all their outputs
    #[arg(required = true)]
    ids: Vec<String>,
    /// Directory to save in; `-` = standard output, for a single file
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Replace existing files instead of choosing another name. Links, devices and pipes are never replaced
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    common: Common,
}

/// Settings of `rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// File ids
    #[arg(required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Uploads files and prints the id of each, for `-p image='{"$file":"…"}'`.
pub(crate) async fn upload(args: UploadArgs) -> Result<(), Fault> {
    let (api, json) = (args.common.connection.logged_in()?, args.common.json);
    each(&args.files, async |path| {
        let file = upload::upload(&api, path).await?;
        if json {
            return output::say(file.raw.get());
        }
        output::say(&format!("{} {}", file.text("fileId"), output::clean(file.text("filename"))))
    })
    .await
}

/// Lists.
pub(crate) async fn files(args: FilesArgs) -> Result<(), Fault> {
    let api = args.common.connection.logged_in()?;
    let filters = args.kind.map(|kind| ("kind", kind)).into_iter().collect();
    let asked = Asked { path: "/api/files", filters, limit: args.limit, has_cursor: false };
    let columns = || Table::new(&["ID", "KIND", "AGE", "SIZE", "TYPE", "NAME"]);
    let now = clock::unix_ms();
    pagination::say(&api, &asked, args.common.json, columns, |file, table| {
        let plain = |text: &str| (text.to_owned(), Ink::Plain);
        table.row([
            plain(text(file, "fileId")),
            plain(text(file, "kind")),
            plain(&age(&file["createdAt"], now)),
            plain(&bytes(file["sizeBytes"].as_u64().unwrap_or(0))),
            plain(text(file, "contentType")),
            plain(text(file, "filename")),
        ]);
    })
    .await
}

/// Downloads files, by id or link, or the outputs of tasks and batches. Files need no login, in private mode a signed link
/// or a login; tasks need a login.
pub(crate) async fn download(args: DownloadArgs) -> Result<(), Fault> {
    let api = args.common.connection.api()?;
    let is_pipe = args.out == Path::new("-");
    if is_pipe && args.ids.len() > 1 {
        return Err(Fault::Usage("--out -: only one file can be written to standard output".to_owned()));
    }
    each(&args.ids, async |text| {
        let (id, signature) = id_of(text);
        if id.parse::<FileId>().is_err() {
            return Err(Fault::NotFound(format!("`{text}` is not the id of a file or a task")));
        }
        let remotes = match download::look_up(&api, id, signature).await {
            Ok(remote) => vec![remote],
            // It may be the id of a task; without a login the error is about the file.
            Err(fault @ Fault::NotFound(_)) if !api.has_token() => return Err(fault),
            Err(Fault::NotFound(_)) => outputs_of(&api, id).await?,
            Err(fault) => return Err(fault),
        };
        if is_pipe {
            return match remotes.as_slice() {
                [one] => download::pour(&api, one).await,
                _ => Err(Fault::Usage(format!("{id} has {} files: --out - takes only one", remotes.len()))),
            };
        }
        for remote in &remotes {
            let saved = download::save(&api, remote, &args.out, args.overwrite).await?;
            output::say(&saved.told(args.common.json, None))?;
        }
        Ok(())
    })
    .await
}

/// Splits an id or a link into the id and, for a signed link, the signature.
fn id_of(text: &str) -> (&str, Option<&str>) {
    let (text, query) = text.split_once('?').map_or((text, None), |(link, query)| (link, Some(query)));
    let id = text.rsplit('/').next().unwrap_or(text);
    (id, query.filter(|query| query.contains("signature=")))
}

async fn outputs_of(api: &Api, id: &str) -> Result<Vec<Remote>, Fault> {
    let task = match (api.get(&format!("/api/tasks/{id}")).await, id.parse::<BatchId>()) {
        (Ok(task), _) => task,
        (Err(Fault::NotFound(_)), Ok(batch)) => return outputs_of_batch(api, batch).await,
        (Err(Fault::NotFound(_)), Err(_)) => {
            return Err(Fault::NotFound(format!("no file, task or batch {id}")));
        }
        (Err(fault), _) => return Err(fault),
    };
    let remotes = Remote::of_task(&task.value);
    if remotes.is_empty() {
        return Err(Fault::NotFound(format!("task {id} is {} and has no files", task.text("status"))));
    }
    Ok(remotes)
}

/// Returns the outputs of a batch so far.
async fn outputs_of_batch(api: &Api, batch: BatchId) -> Result<Vec<Remote>, Fault> {
    let tasks = batches::tasks_of(api, batch).await?;
    if tasks.is_empty() {
        return Err(Fault::NotFound(format!("no file, task or batch {batch}")));
    }
    let remotes: Vec<Remote> = tasks.iter().flat_map(|task| Remote::of_task(&task.value)).collect();
    if remotes.is_empty() {
        return Err(Fault::NotFound(format!("batch {batch} has no files: shuzhiren batches show {batch}")));
    }
    Ok(remotes)
}

/// Deletes.
pub(crate) async fn rm(args: RmArgs) -> Result<(), Fault> {
    let (api, json) = (args.common.connection.logged_in()?, args.common.json);
    each(&args.ids, async |id| {
        if id.parse::<FileId>().is_err() {
            return Err(Fault::NotFound(format!("`{id}` is not a file id")));
        }
        let path = format!("/api/files/{id}");
        let file = api.call(Repeat::IfUnsent, async || Ok(api.request(Method::DELETE, &path))).await;
        let file = file.map_err(|fault| fault.about(id))?;
        if json {
            return output::say(file.raw.get());
        }
        output::say(&format!("{id} deleted: {}", output::clean(file.text("filename"))))
    })
    .await
}
