//! Streaming downloads (GET /view) and uploads (POST /upload/image) (protocol §8).

use super::{
    Client, Download, Error, RemoteFile,
    http::{check_status, unreachable},
    limits, python_json,
    remote_file::is_absolute,
};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use reqwest::{
    Body, StatusCode,
    multipart::{Form, Part},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    io,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Length of the file name of an upload, bytes.
const UPLOAD_NAME_BYTES_MAX: usize = 100;

/// Progress of an upload, shared by its body and the task that waits for the reply.
#[derive(Default)]
struct UploadProgress {
    /// Chunks that the connection has taken.
    chunks: AtomicU64,
    /// Error of the source of the bytes.
    source_error: OnceLock<String>,
}

impl Client {
    /// Starts a download (GET /view).
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such file. The stream ends with an error if the connection breaks or the file is too
    /// short.
    pub async fn view(&self, file: &RemoteFile) -> Result<Download, Error> {
        let timeout = self.http.timeout;
        let request = self.http.get("/view").query(&[
            ("filename", file.filename.as_str()),
            ("subfolder", file.subfolder.as_str()),
            ("type", file.folder_type.as_str()),
        ]);
        let response =
            tokio::time::timeout(timeout, self.http.begin(request)).await.map_err(|_| stalled(timeout))??;
        check_status(response.status())?;
        if response.status() != StatusCode::OK {
            return Err(Error::Broken(format!("answered {} to a download", response.status())));
        }
        let size_bytes = response.content_length();
        let bytes = stream::try_unfold((response, 0_u64), move |(mut response, got)| async move {
            let chunk = tokio::time::timeout(timeout, response.chunk()).await.map_err(|_| stalled(timeout))?;
            match chunk.map_err(unreachable)? {
                Some(chunk) => {
                    let got = got + chunk.len() as u64;
                    Ok(Some((chunk, (response, got))))
                }
                None if size_bytes.is_some_and(|size_bytes| size_bytes != got) => {
                    Err(Error::unreachable(format!("the file ended after {got} bytes")))
                }
                None => Ok(None),
            }
        });
        Ok(Download { size_bytes, bytes: bytes.boxed() })
    }

    /// Uploads an input (POST /upload/image with `overwrite=true`). Returns the name to put into the graph
    /// (`subfolder/name`).
    ///
    /// # Errors
    /// [`Error::Refused`]: too large for the instance, or `bytes` could not be read or are not `size_bytes` long.
    pub async fn upload(
        &self,
        subfolder: &str,
        filename: &str,
        size_bytes: u64,
        bytes: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<String, Error> {
        let progress = Arc::new(UploadProgress::default());
        let body = Body::wrap_stream(metered(bytes, size_bytes, Arc::clone(&progress)));
        let file = Part::stream_with_length(body, size_bytes).file_name(safe_name(filename));
        let mut form = Form::new().text("type", "input").text("overwrite", "true");
        if !subfolder.is_empty() {
            form = form.text("subfolder", subfolder.to_owned());
        }
        let request = self.http.post("/upload/image").multipart(form.part("image", file));
        let exchange = async {
            let response = self.http.begin(request).await?;
            self.http.read(response, limits::REPLY_BYTES_MAX, tokio::time::Instant::now() + self.http.timeout).await
        };
        let reply = match while_moving(exchange, &progress.chunks, self.http.timeout).await {
            Some(Ok(reply)) => reply,
            Some(Err(Error::TooLong(reason))) => return Err(Error::Broken(reason)),
            Some(Err(error)) => {
                if let Some(cause) = progress.source_error.get() {
                    return Err(Error::Refused(format!("the input cannot be sent: {cause}")));
                }
                // An instance that has refused a body may close the connection before all of it was sent.
                let is_too_large = self.body_bytes_max().await.is_some_and(|limit| size_bytes > limit);
                return Err(if is_too_large { self.too_large().await } else { error });
            }
            None => return Err(stalled(self.http.timeout)),
        };
        if reply.status == StatusCode::PAYLOAD_TOO_LARGE {
            return Err(self.too_large().await);
        }
        match reply.accepted() {
            Ok(reply) => {
                let name = reply.parse(stored_name).await?;
                name.ok_or_else(|| Error::Broken("the answer to an upload is not ComfyUI's".to_owned()))
            }
            Err(Error::NotFound) => Err(Error::Broken("answered 404 to an upload".to_owned())),
            Err(other) => Err(other),
        }
    }
}

fn stalled(timeout: Duration) -> Error {
    Error::unreachable(format!("no data for {timeout:?}"))
}

/// Awaits `exchange`. Returns `None` if neither it completed nor a chunk was sent for `timeout` (at most twice that
/// passes).
async fn while_moving<T>(exchange: impl Future<Output = T>, chunks: &AtomicU64, timeout: Duration) -> Option<T> {
    let mut exchange = pin!(exchange);
    let mut seen = chunks.load(Ordering::Relaxed);
    loop {
        if let Ok(done) = tokio::time::timeout(timeout, &mut exchange).await {
            return Some(done);
        }
        let now = chunks.load(Ordering::Relaxed);
        if now == seen {
            return None;
        }
        seen = now;
    }
}

/// Counts the chunks taken from `bytes`, and fails if their length is not `size_bytes`.
fn metered(
    bytes: BoxStream<'static, io::Result<Bytes>>,
    size_bytes: u64,
    progress: Arc<UploadProgress>,
) -> BoxStream<'static, io::Result<Bytes>> {
    stream::try_unfold((bytes, 0_u64, progress), move |(mut bytes, sent, progress)| async move {
        let failed = |message: String| {
            // The first error is the cause.
            progress.source_error.get_or_init(|| message.clone());
            io::Error::other(message)
        };
        progress.chunks.fetch_add(1, Ordering::Relaxed);
        match bytes.next().await {
            Some(Ok(chunk)) if sent + chunk.len() as u64 > size_bytes => {
                Err(failed(format!("longer than {size_bytes} bytes")))
            }
            Some(Ok(chunk)) => {
                let sent = sent + chunk.len() as u64;
                Ok(Some((chunk, (bytes, sent, progress))))
            }
            Some(Err(error)) => Err(failed(error.to_string())),
            None if sent < size_bytes => Err(failed(format!("ended after {sent} of {size_bytes} bytes"))),
            None => Ok(None),
        }
    })
    .boxed()
}

/// Reduces a file name to ASCII without characters that have a meaning in a header or path (protocol §17.17).
fn safe_name(filename: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = filename.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    let name = name.trim_start_matches('.');
    let start = name.len().saturating_sub(UPLOAD_NAME_BYTES_MAX);
    if name.is_empty() { "input".to_owned() } else { name[start..].to_owned() }
}

/// `{"name","subfolder","type"}`, the answer to an upload.
#[derive(Deserialize)]
struct UploadedFile<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow, default)]
    subfolder: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    folder_type: Option<&'a RawValue>,
}

