//! `GET /upload/file/:fileId`: the bytes. No login, because an `<img>` cannot send one: the id has 122 random bits, and in private
//! mode the link is signed. Inert: a browser never executes anything served here under our origin.

use super::thumbnail;
use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{
            extract::{PathId, Visitor},
            query::Query,
            range_headers::{Wanted, wanted},
        },
    },
    auth::{Caller, Denied},
    queue::FileRecord,
    store::{Download, Redirect},
    task::{FileId, LinkRefused},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

/// The content of an id never changes.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const SANDBOX: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// Returns the file, or the part of it that `Range` requests.
#[utoipa::path(
    get, path = "/upload/file/{id}", operation_id = "downloadFile", tag = "files", security((), ("bearer" = [])),
    params(
        ("id" = FileId, Path, description = "the file"),
        ("expires" = Option<String>, Query, description = "of a signed link (private mode)"),
        ("signature" = Option<String>, Query, description = "of a signed link (private mode)"),
        ("w" = Option<u32>, Query, description = "a small copy of a picture, at most so wide and high"),
        ("Range" = Option<String>, Header, description = "`bytes=0-99`: only this part"),
        ("If-Range" = Option<String>, Header, description = "the part only if this is still the `ETag`"),
        ("If-None-Match" = Option<String>, Header, description = "304 if this is still the `ETag`"),
    ),
    responses(
        (status = 200, description = "the bytes", content_type = "*/*", body = Vec<u8>),
        (status = 206, description = "the part of them that `Range` asks for", content_type = "*/*", body = Vec<u8>),
        (status = 302, description = "the bytes are at `Location` (`--redirect-downloads`)"),
        (status = 304, description = "nothing has changed"),
    ),
    extensions(("x-errors" = json!([
        "unauthorized", "link_expired", "not_found", "range_not_satisfiable", "storage_unavailable",
        "unsupported_media_type", "busy"
    ])))
)]
pub(crate) async fn download(
    State(state): State<ApiState>,
    PathId(id): PathId,
    method: Method,
    visitor: Visitor,
    query: Query,
    headers: HeaderMap,
) -> Result<Response> {
    query.only(&["expires", "signature", "w"])?;
    let side = thumbnail::side(&query)?;
    let id: FileId = id.parse().map_err(|_| ApiError::NotFound("such file"))?;
    let pass = admit(&state, id, visitor, &query)?;
    let record =
        state.queue.file(id).await?.filter(|record| pass.opens(record)).ok_or(ApiError::NotFound("such file"))?;
    if let Some(side) = side {
        return small(&state, record, side, &method, &headers, pass.cache()).await;
    }
    let etag = format!("\"{}\"", record.sha256);
    let range = match wanted(&headers, &etag, record.size_bytes) {
        Wanted::Unchanged => return Ok(not_modified(&etag, pass.cache())),
        Wanted::Outside => return Err(ApiError::RangeNotSatisfiable(record.size_bytes)),
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range),
    };
    if method == Method::GET
        && let Some(address) = redirect(&state, &record).await?
    {
        return Ok(address);
    }
    let span = range.clone().unwrap_or(0..record.size_bytes);
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let Download { bytes, .. } = state.store.read(record.object(), range.clone()).await?;
        Body::from_stream(bytes)
    };
    let mut response = Response::new(body);
    describe(response.headers_mut(), &record, &etag);
    response.headers_mut().insert(header::CACHE_CONTROL, pass.cache());
    set(response.headers_mut(), header::CONTENT_LENGTH, &(span.end - span.start).to_string());
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let content_range = format!("bytes {}-{}/{}", span.start, span.end - 1, record.size_bytes);
        set(response.headers_mut(), header::CONTENT_RANGE, &content_range);
    }
    Ok(response)
}

/// Reason why a download is allowed.
enum Pass {
    /// Public mode: everyone who knows the id.
    Anybody,
    /// A signed link, valid for this time.
    Link(Duration),
    /// A login.
    Login(Caller),
}

impl Pass {
    fn opens(&self, record: &FileRecord) -> bool {
        match self {
            Self::Anybody | Self::Link(_) => true,
            Self::Login(caller) => caller.may_read(&record.owner),
        }
    }

    /// Returns the caching rule: a browser may keep the file as long as it could request it again.
    fn cache(&self) -> HeaderValue {
        match self {
            Self::Anybody => CACHE,
            Self::Link(left) => {
                HeaderValue::from_str(&format!("private, max-age={}", left.as_secs())).unwrap_or(NO_STORE)
            }
            Self::Login(_) => NO_STORE,
        }
    }
}

