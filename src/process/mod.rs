//! Infrastructure of every process: logs, signals, liveness and readiness, the HTTP server with its limits, the error
//! envelope.
//!
//! Path of a request: `serve` accepts it within the connection limits → `linger` moves the bytes → `middleware` adds an
//! id, limits the time of its body, catches panics and counts it → the router of the process. Start with [`serve()`].
//!
//! Invariant: every response has an `X-Request-Id`, every 5xx has an envelope, and a half-sent request is never held
//! forever.

mod body_timeout;
mod connection_io;
mod connection_limit;
mod error_response;
mod health;
mod listen;
mod log_limit;
mod logs;
mod middleware;
mod serve;
mod signals;

pub use error_response::{ERROR_TYPES, error_response, request_id};
pub use health::{Readiness, ops_router};
pub use listen::{bind, raise_file_limit};
pub use log_limit::LogLimit;
pub use logs::init_logs;
pub use serve::{ServeLimits, serve, serve_with};
pub use signals::stop_on_signals;