/// Reads the answer to an upload as the name that LoadImage expects; `None` if it is not a safe file name.
fn stored_name(json: &str) -> Option<String> {
    let UploadedFile { name, subfolder, folder_type } = python_json::object(json)?;
    let file = RemoteFile::from_parts(name, subfolder, folder_type).ok()?;
    let folder = file.subfolder.trim_end_matches('/');
    if is_absolute(&file.subfolder) {
        return None;
    }
    Some(if folder.is_empty() { file.filename } else { format!("{folder}/{}", file.filename) })
}

#[cfg(test)]
mod tests {
    use super::{safe_name, stored_name};

    #[test]
    fn a_name_is_made_safe() {
        assert_eq!(safe_name("0f3a.png"), "0f3a.png");
        assert_eq!(safe_name("../a b\"\r\nü.png"), "_a_b____.png");
        assert_eq!(safe_name("..."), "input");
        let long = format!("{}.png", "x".repeat(300));
        assert_eq!(safe_name(&long).len(), super::UPLOAD_NAME_BYTES_MAX);
        assert!(safe_name(&long).ends_with(".png"));
    }

    #[test]
    fn the_returned_name_is_used_if_it_is_safe() {
        assert_eq!(stored_name(r#"{"name":"a (1).png","subfolder":"","type":"input"}"#).as_deref(), Some("a (1).png"));
        assert_eq!(
            stored_name(r#"{"name":"a.png","subfolder":"x/y","type":"input","asset":{}}"#).as_deref(),
            Some("x/y/a.png")
        );
        for odd in [r#"{"name":"../a"}"#, r#"{"name":"/srv/a"}"#, r#"{"name":5}"#, "[]", "{}", "<html>"] {
            assert!(stored_name(odd).is_none(), "{odd}");
        }
    }
}
