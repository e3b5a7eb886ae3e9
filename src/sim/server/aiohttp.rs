//! Replies identical to those of aiohttp, and request bodies read as by aiohttp.

use crate::sim::{engine::process::Process, python};
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::StreamExt;
use serde_json::Value;

/// Marks a response whose connection is dropped instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut;

/// Returns a response with a body of a content type.
pub(crate) fn with(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Returns a response without a body, like `web.Response(status=…)`.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Python's `web.json_response`.
pub(crate) fn json(value: &Value) -> Response {
    json_text(python::dumps(value))
}

/// Like [`json()`], already serialized.
pub(crate) fn json_text(text: String) -> Response {
    json_status(StatusCode::OK, text)
}

/// Like [`json_text`], with a status.
pub(crate) fn json_status(status: StatusCode, text: String) -> Response {
    with(status, "application/json; charset=utf-8", text)
}

/// Returns the reply to an exception in a handler.
pub(crate) fn internal_error() -> Response {
    with(
        StatusCode::INTERNAL_SERVER_ERROR,
        "text/plain; charset=utf-8",
        "500 Internal Server Error\n\nServer got itself in trouble",
    )
}

/// Returns a response that drops the connection.
pub(crate) fn cut() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Cut);
    response
}

/// Returns the reply to a body that is too large.
pub(crate) fn too_large(max: usize) -> Response {
    let text = format!("Maximum request body size {max} exceeded.");
    with(StatusCode::PAYLOAD_TOO_LARGE, "text/plain; charset=utf-8", text)
}

/// Reads the whole body, or returns the reply to a failure.
pub(crate) async fn body(process: &Process, body: Body) -> Result<Bytes, Response> {
    let max = process.instance.options.upload_bytes_max;
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

/// Reads the body as JSON. Anything else is a 500, as in the real server.
pub(crate) async fn json_body(process: &Process, content: Body) -> Result<(Value, usize), Response> {
    let bytes = body(process, content).await?;
    let value = serde_json::from_slice(&bytes).map_err(|_| internal_error())?;
    Ok((value, bytes.len()))
}
