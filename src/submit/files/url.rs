//! Files at URLs (`$url`): fetched once, before the tasks that need them are accepted, and kept like uploads.

use super::{FileRegistry, ReceivedFile, declared_type};
use crate::{
    fetch::{Download, Fetcher, Refusal},
    graph::RemoteFile,
    problem::Problem,
    store,
    submit::{Error, Result},
    task::{FileId, Warning},
};
use ::url::Url;
use futures_util::{StreamExt as _, stream};
use percent_encoding::percent_decode_str;
use std::collections::HashSet;
use tokio::time::Instant;

/// Distinct URLs of one submission.
const URLS_MAX: usize = 32;
/// Concurrent fetches of one submission.
const FETCHES_MAX: usize = 4;
/// First bytes kept for detecting the content type.
const HEAD_BYTES: usize = 512;

/// A file at a URL, and the inputs that use it.
#[derive(Debug)]
pub(super) struct UrlFile {
    /// Id that the file will have.
    pub(super) id: FileId,
    uses: Vec<RemoteFile>,
    known: HashSet<(String, String, Option<String>)>,
}

/// A file whose URL may be fetched.
#[derive(Debug)]
pub(super) struct CheckedUrl {
    id: FileId,
    url: Url,
    uses: Vec<RemoteFile>,
}

/// Reason why a file was not fetched.
enum Failure {
    /// A problem that the submitter can solve.
    Problem { code: &'static str, message: String },
    /// A failure of ours.
    Error(Error),
}

impl UrlFile {
    pub(super) fn new() -> Self {
        Self { id: FileId::new(), uses: Vec::new(), known: HashSet::new() }
    }

