//! Downloads stored files: complete, verified by SHA-256, and under a safe name.

use super::save_file::{hex, place, safe_name};
use crate::{
    cli::{
        client::{
            error::Fault,
            rest::{Api, cause},
            websocket,
        },
        term::{format::bytes, output},
    },
    save_file::{self, Target, folder_of},
};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Method, Response, header};
use serde_json::{Value, json, value::to_raw_value};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, Permissions},
    io::{self, Seek as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Attempts to download a file whose bytes are wrong.
const TRIES_MAX: usize = 3;
/// Pause before a retry while the server is unreachable.
const AGAIN: Duration = Duration::from_secs(1);
/// Pause between two attempts to open a pipe that has no reader.
const READER_POLL: Duration = Duration::from_millis(50);
/// Size from which a progress bar is shown.
const BAR_FROM_BYTES: u64 = 4 << 20;

/// A stored file.
pub(crate) struct Remote {
    pub(crate) file_id: String,
    /// Id, or id and signature of a signed link: `<id>?expires=…&signature=…`.
    link: String,
    /// Name given by the server; not to be trusted.
    pub(crate) filename: String,
    /// SHA-256 in lower-case hex, if known.
    pub(crate) sha256: Option<String>,
}

/// A saved file.
pub(crate) struct Saved {
    pub(crate) path: PathBuf,
    file_id: String,
    size_bytes: u64,
    sha256: String,
    /// Whether a file with this name and content existed already.
    was_there: bool,
}

impl Saved {
    /// Formats it for people, `saved out/a.png  5.0 KiB`, or as a JSON line of the type `saved`.
    pub(crate) fn told(&self, json: bool, task: Option<&str>) -> String {
        if json {
            let data = json!({"taskId": task, "fileId": self.file_id, "path": self.path.to_string_lossy(),
                "sizeBytes": self.size_bytes, "sha256": self.sha256, "wasThere": self.was_there});
            let data = to_raw_value(&data).expect("texts and numbers can be written as JSON");
            return websocket::line("saved", &data);
        }
        let word = if self.was_there { "exists" } else { "saved" };
        format!("{word} {}  {}", output::clean(&self.path.to_string_lossy()), bytes(self.size_bytes))
    }
}

impl Remote {
    /// Returns the output files of a task.
    pub(crate) fn of_task(task: &Value) -> Vec<Self> {
        let outputs = task["result"]["outputs"].as_array().into_iter().flatten();
        outputs.filter_map(|output| Self::of_output(task, output)).collect()
    }

    /// Reads an entry of a task's `result.outputs`; `None` if it is not a file. Because the tasks of a batch produce files of
    /// the same name, those are prefixed by the task's index in the batch.
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
pub(crate) async fn save(api: &Api, remote: &Remote, folder: &Path, overwrite: bool) -> Result<Saved, Fault> {
    let failed = |error: io::Error| Fault::Local(format!("cannot save in {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Fault::Local(format!("cannot save in {}: not a directory", folder.display())),
        _ => failed(error),
    })?;
    let Fetched { file, size_bytes, sha256 } = fetch(api, remote, folder).await?;
    let name = safe_name(&remote.filename, &remote.file_id);
    let (path, was_there) = place(file, folder, &name, &sha256, overwrite).map_err(failed)?;
    Ok(Saved { path, file_id: remote.file_id.clone(), size_bytes, sha256, was_there })
}

/// Saves a stored file under a path that the user typed and returns its size. A symbolic link is followed and stays; a
/// device or a pipe receives the bytes once they are complete and verified.
pub(crate) async fn save_as(api: &Api, remote: &Remote, path: &Path) -> Result<u64, Fault> {
    let failed = |error: io::Error| cannot_write(path, &error);
    match Target::at(path).map_err(failed)? {
        Target::File(file_path) => {
            let Fetched { file, size_bytes, .. } = fetch(api, remote, folder_of(&file_path)).await?;
            save_file::replace(file, &file_path).map_err(failed)?;
            Ok(size_bytes)
        }
        Target::Stream(stream_path) => {
            let Fetched { mut file, size_bytes, .. } = fetch(api, remote, &std::env::temp_dir()).await?;
            let mut stream = open_when_read(&stream_path).await.map_err(failed)?;
            file.rewind().and_then(|()| io::copy(&mut file, &mut stream)).map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Fault::ReaderGone,
                _ => failed(error),
            })?;
            Ok(size_bytes)
        }
    }
}

