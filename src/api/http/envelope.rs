//! Envelope of a success: `{"code":200,"data":…}`.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Response 200 with `data`.
pub(crate) struct Answer<T>(pub(crate) T);

/// Envelope of every success.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Envelope<T> {
    /// The HTTP status.
    #[schema(minimum = 200, maximum = 200)]
    code: u16,
    /// The result.
    data: T,
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&Envelope { code: 200, data: &self.0 }) {
            Ok(json) => json_response(json),
            Err(error) => {
                tracing::error!(%error, "response not serialized");
                crate::api::ApiError::Internal.into_response()
            }
        }
    }
}

fn json_response(json: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
