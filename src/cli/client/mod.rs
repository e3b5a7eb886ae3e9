//! The REST and WebSocket client of the commands: address, credentials, retries and reconnects.

pub(super) mod address;
pub(super) mod common_args;
pub(super) mod credentials;
pub(super) mod envelope;
pub(super) mod event_stream;
pub(super) mod pagination;
pub(super) mod rest;
pub(super) mod tasks;
pub(super) mod websocket;