/// Fails early on a path that [`save_as`] cannot write to.
pub(crate) fn check_target(path: &Path) -> Result<(), Fault> {
    let target = Target::at(path).map_err(|error| cannot_write(path, &error))?;
    match target {
        Target::File(file) if !folder_of(&file).is_dir() => {
            Err(Fault::Local(format!("cannot write {}: its folder does not exist", path.display())))
        }
        Target::File(_) | Target::Stream(_) => Ok(()),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Fault {
    let why = match error.kind() {
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    };
    Fault::Local(format!("cannot write {}: {why}", path.display()))
}

/// Opens a device or a pipe; a pipe that has no reader is waited for, as a shell does.
async fn open_when_read(path: &Path) -> io::Result<fs::File> {
    let mut is_first = true;
    loop {
        match save_file::open_stream(path) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                if std::mem::take(&mut is_first) {
                    output::hint(&format!("waiting for a reader of {}", path.display()));
                }
                sleep(READER_POLL).await;
            }
            opened => return opened,
        }
    }
}

/// A complete download in a temporary file, which is deleted on drop.
struct Fetched {
    file: tempfile::NamedTempFile,
    size_bytes: u64,
    sha256: String,
}

async fn fetch(api: &Api, remote: &Remote, folder: &Path) -> Result<Fetched, Fault> {
    let (began, mut tries) = (Instant::now(), 0);
    loop {
        let file = tempfile::Builder::new()
            .prefix(".shuzhiren-")
            // The permissions of any new file: the umask applies.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|error| Fault::Local(format!("cannot save in {}: {error}", folder.display())))?;
        tries += 1;
        match receive(api, remote, file.as_file()).await {
            Ok((size_bytes, sha256)) => return Ok(Fetched { file, size_bytes, sha256 }),
            Err(Received::Final(fault)) => return Err(fault),
            Err(Received::Broken(fault @ Fault::Unreachable(_))) if began.elapsed() < api.patience() => {
                output::hint(&format!("retrying: {fault}"));
                sleep(AGAIN).await;
            }
            Err(Received::Broken(fault)) if tries >= TRIES_MAX => return Err(fault),
            Err(Received::Broken(fault)) => output::hint(&format!("retrying: {fault}")),
        }
    }
}

