//! The WebSocket: hub, sessions, messages, close codes. Forwards the events that Redis publishes; writes nothing to
//! Redis.
//!
//! One subscription per process → [`Hub`] (orders events, serialises each once) → one bounded outbox per session →
//! socket. Start with `hub.rs`, then `session.rs`. The messages are defined in `frames.rs`, `replies.rs` and
//! `requests.rs`.
//!
//! The guide for clients:
//!
#![doc = include_str!("../api/guides/websocket.md")]

mod close;
mod frames;
mod gap_recovery;
mod handshake;
mod hub;
mod limits;
mod login;
mod membership;
mod outbox;
mod replay;
mod replies;
mod requests;
mod session;
mod status_broadcast;
mod subscription;
mod task_versions;

pub use hub::Hub;
pub use limits::Timing;

use crate::{auth::Auth, settings::FrontSettings};
use axum::{Router, routing::any};
use handshake::PendingSockets;
use std::sync::Arc;

/// Dependencies of the `/ws` route.
pub struct WsState {
    /// The registry of sessions; provides the queue and the links.
    pub hub: Hub,
    /// Verifies tokens.
    pub auth: Auth,
    /// Allowed origins and limits.
    pub settings: FrontSettings,
}

/// Returns the router of `/ws`. Client addresses come from `ConnectInfo<SocketAddr>`, which [`crate::process::serve()`]
/// adds to every request.
pub fn router(state: WsState) -> Router {
    let context = WsContext {
        hub: state.hub,
        auth: state.auth,
        settings: Arc::new(state.settings),
        pending_sockets: PendingSockets::default(),
    };
    Router::new().route("/ws", any(handshake::open)).with_state(context)
}

/// State shared by all handshakes and sessions; cheap to clone.
#[derive(Clone)]
struct WsContext {
    hub: Hub,
    auth: Auth,
    settings: Arc<FrontSettings>,
    pending_sockets: PendingSockets,
}
