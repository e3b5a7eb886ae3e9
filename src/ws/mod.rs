//! The WebSocket: hub, sessions, messages, close codes. Forwards what Redis publishes; writes nothing.
//!
//! One subscription per process → [`Hub`] (orders, serialises once) → one bounded outbox per session → socket.
//! Look first at `hub.rs`, then `session.rs`; the messages are spelled in `frames.rs`, `answers.rs` and `inbound.rs`.
//!
//! What a client is told of it:
//!
#![doc = include_str!("../api/guides/websocket.md")]

mod answers;
mod close;
mod frames;
mod handshake;
mod hub;
mod inbound;
mod known;
mod limits;
mod login;
mod outbox;
mod positioning;
mod replay;
mod seat;
mod session;
mod status;
mod watch;

pub use hub::Hub;
pub use limits::Pace;

use crate::{auth::Auth, settings::FrontSettings};
use axum::{Router, routing::any};
use handshake::Strangers;
use std::sync::Arc;

/// What the route needs.
pub struct WsState {
    /// Where sessions sit; brings the queue and the links.
    pub hub: Hub,
    /// Judges tokens.
    pub auth: Auth,
    /// Origins and caps.
    pub settings: FrontSettings,
}

/// `/ws`. Addresses are counted by `ConnectInfo<SocketAddr>`, which [`crate::process::serve()`] puts into requests.
pub fn router(state: WsState) -> Router {
    let door =
        Door { hub: state.hub, auth: state.auth, settings: Arc::new(state.settings), strangers: Strangers::default() };
    Router::new().route("/ws", any(handshake::open)).with_state(door)
}

/// What a handshake needs; cheap to clone.
#[derive(Clone)]
struct Door {
    hub: Hub,
    auth: Auth,
    settings: Arc<FrontSettings>,
    strangers: Strangers,
}
