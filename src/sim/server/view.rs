//! `GET /view`: a file by name, with ranges and etags, and the faults of downloads.

use crate::sim::{
    engine::process::Process,
    file_paths::{folder_type, normalized, relative, split_annotation},
    files::File,
    lock::lock,
    nodes::media_bytes,
    server::aiohttp,
};
use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

pub(crate) async fn view(
    State(process): State<Arc<Process>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if process.instance.strikes(|faults| &mut faults.view_404) {
        return aiohttp::empty(StatusCode::NOT_FOUND);
    }
    if process.instance.strikes(|faults| &mut faults.view_500) {
        return aiohttp::internal_error();
    }
    let Some(requested) = query.get("filename") else { return aiohttp::empty(StatusCode::NOT_FOUND) };
    let (filename, annotation) = split_annotation(requested);
    if filename.is_empty() || filename.starts_with('/') || filename.contains("..") {
        return aiohttp::empty(StatusCode::BAD_REQUEST);
    }
    let kind = annotation.or_else(|| folder_type(query.get("type").map_or("output", String::as_str)));
    let Some(kind) = kind else { return aiohttp::empty(StatusCode::BAD_REQUEST) };
    let Some(subfolder) = normalized(relative(kind, query.get("subfolder").map_or("", String::as_str))) else {
        return aiohttp::empty(StatusCode::FORBIDDEN);
    };
    let name = filename.rsplit('/').next().unwrap_or(filename).to_owned();
    let key = (kind, subfolder, name.clone());
    let (Some(file), Some(content)) = (process.instance.files.metadata(&key), process.instance.files.read(&key).await)
    else {
        return aiohttp::empty(StatusCode::NOT_FOUND);
    };
    if let Some(preview) = query.get("preview") {
        return preview_response(&name, &content, preview);
    }
    if matches!(query.get("channel").map(String::as_str), Some("rgb" | "a")) {
        let is_picture = infer::is_image(&content);
        return if is_picture { named("image/png", &name, content) } else { aiohttp::internal_error() };
    }
    let response = full_response(&name, &file, content, &headers);
    if response.status() == StatusCode::OK && process.instance.strikes(|faults| &mut faults.view_truncate) {
        return truncated(response, file.bytes).await;
    }
    let pause_ms = lock(&process.instance.faults).view_trickle_ms;
    if pause_ms > 0 {
        return trickling(response, Duration::from_millis(pause_ms)).await;
    }
    response
}

/// Sends the body byte by byte with pauses, so that the download makes progress but does not end in time.
async fn trickling(response: Response, pause: Duration) -> Response {
    let (parts, body) = response.into_parts();
    let content = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let stream = futures_util::stream::unfold(0, move |at| {
        let byte = (at < content.len()).then(|| content.slice(at..=at));
        async move {
            tokio::time::sleep(pause).await;
            byte.map(|byte| (Ok::<_, io::Error>(byte), at + 1))
        }
    });
    Response::from_parts(parts, Body::from_stream(stream))
}

fn preview_response(name: &str, content: &Bytes, preview: &str) -> Response {
    if !infer::is_image(content) {
        return aiohttp::internal_error();
    }
    if preview.split(';').next() == Some("jpeg") {
        return named("image/jpeg", name, Bytes::from_static(media_bytes::PREVIEW));
    }
    named("image/webp", name, media_bytes::webp(64, 64, 1).into())
}

fn named(content_type: &'static str, name: &str, content: Bytes) -> Response {
    let mut response = aiohttp::with(StatusCode::OK, content_type, content);
    set(&mut response, header::CONTENT_DISPOSITION, &format!("filename=\"{name}\""));
    response
}

/// Sets a header, unless the text is not a valid value (a file name with a line break).
fn set(response: &mut Response, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
        response.headers_mut().insert(name, value);
    }
}

fn full_response(name: &str, file: &File, content: Bytes, headers: &HeaderMap) -> Response {
    let nanos = file.modified.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let etag = format!("\"{nanos:x}-{:x}\"", file.bytes);
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let content_type = content_type(name);
    let mut response = if text(header::IF_NONE_MATCH).is_some_and(|known| known.contains(&etag)) {
        aiohttp::empty(StatusCode::NOT_MODIFIED)
    } else {
        match text(header::RANGE).map(|asked| range(asked, content.len())) {
            None => aiohttp::with(StatusCode::OK, "application/octet-stream", content),
            Some(Some((from, to))) => {
                let mut part =
                    aiohttp::with(StatusCode::PARTIAL_CONTENT, "application/octet-stream", content.slice(from..=to));
                set(&mut part, header::CONTENT_RANGE, &format!("bytes {from}-{to}/{}", content.len()));
                part
            }
            Some(None) => {
                let mut refused = aiohttp::empty(StatusCode::RANGE_NOT_SATISFIABLE);
                set(&mut refused, header::CONTENT_RANGE, &format!("bytes */{}", content.len()));
                refused
            }
        }
    };
    set(&mut response, header::CONTENT_TYPE, &content_type);
    set(&mut response, header::CONTENT_DISPOSITION, &format!("filename=\"{name}\""));
    set(&mut response, header::ETAG, &etag);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    if let Ok(time) = jiff::Timestamp::try_from(file.modified) {
        set(&mut response, header::LAST_MODIFIED, &time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    }
    response
}

fn content_type(name: &str) -> String {
    let guessed = mime_guess::from_path(name).first_or_octet_stream();
    match guessed.essence_str() {
        "text/html" | "application/xhtml+xml" | "text/javascript" | "text/css" => "application/octet-stream".to_owned(),
        other => other.to_owned(),
    }
}

/// Parses `bytes=a-b`, `bytes=a-` and `bytes=-n`; `None` if the range is not satisfiable.
fn range(asked: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let last = length.checked_sub(1)?;
    let (from, to) = match (from.parse::<usize>().ok(), to.parse::<usize>().ok()) {
        (Some(from), to) => (from, to.unwrap_or(last).min(last)),
        (None, Some(tail)) if tail > 0 => (length.saturating_sub(tail), last),
        (None, _) => return None,
    };
    (from <= to).then_some((from, to))
}

/// Announces the full length, sends half of it and drops the connection.
async fn truncated(response: Response, bytes: usize) -> Response {
    let (mut parts, body) = response.into_parts();
    let content = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let half = content.slice(..content.len() / 2);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    let chunks = [Ok(half), Err(io::Error::new(io::ErrorKind::ConnectionReset, "connection dropped by a fault"))];
    // The error must come later than the chunk: hyper discards unsent data when it sees the error.
    let stream = futures_util::stream::unfold(chunks.into_iter(), |mut chunks| async {
        let chunk = chunks.next()?;
        if chunk.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Some((chunk, chunks))
    });
    Response::from_parts(parts, Body::from_stream(stream))
}

#[cfg(test)]
mod tests {
    use super::{content_type, range};

    #[test]
    fn ranges_are_parsed() {
        assert_eq!(range("bytes=0-9", 84), Some((0, 9)));
        assert_eq!(range("bytes=80-", 84), Some((80, 83)));
        assert_eq!(range("bytes=-4", 84), Some((80, 83)));
        assert_eq!(range("bytes=84-", 84), None);
        assert_eq!(range("bytes=0-", 0), None);
        assert_eq!(content_type("v.html"), "application/octet-stream");
    }
}
