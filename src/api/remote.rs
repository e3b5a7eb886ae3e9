//! Files at URLs: fetched once, before the task that needs them is accepted, and kept like uploads.

use super::{
    ApiState,
    error::{ApiError, Result},
    routes::upload::Received,
    sniff,
};
use crate::{
    fetch::{Arrival, Fetcher, Refusal},
    graph::{Problem, RemoteFile},
    store,
    task::{FileId, FileInput, Warning},
};
use futures_util::{StreamExt as _, stream};
use std::collections::HashMap;
use tokio::time::Instant;
use url::Url;

/// Different URLs of one request.
const URLS_MAX: usize = 32;
/// Of these at a time.
const PARALLEL: usize = 4;
/// First bytes looked at.
const HEAD_BYTES: usize = 512;

/// One URL, and where its file goes.
#[derive(Debug)]
pub(super) struct Wanted {
    url: Url,
    uses: Vec<RemoteFile>,
}

/// One file, arrived whole and not visible yet.
pub(super) struct Fetched {
    pub(super) received: Received,
    /// As they were written.
    pub(super) urls: Vec<String>,
    pub(super) inputs: Vec<FileInput>,
}

/// Why one was not.
enum Failed {
    /// The submitter can do something about it.
    Unfit { code: &'static str, message: String },
    /// Nobody is to blame.
    Error(ApiError),
}

/// Judges what can be judged without asking anybody; the same URL is one.
///
/// # Errors
/// Every problem.
pub(super) fn check(fetcher: &Fetcher, files: Vec<RemoteFile>) -> Result<Vec<Wanted>, Vec<Problem>> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut places: HashMap<Url, usize> = HashMap::new();
    let mut problems = Vec::new();
    for file in files {
        match fetcher.check(&file.url) {
            Ok(url) => match places.get(&url) {
                Some(&place) => wanted[place].uses.push(file),
                None => {
                    places.insert(url.clone(), wanted.len());
                    wanted.push(Wanted { url, uses: vec![file] });
                }
            },
            Err(refusal) => problems.push(problem(&file, refusal.code(), refusal.to_string())),
        }
    }
    if let Some(file) = wanted.get(URLS_MAX).and_then(|wanted| wanted.uses.first()) {
        let message = format!("{} different URLs are used, at most {URLS_MAX} are allowed", wanted.len());
        problems.push(problem(file, "param_url_too_many", message));
    }
    if problems.is_empty() { Ok(wanted) } else { Err(problems) }
}

/// What a dry run says of them.
pub(super) fn not_fetched(wanted: &[Wanted]) -> impl Iterator<Item = Warning> {
    wanted.iter().flat_map(|wanted| &wanted.uses).map(|file| Warning {
        code: "url_not_fetched".to_owned(),
        message: "a dry run fetches nothing: whether there is a file at the URL is not known".to_owned(),
        param: Some(format!("{}.{}", file.node_id, file.input)),
    })
}

/// Inputs that name files which do not exist: for a request that came before, and whose task has its files already.
pub(super) fn stand_ins(wanted: &[Wanted]) -> Vec<FileInput> {
    wanted.iter().flat_map(|wanted| inputs(wanted, FileId::new())).collect()
}

/// Fetches all of them, some at a time, within one span of time. Nothing of it is visible, and nothing is left when dropped.
///
/// # Errors
/// Every problem.
pub(super) async fn fetch(state: &ApiState, wanted: Vec<Wanted>) -> Result<Vec<Fetched>> {
    let deadline = Instant::now() + state.fetcher.timeout();
    let one = |wanted: Wanted| async move {
        let fetched = fetch_one(state, &wanted, deadline).await;
        (wanted, fetched)
    };
    let mut all = stream::iter(wanted).map(one).buffered(PARALLEL);
    let (mut fetched, mut problems) = (Vec::new(), Vec::new());
    while let Some((wanted, result)) = all.next().await {
        match result {
            Ok(received) => {
                let sha256 = received.writer.sha256();
                let is_other = |file: &&RemoteFile| file.sha256.as_ref().is_some_and(|expected| *expected != sha256);
                problems.extend(wanted.uses.iter().filter(is_other).map(|file| {
                    let message = "the file at the URL is another one: its SHA-256 is not the given one";
                    problem(file, "param_url_sha256", message.to_owned())
                }));
                let urls = wanted.uses.iter().map(|file| file.url.clone()).collect();
                fetched.push(Fetched { inputs: inputs(&wanted, received.id), urls, received });
            }
            Err(Failed::Unfit { code, message }) => {
                problems.extend(wanted.uses.iter().map(|file| problem(file, code, message.clone())));
            }
            Err(Failed::Error(error)) => return Err(error),
        }
    }
    if problems.is_empty() { Ok(fetched) } else { Err(super::draft::refused(problems)) }
}

