//! `GET /upload/file/:fileId`: the bytes. No login, because an `<img>` cannot send one: the id is 122 random bits. Inert: nothing
//! served here runs in a browser under our name.

use super::{
    ApiState,
    error::{ApiError, Result},
    extract::PathId,
    query::Query,
    range::{Wanted, wanted},
    thumbnail,
};
use crate::{queue::FileRecord, store::Download, task::FileId};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};

/// What stands behind an id never changes.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
const SANDBOX: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// The file, or the part of it that `Range` asks for.
pub(super) async fn download(
    State(state): State<ApiState>,
    PathId(id): PathId,
    query: Query,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    query.only(&["w"])?;
    let side = thumbnail::side(&query)?;
    let id: FileId = id.parse().map_err(|_| ApiError::NotFound("such file"))?;
    let record = state.queue.file(id).await?.ok_or(ApiError::NotFound("such file"))?;
    if let Some(side) = side {
        return small(&state, record, side, &method, &headers).await;
    }
    let etag = format!("\"{}\"", record.sha256);
    let range = match wanted(&headers, &etag, record.size_bytes) {
        Wanted::Unchanged => return Ok(not_modified(&etag)),
        Wanted::Outside => return Err(ApiError::RangeNotSatisfiable(record.size_bytes)),
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range),
    };
    let span = range.clone().unwrap_or(0..record.size_bytes);
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let Download { bytes, .. } = state.store.read(id, range.clone()).await?;
        Body::from_stream(bytes)
    };
    let mut response = Response::new(body);
    describe(response.headers_mut(), &record, &etag);
    set(response.headers_mut(), header::CONTENT_LENGTH, &(span.end - span.start).to_string());
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let content_range = format!("bytes {}-{}/{}", span.start, span.end - 1, record.size_bytes);
        set(response.headers_mut(), header::CONTENT_RANGE, &content_range);
    }
    Ok(response)
}

/// A thumbnail; never in parts.
async fn small(
    state: &ApiState,
    record: FileRecord,
    side: u32,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response> {
    let etag = format!("\"{}-{side}\"", record.sha256);
    if wanted(headers, &etag, 0) == Wanted::Unchanged {
        return Ok(not_modified(&etag));
    }
    let made = state.thumbnails.get(state, &record, side).await?;
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(made.bytes.clone()) };
    let mut response = Response::new(body);
    describe(response.headers_mut(), &FileRecord { content_type: made.content_type.to_owned(), ..record }, &etag);
    set(response.headers_mut(), header::CONTENT_LENGTH, &made.bytes.len().to_string());
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    Ok(response)
}

fn not_modified(etag: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    set(response.headers_mut(), header::ETAG, etag);
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
    response
}

fn describe(headers: &mut HeaderMap, record: &FileRecord, etag: &str) {
    let content_type = match record.content_type.as_str() {
        "text/plain" => "text/plain; charset=utf-8",
        other => other,
    };
    let kind = if is_inert(&record.content_type) { "inline" } else { "attachment" };
    set(headers, header::CONTENT_TYPE, content_type);
    set(headers, header::CONTENT_DISPOSITION, &disposition(kind, &record.filename));
    set(headers, header::ETAG, etag);
    headers.insert(header::CACHE_CONTROL, CACHE);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// A text that cannot be a header's value is left out rather than sent half.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// What a browser only shows. SVG is a picture that can run scripts.
fn is_inert(content_type: &str) -> bool {
    let is_medium = ["image/", "audio/", "video/"].iter().any(|prefix| content_type.starts_with(prefix));
    content_type == "text/plain" || is_medium && !content_type.contains("svg")
}

/// RFC 6266: a plain name for old readers, and the real one as RFC 8187 has it.
fn disposition(kind: &str, filename: &str) -> String {
    let plain: String = filename
        .chars()
        .map(
            |letter| if letter == ' ' || letter.is_ascii_graphic() && !"\"\\%".contains(letter) { letter } else { '_' },
        )
        .collect();
    let exact: String = filename
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::{disposition, is_inert};

    #[test]
    fn names_cannot_leave_their_header() {
        for (name, expected) in [
            ("a b.png", "inline; filename=\"a b.png\"; filename*=UTF-8''a%20b.png"),
            ("主.png", "inline; filename=\"_.png\"; filename*=UTF-8''%E4%B8%BB.png"),
            ("a\"\r\nX: y", "inline; filename=\"a___X: y\"; filename*=UTF-8''a%22%0D%0AX%3A%20y"),
            ("a\\%41;'", "inline; filename=\"a__41;'\"; filename*=UTF-8''a%5C%2541%3B%27"),
        ] {
            assert_eq!(disposition("inline", name), expected);
        }
    }

    #[test]
    fn only_media_and_plain_text_are_shown() {
        for shown in ["image/png", "image/webp", "video/mp4", "audio/mpeg", "text/plain"] {
            assert!(is_inert(shown), "{shown}");
        }
        for attached in ["text/html", "image/svg+xml", "application/pdf", "application/octet-stream", "text/xml", ""] {
            assert!(!is_inert(attached), "{attached}");
        }
    }
}
