//! What every process owes its operator and its callers: logs, signals, live/ready, serving HTTP with timeouts, the error
//! envelope, exit.
//!
//! A request's way: `serve` accepts under the connection caps → `connection` carries the bytes → `guard` gives it an id, times
//! its body, catches a panic, counts it → the router of whoever serves. Look at [`serve()`] first.
//!
//! Invariant: nothing a client sends makes a response without an `X-Request-Id`, a 5xx without an envelope, or a process that
//! holds a half-sent request for ever.

mod body;
mod connection;
mod guard;
mod health;
mod listen;
mod logs;
mod reply;
mod serve;
mod signals;
mod slots;

pub use health::{Readiness, ops_router};
pub use listen::{bind, raise_file_limit};
pub use logs::init_logs;
pub use reply::{ERROR_TYPES, error_response, request_id};
pub use serve::{ServeLimits, serve, serve_with};
pub use signals::stop_on_signals;