/// Writes a stored file to standard output. An incomplete download is an error at its end.
pub(crate) async fn pour(api: &Api, remote: &Remote) -> Result<(), Fault> {
    match receive(api, remote, Stdout).await {
        Ok(_) => Ok(()),
        Err(Received::Final(fault) | Received::Broken(fault)) => Err(fault),
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
pub(crate) async fn look_up(api: &Api, file_id: &str, signature: Option<&str>) -> Result<Remote, Fault> {
    let link = signature.map_or_else(|| file_id.to_owned(), |signature| format!("{file_id}?{signature}"));
    let response = ask(api, Method::HEAD, file_id, &link).await?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let sha256 = header(header::ETAG).trim_matches('"').to_owned();
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    let filename = filename_of(header(header::CONTENT_DISPOSITION)).unwrap_or_else(|| file_id.to_owned());
    Ok(Remote { file_id: file_id.to_owned(), link, filename, sha256: is_hash.then_some(sha256) })
}

async fn ask(api: &Api, method: Method, file_id: &str, link: &str) -> Result<Response, Fault> {
    let response = api.download(method, link).await.map_err(|error| {
        // Without the URL, which may be signed.
        Fault::Unreachable(format!("no answer from {}: {}", api.base(), cause(&error.without_url())))
    })?;
    let is_ours = response.url().as_str().starts_with(&format!("{}/upload/file/", api.base()));
    let about = |why: String| format!("file {file_id}: {why}");
    let login = format!("shuzhiren login --url {}", api.base());
    match response.status().as_u16() {
        200 => Ok(response),
        404 => Err(Fault::NotFound(format!("file {file_id} not found"))),
        401 if is_ours && api.has_token() => Err(Fault::NotLoggedIn(about(format!("the token is not valid: {login}")))),
        401 if is_ours => Err(Fault::NotLoggedIn(about(format!("a login is required: {login}")))),
        403 if is_ours => Err(Fault::NotLoggedIn(about(format!("the link has expired: get a new one, or {login}")))),
        // Temporary; a retry may help. It would not for other statuses.
        status @ (408 | 429 | 500..) => Err(Fault::Unreachable(about(format!("HTTP {status}")))),
        status => {
            let host = response.url().host_str().unwrap_or_default();
            Err(Fault::Refused(about(format!("refused by {host}: HTTP {status}"))))
        }
    }
}

enum Received {
    Final(Fault),
    Broken(Fault),
}

/// Writes a stored file into `to` and returns its size and SHA-256.
async fn receive(api: &Api, remote: &Remote, mut to: impl io::Write) -> Result<(u64, String), Received> {
    let mut response = match ask(api, Method::GET, &remote.file_id, &remote.link).await {
        Ok(response) => response,
        Err(fault @ Fault::Unreachable(_)) => return Err(Received::Broken(fault)),
        Err(fault) => return Err(Received::Final(fault)),
    };
    let broken = |why: &str| format!("file {}: {why}", remote.file_id);
    let bar = bar(response.content_length(), &remote.filename);
    let (mut size_bytes, mut hash) = (0, Sha256::new());
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Received::Broken(Fault::Unreachable(broken(&format!("cut off: {}", cause(&error))))))?
    {
        to.write_all(&chunk).map_err(|error| {
            Received::Final(match error.kind() {
                io::ErrorKind::BrokenPipe => Fault::ReaderGone,
                _ => Fault::Local(format!("cannot write: {error}")),
            })
        })?;
        hash.update(&chunk);
        size_bytes += chunk.len() as u64;
        bar.set_position(size_bytes);
    }
    to.flush().map_err(|error| Received::Final(Fault::Local(broken(&error.to_string()))))?;
    bar.finish_and_clear();
    let sha256 = hex(hash);
    match &remote.sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(&sha256) => {
            let why = broken("the bytes differ from those stored (SHA-256 mismatch)");
            Err(Received::Broken(Fault::Local(why)))
        }
        _ => Ok((size_bytes, sha256)),
    }
}

fn bar(size: Option<u64>, name: &str) -> ProgressBar {
    match size.filter(|size| *size >= BAR_FROM_BYTES && output::has_bars()) {
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
    bar.with_message(output::clean(name).into_owned())
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
    use super::{Remote, filename_of};
    use serde_json::json;

    #[test]
    fn files_of_a_batch_have_distinct_names_in_their_folder() {
        let output = |name: &str| json!({"fileId": "f", "filename": name});
        let named = |task: &_, name: &str| Remote::of_output(task, &output(name)).unwrap().filename;
        assert_eq!(named(&json!({"batchIndex": 7}), "a b.png"), "007-a b.png");
        assert_eq!(named(&json!({"batchIndex": 0}), "../../.bashrc"), "000-bashrc");
        assert_eq!(named(&json!({}), "a.png"), "a.png");
        assert!(Remote::of_output(&json!({}), &json!({"text": "a"})).is_none());
    }

    #[test]
    fn a_disposition_gives_the_real_name() {
        let both = "inline; filename=\"_ 1.png\"; filename*=UTF-8''%E5%9B%BE%201%2B%26%3D.png";
        assert_eq!(filename_of(both).as_deref(), Some("图 1+&=.png"));
        assert_eq!(filename_of("attachment; filename=\"a.bin\"").as_deref(), Some("a.bin"));
        assert_eq!(filename_of("attachment"), None);
    }
}
