//! Bytes from and to an instance, streamed: GET /view, POST /upload/image (protocol §8).

use super::{
    Client, Download, Error, RemoteFile,
    http::{Reply, broke, check},
    limits, python_json,
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
use serde_json::Value;
use std::{
    io,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Longest name of an upload, bytes.
const UPLOAD_NAME_BYTES_MAX: usize = 100;

/// What is known of a body while it is being sent.
#[derive(Default)]
struct Feed {
    chunks: AtomicU64,
    fault: OnceLock<String>,
}

impl Client {
    /// GET /view.
    ///
    /// # Errors
    /// `NotFound`: there is no such file. The stream ends with an error when it breaks off or is shorter than it should be.
    pub async fn view(&self, file: &RemoteFile) -> Result<Download, Error> {
        let timeout = self.http.timeout;
        let request = self.http.get("/view").query(&[
            ("filename", file.filename.as_str()),
            ("subfolder", file.subfolder.as_str()),
            ("type", file.folder_type.as_str()),
        ]);
        let response =
            tokio::time::timeout(timeout, request.send()).await.map_err(|_| stalled(timeout))?.map_err(broke)?;
        check(response.status())?;
        if response.status() != StatusCode::OK {
            return Err(Error::Broken(format!("answered {} to a download", response.status())));
        }
        let size_bytes = response.content_length();
        let bytes = stream::try_unfold((response, 0_u64), move |(mut response, got)| async move {
            let chunk = tokio::time::timeout(timeout, response.chunk()).await.map_err(|_| stalled(timeout))?;
            match chunk.map_err(broke)? {
                Some(chunk) => {
                    let got = got + chunk.len() as u64;
                    Ok(Some((chunk, (response, got))))
                }
                None if size_bytes.is_some_and(|size_bytes| size_bytes != got) => {
                    Err(Error::Unreachable(format!("the file ended after {got} bytes")))
                }
                None => Ok(None),
            }
        });
        Ok(Download { size_bytes, bytes: bytes.boxed() })
    }

    /// POST /upload/image with `overwrite=true`; gives the name to write into the graph (`subfolder/name`).
    ///
    /// # Errors
    /// `Refused`: too large for it, or `bytes` could not be read or are not `size_bytes` long.
    pub async fn upload(
        &self,
        subfolder: &str,
        filename: &str,
        size_bytes: u64,
        bytes: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<String, Error> {
        let feed = Arc::new(Feed::default());
        let body = Body::wrap_stream(metered(bytes, size_bytes, Arc::clone(&feed)));
        let file = Part::stream_with_length(body, size_bytes).file_name(plain_name(filename));
        let mut form = Form::new().text("type", "input").text("overwrite", "true");
        if !subfolder.is_empty() {
            form = form.text("subfolder", subfolder.to_owned());
        }
        let request = self.http.post("/upload/image").multipart(form.part("image", file));
        let exchange = async { Reply::read(request.send().await.map_err(broke)?, limits::REPLY_BYTES_MAX).await };
        let reply = match while_fed(exchange, &feed.chunks, self.http.timeout).await {
            Some(Ok(reply)) => reply,
            Some(Err(error)) => {
                let fault = feed.fault.get();
                return Err(fault.map_or(error, |fault| Error::Refused(format!("the input cannot be sent: {fault}"))));
            }
            None => return Err(stalled(self.http.timeout)),
        };
        match reply.accepted() {
            Ok(body) => {
                stored_as(&body).ok_or_else(|| Error::Broken("the answer to an upload is not ComfyUI's".to_owned()))
            }
            Err(Error::NotFound) => Err(Error::Broken("404 to an upload".to_owned())),
            Err(other) => Err(other),
        }
    }
}

fn stalled(timeout: Duration) -> Error {
    Error::Unreachable(format!("nothing moved for {timeout:?}"))
}

/// Gives up when neither an answer came nor a chunk was taken for `patience` (at most twice that passes).
async fn while_fed<T>(exchange: impl Future<Output = T>, chunks: &AtomicU64, patience: Duration) -> Option<T> {
    let mut exchange = pin!(exchange);
    let mut seen = chunks.load(Ordering::Relaxed);
    loop {
        if let Ok(done) = tokio::time::timeout(patience, &mut exchange).await {
            return Some(done);
        }
        let now = chunks.load(Ordering::Relaxed);
        if now == seen {
            return None;
        }
        seen = now;
    }
}

/// Counts what is taken, and fails a body that is not as long as was announced.
fn metered(
    bytes: BoxStream<'static, io::Result<Bytes>>,
    size_bytes: u64,
    feed: Arc<Feed>,
) -> BoxStream<'static, io::Result<Bytes>> {
    stream::try_unfold((bytes, 0_u64, feed), move |(mut bytes, sent, feed)| async move {
        let fault = |message: String| {
            // The first fault is the one that matters.
            feed.fault.get_or_init(|| message.clone());
            io::Error::other(message)
        };
        feed.chunks.fetch_add(1, Ordering::Relaxed);
        match bytes.next().await {
            Some(Ok(chunk)) if sent + chunk.len() as u64 > size_bytes => {
                Err(fault(format!("it is longer than {size_bytes} bytes")))
            }
            Some(Ok(chunk)) => {
                let sent = sent + chunk.len() as u64;
                Ok(Some((chunk, (bytes, sent, feed))))
            }
            Some(Err(error)) => Err(fault(error.to_string())),
            None if sent < size_bytes => Err(fault(format!("it ended after {sent} of {size_bytes} bytes"))),
            None => Ok(None),
        }
    })
    .boxed()
}

/// ASCII without anything that a header or a path could take for its own (protocol §17.17).
fn plain_name(filename: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = filename.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let name = name.trim_start_matches('.');
    let start = name.len().saturating_sub(UPLOAD_NAME_BYTES_MAX);
    if name.is_empty() { "input".to_owned() } else { name[start..].to_owned() }
}

/// `{"name","subfolder","type"}` as LoadImage wants it; `None` for anything odd.
fn stored_as(body: &[u8]) -> Option<String> {
    let reply: Value = python_json::owned(&python_json::tidy(body))?;
    let mut item = reply.as_object()?.clone();
    let name = item.remove("name")?;
    item.insert("filename".to_owned(), name);
    let file = RemoteFile::from_ui(&item)?;
    let folder = file.subfolder.trim_end_matches('/');
    Some(if folder.is_empty() { file.filename } else { format!("{folder}/{}", file.filename) })
}

#[cfg(test)]
mod tests {
    use super::{plain_name, stored_as};

    #[test]
    fn a_name_is_made_plain() {
        assert_eq!(plain_name("0f3a.png"), "0f3a.png");
        assert_eq!(plain_name("../a b\"\r\nü.png"), "_a_b____.png");
        assert_eq!(plain_name("..."), "input");
        let long = format!("{}.png", "x".repeat(300));
        assert_eq!(plain_name(&long).len(), super::UPLOAD_NAME_BYTES_MAX);
        assert!(plain_name(&long).ends_with(".png"));
    }

    #[test]
    fn the_returned_name_is_used_unless_it_is_odd() {
        assert_eq!(stored_as(br#"{"name":"a (1).png","subfolder":"","type":"input"}"#).as_deref(), Some("a (1).png"));
        assert_eq!(
            stored_as(br#"{"name":"a.png","subfolder":"x/y","type":"input","asset":{}}"#).as_deref(),
            Some("x/y/a.png")
        );
        for odd in [r#"{"name":"../a"}"#, r#"{"name":5}"#, "[]", "{}", "<html>"] {
            assert!(stored_as(odd.as_bytes()).is_none(), "{odd}");
        }
    }
}
