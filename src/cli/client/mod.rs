//! The REST and WebSocket client of the commands: connection, credentials, errors.

pub(super) mod connection;
pub(super) mod credentials;
pub(super) mod envelope;
pub(super) mod error;
pub(super) mod pagination;
pub(super) mod rest;
pub(super) mod websocket;
