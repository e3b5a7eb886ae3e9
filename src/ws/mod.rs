//! The WebSocket: hub, sessions, messages, close codes. Forwards what Redis publishes; writes nothing.
//!
//! One subscription per process → [`Hub`] (orders, serialises once) → one bounded outbox per session → socket.
//! Look first at `hub.rs`, then `session.rs`; the messages are spelled in `frames.rs` and `inbound.rs`.
//!
//! What a client may rely on:
//! 1. It never sees an older state of a task after a newer one.
//! 2. The ending of every task it watches reaches it at least once, also when Redis or the subscription fails in between;
//!    where that cannot be shown it is told `resync`.
//! 3. Progress may be skipped, endings and answers never.
//! 4. A slow reader loses its own progress, then its connection, never anybody else's.

mod close;
mod frames;
mod handshake;
mod hub;
mod inbound;
mod known;
mod limits;
mod outbox;
mod positioning;
mod replay;
mod session;
mod status;
mod watch;

pub use hub::Hub;
pub use limits::Pace;

use crate::{auth::Auth, settings::FrontSettings};
use axum::{Router, routing::any};
use handshake::Strangers;
use std::sync::Arc;

/// What the route needs; cheap to clone.
#[derive(Clone)]
pub struct WsState {
    hub: Hub,
    auth: Auth,
    front: Arc<FrontSettings>,
    strangers: Strangers,
}

impl WsState {
    /// Puts it together.
    pub fn new(hub: Hub, auth: Auth, front: FrontSettings) -> Self {
        Self { hub, auth, front: Arc::new(front), strangers: Strangers::default() }
    }
}

/// `/ws`. Addresses are counted by `ConnectInfo<SocketAddr>` if the server puts it into the request.
pub fn router(state: WsState) -> Router {
    Router::new().route("/ws", any(handshake::open)).with_state(state)
}
