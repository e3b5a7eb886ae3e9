//! Middleware of every request: adds an id, limits the time of its body, catches panics and counts it.

use super::{
    body_timeout::{BodyLimit, TimedBody},
    connection_io::ConnectionState,
    error_response::{REQUEST_ID, error_response, new_request_id},
    serve::ServeLimits,
};
use crate::metrics;
use axum::{
    body::{Body, HttpBody},
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt;
use serde_json::Value;
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Runs the request; never fails or panics.
pub(super) async fn guard(limits: ServeLimits, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = new_request_id();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();

    let mut response = REQUEST_ID.scope(id.clone(), answer(limits, request, next)).await;

    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    let (route, status) = (route.as_ref().map_or("none", MatchedPath::as_str), response.status());
    let took = begun.elapsed();
    metrics::http_request(&method, route, status.as_u16(), took);
    tracing::debug!(request = %id, %method, route, status = status.as_u16(), ms = took.as_secs_f64() * 1e3, "answered");
    response
}

async fn answer(limits: ServeLimits, request: Request, next: Next) -> Response {
    if !is_origin_form(request.uri()) {
        return error_response(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "the request target must be a path: this server is not a proxy",
            Value::Null,
        );
    }
    let late = Arc::new(AtomicBool::new(false));
    let request = timed(limits, request, &late);
    let Ok(response) = AssertUnwindSafe(next.run(request)).catch_unwind().await else {
        // The panic hook has already logged and counted it.
        return error_response(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "internal error; the log has details under the request id",
            Value::Null,
        );
    };
    if late.load(Ordering::Relaxed) && !response.status().is_success() {
        return error_response(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the body did not arrive in time",
            Value::Null,
        );
    }
    response
}

/// Whether the target is `/path?query`, not `http://other/…`, `host:port` (CONNECT) or `*`.
fn is_origin_form(uri: &Uri) -> bool {
    uri.authority().is_none() && uri.path().starts_with('/')
}

fn timed(limits: ServeLimits, request: Request, late: &Arc<AtomicBool>) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    let connection = request.extensions().get::<Arc<ConnectionState>>().cloned();
    let allowed =
        if is_upload(request.headers()) { BodyLimit::PerChunk(limits.body) } else { BodyLimit::Total(limits.body) };
    request.map(|body| Body::new(TimedBody::new(body, allowed, late.clone(), connection)))
}

fn is_upload(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.as_bytes().get(..10))
        .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
}
