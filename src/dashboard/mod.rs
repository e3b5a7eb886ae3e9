//! Serves the web page at `/` and the API reference at `/docs` from the files of `page/`, which are embedded in the
//! binary.
//!
//! There is no build step and no third-party script: browsers run the files of `page/` as they are, under a Content
//! Security Policy that forbids everything else. The page uses only the public API. Invariant: the content of a URL
//! below `/page/<version>/` never changes while that version is served, so browsers may cache it forever; `/` itself is
//! revalidated on each visit. Start reading at [`router`].
//!
//! The page shows waiting tasks with their reasons and estimated starts, running tasks, current problems, and every
//! instance with its progress and memory; for each task its timeline, live preview, outputs as they are produced,
//! failed node and graph. A workflow dropped on the page (also in the editor format) becomes a form with the types,
//! bounds and options that the instances declare, and with every number preserved digit by digit. It is run once, many
//! times or as a sweep, and can be published under a name, in versions. The fleet config is edited with a diff and
//! protected against lost updates; files are uploaded and deleted. Languages are Chinese and English, themes light and
//! dark; keyboard, screen readers and phones are supported. Where a proxy blocks WebSockets, the page polls every five
//! seconds.
//!
//! | folder of `page/` | holds |
//! |---|---|
//! | `views/` | one file per route, and the frame around them (`shell.js`) |
//! | `components/` | parts of views: `ui/`, `form/`, `files/`, `fleet/`, `task/`, `workflow/` |
//! | `live/` | WebSocket, live state, data that refreshes itself |
//! | `base/` | API client, DOM, routes, session, languages, lossless JSON |
//! | `words/` | messages in both languages, with the same keys |
//! | `docs/` | the API reference |

mod page_files;

use crate::process::error_response;
use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use page_files::FILES;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Arc};

/// Content Security Policy of the page: scripts, styles and connections of this origin only, nothing inline. `media` is
/// the origin of an object store to which downloads are redirected: images, video and audio may come from it, because
/// browsers apply the policy again after a redirect.
fn content_security_policy(media: Option<&str>) -> String {
    let media = media.map(|origin| format!(" {origin}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:{media}; media-src 'self' blob:{media}; \
         connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
}

const INDEX: &str = "index.html";
/// The API reference.
const DOCS: &str = "docs/docs.html";
/// Placeholder in [`INDEX`] and [`DOCS`] for the base URL of the other files.
const BASE_MARK: &str = "{base}";
/// Placeholder for the preload links of all modules. Without them, a browser would discover modules one import at a time.
const MODULES_MARK: &str = "<!-- modules -->";
/// Bytes of the digest that identify a version.
const VERSION_DIGITS: usize = 16;

/// The files in the form in which they are served.
#[derive(Debug)]
struct Page {
    /// Digest of the content of all files.
    version: String,
    policy: HeaderValue,
    index: Bytes,
    docs: Bytes,
    files: HashMap<&'static str, Bytes>,
}

impl Page {
    fn new(media: Option<&str>) -> Self {
        let mut hasher = Sha256::new();
        for (name, text) in FILES {
            // Hash the length first, so that the boundary between files is unambiguous.
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(name);
            hasher.update(text);
        }
        let version = format!("{:.VERSION_DIGITS$x}", hasher.finalize());
        let base = format!("page/{version}");
        let modules: Vec<String> = FILES
            .iter()
            .filter(|(name, _)| name.ends_with(".js") && *name != "theme.js" && !name.starts_with("docs/"))
            .map(|(name, _)| format!("<link rel=\"modulepreload\" href=\"{base}/{name}\">"))
            .collect();
        let index = text_of(INDEX).replace(BASE_MARK, &base).replace(MODULES_MARK, &modules.join("\n  "));
        let docs = text_of(DOCS).replace(BASE_MARK, &base);
        let files = FILES.iter().filter(|(name, _)| ![INDEX, DOCS].contains(name));
        let files = files.map(|(name, text)| (*name, Bytes::from_static(text.as_bytes()))).collect();
        let policy =
            HeaderValue::from_str(&content_security_policy(media)).expect("an origin is ASCII without controls");
        Self { version, policy, index: index.into(), docs: docs.into(), files }
    }
}

fn text_of(path: &str) -> &'static str {
    FILES.iter().find(|(name, _)| *name == path).map_or("", |(_, text)| text)
}

/// Serves `GET /`, `GET /docs` and `GET /page/<version>/<file>`. HEAD is answered without a body, other methods with the
/// 405 envelope. `media` is the origin of an object store to which downloads are redirected.
pub fn router(media: Option<&str>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/docs", get(docs))
        .route("/page/{version}/{*file}", get(file))
        .method_not_allowed_fallback(async || {
            let message = "use GET or HEAD";
            error_response(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, Value::Null)
        })
        .with_state(Arc::new(Page::new(media)))
}

async fn index(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    document(&page, unless_cached(&headers, &page.version, || page.index.clone()))
}

async fn docs(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    document(&page, unless_cached(&headers, &page.version, || page.docs.clone()))
}

fn document(page: &Page, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    add_security_headers(headers, &page.policy);
    response
}

async fn file(
    State(page): State<Arc<Page>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    // A path that is not UTF-8 names no file.
    let found = path.ok().and_then(|Path((version, name))| Some((page.files.get(name.as_str())?, version, name)));
    let Some((bytes, version, name)) = found else {
        return error_response(StatusCode::NOT_FOUND, "not_found", "page file not found", Value::Null);
    };
    let mut response = unless_cached(&headers, &page.version, || bytes.clone());
    // Another version was requested by an index of another process, during an upgrade. Serve the current file, uncached.
    let cache = if version == page.version { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    add_security_headers(headers, &page.policy);
    response
}

/// Returns 304 if the request's `If-None-Match` names this version, otherwise 200 with `body`.
fn unless_cached(headers: &HeaderMap, version: &str, body: impl FnOnce() -> Bytes) -> Response {
    let etag = format!("\"{version}\"");
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_cached = tags
        .flat_map(|value| value.split(','))
        .any(|tag| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == etag);
    let mut response =
        if is_cached { StatusCode::NOT_MODIFIED.into_response() } else { (StatusCode::OK, body()).into_response() };
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

fn add_security_headers(headers: &mut HeaderMap, policy: &HeaderValue) {
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
