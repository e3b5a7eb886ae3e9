//! The error envelope, and the id of the current request.

use crate::settings::limits::RETRY_AFTER_SECONDS;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Error types produced by this module; the API's documentation lists them beside its own.
pub const ERROR_TYPES: &[&str] = &["bad_request", "internal", "overloaded", "not_ready", "request_timeout"];

tokio::task_local! {
    pub(super) static REQUEST_ID: Arc<str>;
}

/// Returns the id of the request being answered (`X-Request-Id`); a new one outside of [`super::serve()`].
pub fn request_id() -> Arc<str> {
    REQUEST_ID.try_with(Arc::clone).unwrap_or_else(|_outside| new_request_id())
}

pub(super) fn new_request_id() -> Arc<str> {
    uuid::Uuid::new_v4().simple().to_string().into()
}

/// Makes the error envelope: `{"code":422,"message":"…","error":{"type":"…","details":[…],"requestId":"…"}}`.
///
/// `details` is a list; `null` becomes an empty one. A 429 or 503 gets a `Retry-After` header (insert another to change
/// it), a 401 gets `WWW-Authenticate: Bearer`.
pub fn error_response(status: StatusCode, kind: &str, message: &str, details: Value) -> Response {
    let body = envelope(status, kind, message, details, &request_id());
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    let headers = response.headers_mut();
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}

pub(super) fn envelope(status: StatusCode, kind: &str, message: &str, details: Value, request_id: &str) -> String {
    let details = if details.is_null() { json!([]) } else { details };
    json!({
        "code": status.as_u16(),
        "message": message,
        "error": { "type": kind, "details": details, "requestId": request_id },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_is_an_envelope_with_its_headers() {
        let answer = REQUEST_ID.scope("abc".into(), async {
            error_response(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "try later", Value::Null)
        });
        let response = answer.await;
        assert_eq!(response.headers()["retry-after"], "2");
        let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({"code":503,"message":"try later","error":{"type":"overloaded","details":[],"requestId":"abc"}})
        );
        assert_eq!(
            error_response(StatusCode::UNAUTHORIZED, "x", "y", json!([])).headers()["www-authenticate"],
            "Bearer"
        );
    }
}
