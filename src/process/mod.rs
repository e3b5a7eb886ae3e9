//! What every process owes its operator and its callers: logs, signals, live/ready, serving HTTP with timeouts, the error
//! envelope, exit.

use axum::{Router, http::StatusCode, response::Response};
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Starts logging; called once.
pub fn init_logs(_settings: &crate::settings::LogSettings) -> Result<(), String> {
    todo!("helper process")
}

/// Cancelled at the first SIGINT or SIGTERM; a second one exits at once with 130 or 143.
pub fn stop_on_signals() -> CancellationToken {
    todo!("helper process")
}

/// Whether the process may get traffic, and what it still waits for.
#[derive(Debug, Clone, Default)]
pub struct Readiness {}

impl Readiness {
    /// Ready, or not with this reason.
    pub fn set(&self, _part: &'static str, _state: Result<(), String>) {
        todo!("helper process")
    }
}

/// `/livez`, `/readyz`, `/healthz` and `/metrics`.
pub fn ops_router(_readiness: Readiness) -> Router {
    todo!("helper process")
}

/// Binds, with one clear line on failure (`127.0.0.1:3000 is in use: …`).
pub async fn bind(_listen: SocketAddr) -> Result<TcpListener, String> {
    todo!("helper process")
}

/// Serves until `stop`, then finishes requests for at most `drain`. Head timeout, connection cap, X-Request-Id on every
/// response, panics as 500, nosniff, no Server header.
pub async fn serve(_listener: TcpListener, _router: Router, _stop: CancellationToken, _drain: Duration) {
    todo!("helper process")
}

/// The error envelope: `{"code":422,"message":"…","error":{"type":"…","details":[…],"requestId":"…"}}`.
pub fn error_response(_status: StatusCode, _kind: &str, _message: &str, _details: serde_json::Value) -> Response {
    todo!("helper process")
}