    /// Adds a use, unless another task of the batch has the same.
    pub(super) fn add_use(&mut self, file: RemoteFile) {
        if self.known.insert((file.node_id.clone(), file.input.clone(), file.sha256.clone())) {
            self.uses.push(file);
        }
    }
}

impl CheckedUrl {
    /// Returns the warnings of a dry run, which fetches nothing.
    pub(super) fn not_fetched(&self) -> impl Iterator<Item = Warning> {
        self.uses.iter().map(|file| Warning {
            code: "url_not_fetched".to_owned(),
            message: "a dry run fetches nothing: whether there is a file at the URL is not known".to_owned(),
            param: Some(format!("{}.{}", file.node_id, file.input)),
        })
    }
}

/// Checks the URLs without any request.
///
/// # Errors
/// Every problem.
pub(super) fn check(fetcher: &Fetcher, files: Vec<UrlFile>) -> Result<Vec<CheckedUrl>, Vec<Problem>> {
    let (mut checked, mut problems) = (Vec::with_capacity(files.len()), Vec::new());
    for UrlFile { id, uses, known: _ } in files {
        let mut url = None;
        for file in &uses {
            match fetcher.check(&file.url) {
                Ok(allowed) => url = Some(allowed),
                Err(refusal) => problems.push(problem(file, refusal.code(), refusal.to_string())),
            }
        }
        checked.extend(url.map(|url| CheckedUrl { id, url, uses }));
    }
    if let Some(file) = checked.get(URLS_MAX).and_then(|checked| checked.uses.first()) {
        let message = format!("{} different URLs are used, at most {URLS_MAX} are allowed", checked.len());
        problems.push(problem(file, "param_url_too_many", message));
    }
    if problems.is_empty() { Ok(checked) } else { Err(problems) }
}

/// Fetches the files, [`FETCHES_MAX`] at a time, within the timeout of the fetcher for all of them. Nothing is visible yet,
/// and nothing remains if the future is dropped.
///
/// # Errors
/// Every problem.
pub(super) async fn fetch(
    registry: &FileRegistry,
    fetcher: &Fetcher,
    files: Vec<CheckedUrl>,
) -> Result<Vec<ReceivedFile>> {
    let deadline = Instant::now() + fetcher.timeout();
    let fetch_one = |file: CheckedUrl| async move {
        let fetched = fetch_one(registry, fetcher, &file, deadline).await;
        (file, fetched)
    };
    let mut all = stream::iter(files).map(fetch_one).buffered(FETCHES_MAX);
    let (mut fetched, mut problems) = (Vec::new(), Vec::new());
    while let Some((CheckedUrl { uses, .. }, result)) = all.next().await {
        match result {
            Ok(received) => {
                let sha256 = received.writer.sha256();
                let differs = |file: &&RemoteFile| file.sha256.as_ref().is_some_and(|expected| *expected != sha256);
                problems.extend(uses.iter().filter(differs).map(|file| {
                    let message = "the file at the URL is another one: its SHA-256 is not the given one";
                    problem(file, "param_url_sha256", message.to_owned())
                }));
                fetched.push(received);
            }
            Err(Failure::Problem { code, message }) => {
                problems.extend(uses.iter().map(|file| problem(file, code, message.clone())));
            }
            Err(Failure::Error(error)) => return Err(error),
        }
    }
    if problems.is_empty() { Ok(fetched) } else { Err(problems.into()) }
}

async fn fetch_one(
    registry: &FileRegistry,
    fetcher: &Fetcher,
    file: &CheckedUrl,
    deadline: Instant,
) -> Result<ReceivedFile, Failure> {
    let mut download = fetcher.open(file.url.clone(), deadline).await?;
    let mut writer = registry.create(file.id).await?;
    let mut head = Vec::new();
    let mut filename = None;
    while let Some(chunk) = download.chunk().await? {
        let missing = (HEAD_BYTES - head.len()).min(chunk.len());
        head.extend_from_slice(&chunk[..missing]);
        if filename.is_none() && head.len() == HEAD_BYTES {
            // A wrong file is refused before the rest of it is fetched.
            filename = Some(checked_name(file, &download, &head)?);
        }
        writer.write(chunk).await?;
    }
    let filename = filename.map_or_else(|| checked_name(file, &download, &head), Ok)?;
    Ok(ReceivedFile { id: file.id, filename, writer })
}

/// Checks that the content agrees with the type and name that server, URL and submitter declare. Returns the file's name.
fn checked_name(file: &CheckedUrl, download: &Download, head: &[u8]) -> Result<String, Failure> {
    let declared = download.content_type();
    let given = file.uses.iter().find_map(|file| file.filename.as_deref().filter(|name| !name.is_empty()));
    let in_url = name_in(&file.url).or_else(|| name_in(download.url())).unwrap_or_default();
    let name = store::clean_filename(given.unwrap_or(&in_url));
    let by_name = store::content_type(&[], &name);
    if declared_type::is_page(declared.as_deref(), head)
        && !matches!(name.rsplit('.').next(), Some("html" | "htm") if given.is_some())
    {
        return Err(wrong_type(
            "the server sent a web page instead of a file: check that the URL leads to the file itself",
        ));
    }
    if !declared.iter().map(String::as_str).chain([by_name]).all(|declared| declared_type::agrees(declared, head)) {
        return Err(wrong_type("the file at the URL is not what its name or its server says that it is"));
    }
    Ok(if given.is_some() { name } else { declared_type::filename(&in_url, declared.as_deref(), head) })
}

fn wrong_type(message: &str) -> Failure {
    Failure::Problem { code: "param_url_wrong_type", message: message.to_owned() }
}

/// Returns the last segment of a URL's path, percent-decoded.
fn name_in(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back().filter(|last| !last.is_empty())?;
    Some(percent_decode_str(last).decode_utf8_lossy().into_owned())
}

fn problem(file: &RemoteFile, code: &str, message: String) -> Problem {
    Problem {
        node_id: Some(file.node_id.clone()),
        input: Some(file.input.clone()),
        ..Problem::unfit(file.pointer.clone(), code, message)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy => Self::Error(Error::Busy),
            refusal => Self::Problem { code: refusal.code(), message: refusal.to_string() },
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::TooLarge { limit } => Refusal::TooLarge(limit).into(),
            error => Self::Error(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::name_in;
    use ::url::Url;

    #[test]
    fn the_name_in_a_url_is_the_last_segment_of_its_path() {
        for (url, name) in [
            ("https://h/a/b.png?x=1#y", Some("b.png")),
            ("https://h/%E5%9B%BE%201.png", Some("图 1.png")),
            ("https://h/..%2f..%2fetc%2fpasswd", Some("../../etc/passwd")),
            ("https://h/a/", None),
            ("https://h", None),
        ] {
            assert_eq!(name_in(&Url::parse(url).unwrap()).as_deref(), name, "{url}");
        }
        for (last, name) in [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%41%", "A%"), ("%ff", "\u{fffd}")] {
            assert_eq!(name_in(&Url::parse(&format!("https://h/{last}")).unwrap()).as_deref(), Some(name));
        }
    }
}