/// Decides whether a download is allowed: by a valid link, else by a login, which needs no valid link.
fn admit(state: &ApiState, id: FileId, visitor: Visitor, query: &Query) -> Result<Pass> {
    if !state.links.are_signed() {
        return Ok(Pass::Anybody);
    }
    let caller = visitor.caller()?;
    let link = match (query.one("expires")?, query.one("signature")?) {
        (Some(expires), Some(signature)) => state.links.check(id, expires, signature),
        _ => Err(LinkRefused::NotSigned),
    };
    match (link, caller) {
        (Ok(left), _) => Ok(Pass::Link(left)),
        (Err(_), Some(caller)) => Ok(Pass::Login(caller)),
        (Err(LinkRefused::NotSigned), None) => Err(Denied::Token.into()),
        (Err(LinkRefused::Expired), None) => Err(ApiError::LinkExpired),
    }
}

/// Returns a redirect to the store, if that is configured. The client requests the part that it wants there.
async fn redirect(state: &ApiState, record: &FileRecord) -> Result<Option<Response>> {
    let (content_type, disposition) = (shown_type(record), shown_disposition(record));
    let look = Redirect { content_type, disposition: &disposition };
    let Some(address) = state.store.redirect(record.object(), look).await? else { return Ok(None) };
    let mut response = StatusCode::FOUND.into_response();
    set(response.headers_mut(), header::LOCATION, &address);
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    Ok(Some(response))
}

/// Returns a thumbnail; never in parts.
async fn small(
    state: &ApiState,
    record: FileRecord,
    side: u32,
    method: &Method,
    headers: &HeaderMap,
    cache: HeaderValue,
) -> Result<Response> {
    let etag = format!("\"{}-{side}\"", record.sha256);
    if wanted(headers, &etag, 0) == Wanted::Unchanged {
        return Ok(not_modified(&etag, cache));
    }
    let made = state.thumbnails.get(state, &record, side).await?;
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(made.bytes.clone()) };
    let mut response = Response::new(body);
    describe(response.headers_mut(), &FileRecord { content_type: made.content_type.to_owned(), ..record }, &etag);
    set(response.headers_mut(), header::CONTENT_LENGTH, &made.bytes.len().to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    Ok(response)
}

fn not_modified(etag: &str, cache: HeaderValue) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    set(response.headers_mut(), header::ETAG, etag);
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    response
}

fn describe(headers: &mut HeaderMap, record: &FileRecord, etag: &str) {
    set(headers, header::CONTENT_TYPE, shown_type(record));
    set(headers, header::CONTENT_DISPOSITION, &shown_disposition(record));
    set(headers, header::ETAG, etag);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn shown_type(record: &FileRecord) -> &str {
    match record.content_type.as_str() {
        "text/plain" => "text/plain; charset=utf-8",
        "text/csv" => "text/csv; charset=utf-8",
        "text/markdown" => "text/markdown; charset=utf-8",
        "text/vtt" => "text/vtt; charset=utf-8",
        other => other,
    }
}

fn shown_disposition(record: &FileRecord) -> String {
    disposition(if is_inert(&record.content_type) { "inline" } else { "attachment" }, &record.filename)
}

/// Sets a header. A text that is no valid header value is left out.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Whether a browser only displays this type. SVG is an image that can run scripts.
fn is_inert(content_type: &str) -> bool {
    let is_medium = ["image/", "audio/", "video/"].iter().any(|prefix| content_type.starts_with(prefix));
    content_type == "text/plain" || is_medium && !content_type.contains("svg")
}

/// Characters that RFC 3986 leaves as they are; everything else in a name is percent-encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// Returns a `Content-Disposition` (RFC 6266): an ASCII name for old clients, and the real one in the form of RFC 8187.
fn disposition(kind: &str, filename: &str) -> String {
    let plain: String = filename
        .chars()
        .map(
            |letter| if letter == ' ' || letter.is_ascii_graphic() && !"\"\\%".contains(letter) { letter } else { '_' },
        )
        .collect();
    let exact = utf8_percent_encode(filename, UNRESERVED);
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
        for attached in ["text/csv", "text/markdown", "application/json", "model/obj", "application/zip"] {
            assert!(!is_inert(attached), "{attached}");
        }
        for attached in ["text/html", "image/svg+xml", "application/pdf", "application/octet-stream", "text/xml", ""] {
            assert!(!is_inert(attached), "{attached}");
        }
    }
}
