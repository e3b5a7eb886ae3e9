//! The page at `/`, and that of the API document at `/docs`, for people: plain files of `page/` that are part of the
//! program, and the handler that serves them.
//!
//! No build step and no foreign script: what is in `page/` is what a browser runs, under a policy that forbids
//! everything else. The page uses the public API and nothing more. Invariant: an address below `/page/<version>/` never
//! changes its content while the version is ours, so that browsers may keep it; `/` itself is asked for each time. Look
//! first at [`router`].
//!
//! What it shows: what waits now (and until about when), runs, or is wrong, every instance with its progress and
//! memory; a task's story, its live preview, outputs as they come, failing node and graph. A workflow that is dropped
//! on it (the editor's format, too) becomes a form with types, ranges and choices as the instances declare them,
//! numbers kept digit by digit, to be run once, many times or over lists of values, and published under a name, in
//! versions; the fleet's config is changed with a diff and guarded against lost updates; files are dropped and deleted.
//! In Chinese and English, light and dark, by keyboard and screen reader, on a phone. Where a proxy in front passes no
//! WebSocket upgrades it asks every five seconds.

mod files;

use crate::process::error_response;
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use files::FILES;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Arc};

/// What the page may do: run, look and connect here, nothing else. Inline scripts and styles are not among it. Where downloads are
/// sent to a store of another origin, its pictures, films and sounds may be shown, too: a browser asks the policy again after a redirect.
fn policy_of(media: Option<&str>) -> String {
    let media = media.map(|origin| format!(" {origin}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:{media}; media-src 'self' blob:{media}; \
         connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
}

const INDEX: &str = "index.html";
/// The page of the API document.
const DOCS: &str = "docs/docs.html";
/// Where the address of the other files goes in [`INDEX`] and [`DOCS`].
const BASE_MARK: &str = "{base}";
/// Where the list of all modules goes: without it a browser would find them one import after the other.
const MODULES_MARK: &str = "<!-- modules -->";
/// The first bytes of the digest are enough to tell versions apart.
const VERSION_BYTES: usize = 8;

/// The files as they are served.
#[derive(Debug)]
struct Page {
    /// Of the content of all files.
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
            // The length first: no content can look like the beginning of another file.
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(name);
            hasher.update(text);
        }
        let version: String = hasher.finalize().iter().take(VERSION_BYTES).map(|byte| format!("{byte:02x}")).collect();
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
        let policy = HeaderValue::from_str(&policy_of(media)).expect("an origin is ASCII without controls");
        Self { version, policy, index: index.into(), docs: docs.into(), files }
    }
}

fn text_of(wanted: &str) -> &'static str {
    FILES.iter().find(|(name, _)| *name == wanted).map_or("", |(_, text)| text)
}

/// `GET /`, `GET /docs` and `GET /page/<version>/<file>`. HEAD answers without a body, other methods get the envelope of 405.
/// `media` is the origin of a store to which downloads are sent.
pub fn router(media: Option<&str>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/docs", get(docs))
        .route("/page/{version}/{*file}", get(file))
        .method_not_allowed_fallback(async || {
            let message = "the page is read with GET or HEAD";
            error_response(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, Value::Null)
        })
        .with_state(Arc::new(Page::new(media)))
}

async fn index(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    document(&page, unless_known(&headers, &page.version, || page.index.clone()))
}

async fn docs(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    document(&page, unless_known(&headers, &page.version, || page.docs.clone()))
}

fn document(page: &Page, mut response: Response) -> Response {
    let known = response.headers_mut();
    known.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    known.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    protect(known, &page.policy);
    response
}

async fn file(
    State(page): State<Arc<Page>>,
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some(bytes) = page.files.get(name.as_str()) else {
        return error_response(StatusCode::NOT_FOUND, "not_found", "there is no such file of the page", Value::Null);
    };
    let mut response = unless_known(&headers, &page.version, || bytes.clone());
    // Another version: an index of another process of ours, in the middle of an upgrade. It gets what there is, for once.
    let cache = if version == page.version { "public, max-age=31536000, immutable" } else { "no-store" };
    let known = response.headers_mut();
    known.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name)));
    known.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    protect(known, &page.policy);
    response
}

/// 304 for a browser that has this version already.
fn unless_known(headers: &HeaderMap, version: &str, body: impl FnOnce() -> Bytes) -> Response {
    let etag = format!("\"{version}\"");
    let asked = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = asked
        .flat_map(|value| value.split(','))
        .any(|tag| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == etag);
    let mut response =
        if is_known { StatusCode::NOT_MODIFIED.into_response() } else { (StatusCode::OK, body()).into_response() };
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

fn protect(headers: &mut HeaderMap, policy: &HeaderValue) {
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