async fn fetch_one(state: &ApiState, wanted: &Wanted, deadline: Instant) -> Result<Received, Failed> {
    let mut arrival = state.fetcher.open(wanted.url.clone(), deadline).await?;
    let id = FileId::new();
    let mut writer = state.store.create(id, state.file_bytes_max).await?;
    let mut head = Vec::new();
    let mut filename = None;
    while let Some(chunk) = arrival.chunk().await? {
        let missing = (HEAD_BYTES - head.len()).min(chunk.len());
        head.extend_from_slice(&chunk[..missing]);
        if filename.is_none() && head.len() == HEAD_BYTES {
            // Before the rest is fetched for nothing.
            filename = Some(judge(wanted, &arrival, &head)?);
        }
        writer.write(chunk).await?;
    }
    let filename = filename.map_or_else(|| judge(wanted, &arrival, &head), Ok)?;
    Ok(Received { id, filename, writer })
}

/// Whether the file is what it is said to be; gives its name.
fn judge(wanted: &Wanted, arrival: &Arrival, head: &[u8]) -> Result<String, Failed> {
    let said = arrival.content_type();
    let given = wanted.uses.iter().find_map(|file| file.filename.as_deref().filter(|name| !name.is_empty()));
    let in_url = name_in(&wanted.url).or_else(|| name_in(arrival.url())).unwrap_or_default();
    let name = store::clean_filename(given.unwrap_or(&in_url));
    let by_name = store::content_type(&[], &name);
    if sniff::is_page(said.as_deref(), head)
        && !matches!(name.rsplit('.').next(), Some("html" | "htm") if given.is_some())
    {
        return Err(wrong_type(
            "the server sent a web page instead of a file: check that the URL leads to the file itself",
        ));
    }
    if !said.iter().map(String::as_str).chain([by_name]).all(|said| sniff::agrees(said, head)) {
        return Err(wrong_type("the file at the URL is not what its name or its server says that it is"));
    }
    Ok(if given.is_some() { name } else { sniff::name_of(&in_url, said.as_deref(), head) })
}

fn wrong_type(message: &str) -> Failed {
    Failed::Unfit { code: "param_url_wrong_type", message: message.to_owned() }
}

/// The last part of a URL's path, decoded.
fn name_in(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back().filter(|last| !last.is_empty())?;
    Some(percent_decoded(last))
}

fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, others)) = rest.split_first() {
        let code = others.get(..2).filter(|_| first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            None => {
                bytes.push(first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn inputs(wanted: &Wanted, file_id: FileId) -> Vec<FileInput> {
    let input = |file: &RemoteFile| FileInput { node_id: file.node_id.clone(), input: file.input.clone(), file_id };
    wanted.uses.iter().map(input).collect()
}

fn problem(file: &RemoteFile, code: &str, message: String) -> Problem {
    Problem {
        node_id: Some(file.node_id.clone()),
        input: Some(file.input.clone()),
        ..Problem::unfit(file.pointer.clone(), code, message)
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy => Self::Error(ApiError::Busy),
            refusal => Self::Unfit { code: refusal.code(), message: refusal.to_string() },
        }
    }
}

impl From<store::Error> for Failed {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::TooLarge { limit } => Refusal::TooLarge(limit).into(),
            error => Self::Error(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{name_in, percent_decoded};
    use url::Url;

    #[test]
    fn the_name_in_a_url_is_the_last_part_of_its_path() {
        for (url, name) in [
            ("https://h/a/b.png?x=1#y", Some("b.png")),
            ("https://h/%E5%9B%BE%201.png", Some("图 1.png")),
            ("https://h/..%2f..%2fetc%2fpasswd", Some("../../etc/passwd")),
            ("https://h/a/", None),
            ("https://h", None),
        ] {
            assert_eq!(name_in(&Url::parse(url).unwrap()).as_deref(), name, "{url}");
        }
        for (text, decoded) in [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%41%", "A%"), ("%ff", "\u{fffd}")] {
            assert_eq!(percent_decoded(text), decoded);
        }
    }
}
