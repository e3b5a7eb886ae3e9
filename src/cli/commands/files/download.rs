//! Downloads stored files: complete, verified by SHA-256, and under a safe name.

use super::file_name::{give_name, safe_name};
use crate::cli::{
    client::rest::Api,
    error::{Error, root_cause},
    term::{format::bytes, output},
};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Method, Response, header};
use serde_json::{Value, json, value::to_raw_value};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Attempts to download a file whose bytes are wrong.
const TRIES_MAX: usize = 3;
/// Pause before a retry while the server is unreachable.
const AGAIN: Duration = Duration::from_secs(1);
/// Size from which a progress bar is shown.
const BAR_FROM_BYTES: u64 = 4 << 20;
/// Permissions of any new file, less the umask.
pub(super) const NEW_FILE_MODE: u32 = 0o666;

/// A stored file.
pub(crate) struct StoredFile {
    pub(crate) file_id: String,
    /// Id, or id and signature of a signed link: `<id>?expires=…&signature=…`.
    link: String,
    /// Name given by the server; not to be trusted.
    pub(crate) filename: String,
    /// SHA-256 in lower-case hex, if known.
    pub(crate) sha256: Option<String>,
}

/// A saved file.
pub(crate) struct SavedFile {
    pub(crate) path: PathBuf,
    file_id: String,
    size_bytes: u64,
    sha256: String,
    /// Whether a file with this name and content existed already.
    was_there: bool,
}

impl SavedFile {
    /// Formats it for people, `saved out/a.png  5.0 KiB`, or as a JSON line of the type `saved`.
    pub(crate) fn describe(&self, json: bool, task: Option<&str>) -> String {
        if json {
            let data = json!({"taskId": task, "fileId": self.file_id, "path": self.path.to_string_lossy(),
                "sizeBytes": self.size_bytes, "sha256": self.sha256, "wasThere": self.was_there});
            let data = to_raw_value(&data).expect("texts and numbers can be written as JSON");
            return output::json_line("saved", &data);
        }
        let word = if self.was_there { "kept " } else { "saved" };
        format!("{word} {}  {}", output::sanitize(&self.path.to_string_lossy()), bytes(self.size_bytes))
    }
}

impl StoredFile {
    /// Returns the output files of a task.
    pub(crate) fn of_task(task: &Value) -> Vec<Self> {
        let outputs = task["result"]["outputs"].as_array().into_iter().flatten();
        outputs.filter_map(|output| Self::of_output(task, output)).collect()
    }

    /// Reads an entry of a task's `result.outputs`; `None` if it is not a file. Because the tasks of a batch produce
    /// files of the same name, those are prefixed by the task's index in the batch.
    pub(crate) fn of_output(task: &Value, output: &Value) -> Option<Self> {
        let file_id = output["fileId"].as_str()?.to_owned();
        let filename = output["filename"].as_str().unwrap_or(&file_id);
        let filename = match task["batchIndex"].as_u64() {
            Some(index) => format!("{index:03}-{}", safe_name(filename, &file_id)),
            None => filename.to_owned(),
        };
        // A login that may read the task may read its files; a signed link could expire while others are saved.
        let link = file_id.clone();
        Some(Self { file_id, link, filename, sha256: output["sha256"].as_str().map(str::to_owned) })
    }
}

/// Saves a stored file in a folder, which is created if missing.
pub(crate) async fn save(api: &Api, stored: &StoredFile, folder: &Path, overwrite: bool) -> Result<SavedFile, Error> {
    let failed = |error: io::Error| Error::Local(format!("cannot save in {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Local(format!("cannot save in {}: not a directory", folder.display())),
        _ => failed(error),
    })?;
    let Download { file, size_bytes, sha256 } = fetch(api, stored, folder, NEW_FILE_MODE).await?;
    let name = safe_name(&stored.filename, &stored.file_id);
    let (path, was_there) = give_name(file, folder, &name, &sha256, overwrite).map_err(failed)?;
    Ok(SavedFile { path, file_id: stored.file_id.clone(), size_bytes, sha256, was_there })
}

