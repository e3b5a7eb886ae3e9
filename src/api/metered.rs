//! Measures every request by its route's template, never by its path: labels stay few.

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use std::time::Instant;

/// Runs the request and counts it.
pub(super) async fn metered(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    tracing::debug!(%method, route, status = response.status().as_u16(), seconds = begun.elapsed().as_secs_f64());
    response
}
