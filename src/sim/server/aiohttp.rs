//! Replies byte for byte as aiohttp's, and request bodies as it reads them.

use crate::sim::{engine::incarnation::Life, python};
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::StreamExt;
use serde_json::Value;

/// Marks a response whose connection is cut instead of answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut;

/// A response with a body of a content type.
pub(crate) fn with(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A response without a body, as `web.Response(status=…)`.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// `web.json_response`.
pub(crate) fn json(value: &Value) -> Response {
    json_text(python::dumps(value))
}

/// The same, already written.
pub(crate) fn json_text(text: String) -> Response {
    json_status(StatusCode::OK, text)
}

/// The same with a status.
pub(crate) fn json_status(status: StatusCode, text: String) -> Response {
    with(status, "application/json; charset=utf-8", text)
}

/// What an exception in a handler gives.
pub(crate) fn trouble() -> Response {
    with(
        StatusCode::INTERNAL_SERVER_ERROR,
        "text/plain; charset=utf-8",
        "500 Internal Server Error\n\nServer got itself in trouble",
    )
}

/// A connection that ends without a reply.
pub(crate) fn cut() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Cut);
    response
}

/// The body too large.
pub(crate) fn too_large(max: usize) -> Response {
    let text = format!("Maximum request body size {max} exceeded.");
    with(StatusCode::PAYLOAD_TOO_LARGE, "text/plain; charset=utf-8", text)
}

/// The whole body, or the reply to it.
pub(crate) async fn body(life: &Life, body: Body) -> Result<Bytes, Response> {
    let max = life.shared.options.upload_bytes_max;
    let mut stream = body.into_data_stream();
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| cut())?;
        if all.len() + chunk.len() > max {
            return Err(too_large(max));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.into())
}

/// The body as JSON; anything else is a 500, as in the real server.
pub(crate) async fn json_body(life: &Life, content: Body) -> Result<(Value, usize), Response> {
    let bytes = body(life, content).await?;
    let value = serde_json::from_slice(&bytes).map_err(|_| trouble())?;
    Ok((value, bytes.len()))
}