/// A complete download in a temporary file, which is deleted on drop.
pub(super) struct Download {
    pub(super) file: tempfile::NamedTempFile,
    pub(super) size_bytes: u64,
    pub(super) sha256: String,
}

/// Downloads a stored file into a temporary file in `folder` with the permissions `mode`, less the umask.
pub(super) async fn fetch(api: &Api, stored: &StoredFile, folder: &Path, mode: u32) -> Result<Download, Error> {
    let (began, mut tries) = (Instant::now(), 0);
    loop {
        let file = tempfile::Builder::new()
            .prefix(".shuzhiren-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(folder)
            .map_err(|error| Error::Local(format!("cannot save in {}: {error}", folder.display())))?;
        tries += 1;
        match receive(api, stored, file.as_file()).await {
            Ok((size_bytes, sha256)) => return Ok(Download { file, size_bytes, sha256 }),
            Err(ReceiveError::Final(error)) => return Err(error),
            Err(ReceiveError::Broken(error @ Error::Unreachable(_))) if began.elapsed() < api.wait_max() => {
                output::hint(&format!("retrying: {error}"));
                sleep(AGAIN).await;
            }
            Err(ReceiveError::Broken(error)) if tries >= TRIES_MAX => return Err(error),
            Err(ReceiveError::Broken(error)) => output::hint(&format!("retrying: {error}")),
        }
    }
}

/// Writes a stored file to standard output. An incomplete download is an error at its end.
pub(crate) async fn print(api: &Api, stored: &StoredFile) -> Result<(), Error> {
    match receive(api, stored, Stdout).await {
        Ok(_) => Ok(()),
        Err(ReceiveError::Final(error) | ReceiveError::Broken(error)) => Err(error),
    }
}

struct Stdout;

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Looks up the name and SHA-256 of a file by id; `signature` is that of a signed link.
pub(crate) async fn look_up(api: &Api, file_id: &str, signature: Option<&str>) -> Result<StoredFile, Error> {
    let link = signature.map_or_else(|| file_id.to_owned(), |signature| format!("{file_id}?{signature}"));
    let response = ask(api, Method::HEAD, file_id, &link).await?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let sha256 = header(header::ETAG).trim_matches('"').to_owned();
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    let filename = filename_of(header(header::CONTENT_DISPOSITION)).unwrap_or_else(|| file_id.to_owned());
    Ok(StoredFile { file_id: file_id.to_owned(), link, filename, sha256: is_hash.then_some(sha256) })
}

async fn ask(api: &Api, method: Method, file_id: &str, link: &str) -> Result<Response, Error> {
    let response = api.download(method, link).await.map_err(|error| {
        // Without the URL, which may be signed.
        Error::Unreachable(format!("no answer from {}: {}", api.base(), root_cause(&error.without_url())))
    })?;
    let is_ours = response.url().as_str().starts_with(&format!("{}/upload/file/", api.base()));
    let about = |why: String| format!("file {file_id}: {why}");
    let login = format!("shuzhiren login --url {}", api.base());
    match response.status().as_u16() {
        200 => Ok(response),
        404 => Err(Error::NotFound(format!("file {file_id} not found"))),
        401 if is_ours && api.has_token() => Err(Error::NotLoggedIn(about(format!("the token is not valid: {login}")))),
        401 if is_ours => Err(Error::NotLoggedIn(about(format!("a login is required: {login}")))),
        403 if is_ours => Err(Error::NotLoggedIn(about(format!("the link has expired: get a new one, or {login}")))),
        // Temporary; a retry may help. It would not for other statuses.
        status @ (408 | 429 | 500..) => Err(Error::Unreachable(about(format!("HTTP {status}")))),
        status => {
            let host = response.url().host_str().unwrap_or_default();
            Err(Error::Refused(about(format!("refused by {host}: HTTP {status}"))))
        }
    }
}

enum ReceiveError {
    Final(Error),
    Broken(Error),
}

/// Writes a stored file into `to` and returns its size and SHA-256.
async fn receive(api: &Api, stored: &StoredFile, mut to: impl io::Write) -> Result<(u64, String), ReceiveError> {
    let mut response = match ask(api, Method::GET, &stored.file_id, &stored.link).await {
        Ok(response) => response,
        Err(error @ Error::Unreachable(_)) => return Err(ReceiveError::Broken(error)),
        Err(error) => return Err(ReceiveError::Final(error)),
    };
    let broken = |why: &str| format!("file {}: {why}", stored.file_id);
    let bar = bar(response.content_length(), &stored.filename);
    let (mut size_bytes, mut hash) = (0, Sha256::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| {
        ReceiveError::Broken(Error::Unreachable(broken(&format!("cut off: {}", root_cause(&error)))))
    })? {
        to.write_all(&chunk).map_err(|error| {
            ReceiveError::Final(match error.kind() {
                io::ErrorKind::BrokenPipe => Error::ReaderGone,
                _ => Error::Local(format!("cannot write: {error}")),
            })
        })?;
        hash.update(&chunk);
        size_bytes += chunk.len() as u64;
        bar.set_position(size_bytes);
    }
    to.flush().map_err(|error| ReceiveError::Final(Error::Local(broken(&error.to_string()))))?;
    bar.finish_and_clear();
    let sha256 = format!("{:x}", hash.finalize());
    match &stored.sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(&sha256) => {
            let why = broken("the bytes differ from those stored (SHA-256 mismatch)");
            Err(ReceiveError::Broken(Error::Local(why)))
        }
        _ => Ok((size_bytes, sha256)),
    }
}

