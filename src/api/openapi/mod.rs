//! OpenAPI document, served at `GET /api/openapi.json`: made from the routes, with schemas as strict as the program.
//!
//! Handlers declare their parameters, body and response in `#[utoipa::path]`, and in `x-errors` the words of `error.type` that
//! only they have. Added here: the errors of every operation ([`errors`]), strict schemas ([`tighten`]),
//! examples ([`examples`]), and guides ([`guides`]) for what is longer than a sentence. Tests check every response of the API tests
//! against the document. Look first at [`document`].

mod errors;
mod examples;
mod guides;
mod schemas;
mod tighten;

pub(super) use super::http::envelope::Envelope;
pub(super) use schemas::{
    ConfigBody, Form, Health, Include, LoginBody, Nodes, Submitted, SwitchBody, TaskBody, Unhealthy, UploadForm,
    WorkflowBody,
};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::LazyLock;

const ABOUT: &str = "Tasks for a fleet of ComfyUI instances.\n\n\
    Every answer is an envelope: `{\"code\":200,\"data\":…}`, or `{\"code\":422,\"message\":\"…\",\"error\":{\"type\":\"…\",\
    \"details\":[…],\"requestId\":\"…\"}}`. `error.type` never changes its meaning. Every answer has `X-Request-Id`; a 429 or 503 \
    has `Retry-After` in seconds. Unknown members and query parameters are refused with 400, unknown methods with 405. Times are \
    RFC 3339 in UTC with milliseconds; durations end in `Ms`. Numbers of a workflow stay as they came, digit by digit.\n\n\
    News come on the WebSocket `/ws`: see **websocket** below. How values get into a workflow is under **params**, every word of \
    `error.type` under **errors**. `POST /api/auth/login` gives the token that all else needs.";

static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));

/// Returns the whole document.
pub fn document() -> Value {
    let mut document = serde_json::to_value(super::routes().into_openapi()).unwrap_or_default();
    document["info"] = json!({
        "title": "shuzhiren-comfyui",
        "version": env!("CARGO_PKG_VERSION"),
        "description": ABOUT,
    });
    document["servers"] = json!([{ "url": "/", "description": "here" }]);
    document["security"] = json!([{ "bearer": [] }]);
    document["tags"] = guides::tags();
    document["components"]["securitySchemes"] = json!({
        "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "the `token` of a login" },
    });
    tighten::finish(&mut document);
    errors::add(&mut document);
    examples::add(&mut document);
    document
}

/// Returns this document.
#[utoipa::path(
    get, path = "/api/openapi.json", operation_id = "getOpenApi", tag = "monitor", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(super) async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], TEXT.clone()).into_response()
}
