//! `shuzhiren upload`, `files`, `download`, `rm`.

pub(super) mod download;
pub(super) mod download_to_path;
pub(super) mod file_name;
pub(super) mod upload;

use super::for_each_id::each;
use crate::{
    cli::{
        client::{
            common_args::Common,
            pagination::{self, ListRequest},
            rest::{Api, Repeat},
            tasks::tasks_of_batch,
        },
        error::Error,
        term::{
            format::{age, bytes, text},
            output::{self, Color},
            table::Table,
        },
    },
    clock,
    task::{BatchId, FileId},
};
use clap::Args;
use download::StoredFile;
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
pub(crate) async fn upload(args: UploadArgs) -> Result<(), Error> {
    let (api, json) = (args.common.connection.logged_in()?, args.common.json);
    each(&args.files, async |path| {
        let file = upload::upload(&api, path).await?;
        if json {
            return output::print_line(file.raw.get());
        }
        output::print_line(&format!("{} {}", file.text("fileId"), output::sanitize(file.text("filename"))))
    })
    .await
}

/// Lists files.
pub(crate) async fn files(args: FilesArgs) -> Result<(), Error> {
    let api = args.common.connection.logged_in()?;
    let filters = args.kind.map(|kind| ("kind", kind)).into_iter().collect();
    let request = ListRequest { path: "/api/files", filters, limit: args.limit, has_cursor: false };
    let columns = || Table::new(&["ID", "KIND", "AGE", "SIZE", "TYPE", "NAME"]);
    let now = clock::unix_ms();
    pagination::print(&api, &request, args.common.json, columns, |file, table| {
        let plain = |text: &str| (text.to_owned(), Color::Plain);
        table.push([
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

/// Downloads files, by id or link, or the outputs of tasks and batches. Files need no login, in private mode a signed
/// link or a login; tasks need a login.
pub(crate) async fn download(args: DownloadArgs) -> Result<(), Error> {
    let api = args.common.connection.api()?;
    let is_pipe = args.out == Path::new("-");
    if is_pipe && args.ids.len() > 1 {
        return Err(Error::Usage("--out -: only one file can be written to standard output".to_owned()));
    }
    each(&args.ids, async |text| {
        let (id, signature) = id_of(text);
        if id.parse::<FileId>().is_err() {
            return Err(Error::NotFound(format!("`{text}` is not the id of a file or a task")));
        }
        let files = match download::look_up(&api, id, signature).await {
            Ok(stored) => vec![stored],
            // It may be the id of a task; without a login the error is about the file.
            Err(error @ Error::NotFound(_)) if !api.has_token() => return Err(error),
            Err(Error::NotFound(_)) => outputs_of(&api, id).await?,
            Err(error) => return Err(error),
        };
        if is_pipe {
            return match files.as_slice() {
                [one] => download::print(&api, one).await,
                _ => Err(Error::Usage(format!("{id} has {} files: --out - takes only one", files.len()))),
            };
        }
        for stored in &files {
            let saved = download::save(&api, stored, &args.out, args.overwrite).await?;
            output::print_line(&saved.describe(args.common.json, None))?;
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

async fn outputs_of(api: &Api, id: &str) -> Result<Vec<StoredFile>, Error> {
    let task = match (api.get(&format!("/api/tasks/{id}")).await, id.parse::<BatchId>()) {
        (Ok(task), _) => task,
        (Err(Error::NotFound(_)), Ok(batch)) => return outputs_of_batch(api, batch).await,
        (Err(Error::NotFound(_)), Err(_)) => {
            return Err(Error::NotFound(format!("no file, task or batch {id}")));
        }
        (Err(error), _) => return Err(error),
    };
    let files = StoredFile::of_task(&task.value);
    if files.is_empty() {
        return Err(Error::NotFound(format!("task {id} is {} and has no files", task.text("status"))));
    }
    Ok(files)
}

/// Returns the outputs of a batch so far.
async fn outputs_of_batch(api: &Api, batch: BatchId) -> Result<Vec<StoredFile>, Error> {
    let tasks = tasks_of_batch(api, batch).await?;
    if tasks.is_empty() {
        return Err(Error::NotFound(format!("no file, task or batch {batch}")));
    }
    let files: Vec<StoredFile> = tasks.iter().flat_map(|task| StoredFile::of_task(&task.value)).collect();
    if files.is_empty() {
        return Err(Error::NotFound(format!("batch {batch} has no files: shuzhiren batches show {batch}")));
    }
    Ok(files)
}

/// Deletes files.
pub(crate) async fn rm(args: RmArgs) -> Result<(), Error> {
    let (api, json) = (args.common.connection.logged_in()?, args.common.json);
    each(&args.ids, async |id| {
        if id.parse::<FileId>().is_err() {
            return Err(Error::NotFound(format!("`{id}` is not a file id")));
        }
        let path = format!("/api/files/{id}");
        let file = api.call(Repeat::IfUnsent, async || Ok(api.request(Method::DELETE, &path))).await;
        let file = file.map_err(|error| error.about(id))?;
        if json {
            return output::print_line(file.raw.get());
        }
        output::print_line(&format!("{id} deleted: {}", output::sanitize(file.text("filename"))))
    })
    .await
}