fn bar(size: Option<u64>, name: &str) -> ProgressBar {
    match size.filter(|size| *size >= BAR_FROM_BYTES && output::can_draw_bars()) {
        Some(size) => bytes_bar(size, name),
        None => ProgressBar::hidden(),
    }
}

/// Creates a progress bar that counts bytes.
pub(crate) fn bytes_bar(size: u64, name: &str) -> ProgressBar {
    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {binary_bytes:>10} of {binary_total_bytes}  {wide_msg}") {
        bar.set_style(style);
    }
    bar.with_message(output::sanitize(name).into_owned())
}

/// Reads the file name of a Content-Disposition header (RFC 6266): `filename*=UTF-8''…`, else `filename="…"`.
fn filename_of(disposition: &str) -> Option<String> {
    if let Some((_, exact)) = disposition.split_once("filename*=UTF-8''") {
        // Form encoding differs from this encoding only in `+`, which the server writes as %2B.
        let exact = exact.split(';').next().unwrap_or_default();
        let (name, _) = url::form_urlencoded::parse(exact.as_bytes()).next()?;
        return Some(name.into_owned());
    }
    let (_, plain) = disposition.split_once("filename=\"")?;
    Some(plain.split('"').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{StoredFile, filename_of};
    use serde_json::json;

    #[test]
    fn files_of_a_batch_have_distinct_names_in_their_folder() {
        let output = |name: &str| json!({"fileId": "f", "filename": name});
        let named = |task: &_, name: &str| StoredFile::of_output(task, &output(name)).unwrap().filename;
        assert_eq!(named(&json!({"batchIndex": 7}), "a b.png"), "007-a b.png");
        assert_eq!(named(&json!({"batchIndex": 0}), "../../.bashrc"), "000-bashrc");
        assert_eq!(named(&json!({}), "a.png"), "a.png");
        assert!(StoredFile::of_output(&json!({}), &json!({"text": "a"})).is_none());
    }

    #[test]
    fn a_disposition_gives_the_real_name() {
        let both = "inline; filename=\"_ 1.png\"; filename*=UTF-8''%E5%9B%BE%201%2B%26%3D.png";
        assert_eq!(filename_of(both).as_deref(), Some("图 1+&=.png"));
        assert_eq!(filename_of("attachment; filename=\"a.bin\"").as_deref(), Some("a.bin"));
        assert_eq!(filename_of("attachment"), None);
    }
}
