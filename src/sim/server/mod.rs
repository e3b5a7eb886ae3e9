//! The stand-in's HTTP and WebSocket server.

pub(super) mod aiohttp;
pub(super) mod broadcast;
pub(super) mod control;
pub(super) mod faults;
pub(super) mod jobs;
pub(super) mod listener;
pub(super) mod prompt_route;
pub(super) mod queue_routes;
pub(super) mod routes;
pub(super) mod socket;
pub(super) mod socket_hub;
pub(super) mod system_routes;
pub(super) mod upload;
pub(super) mod view;
