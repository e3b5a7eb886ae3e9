//! The WebSocket over real sockets, fed by the queue's own verbs on a real Redis.

pub mod client;
mod faults;
mod login;
mod losses;
mod messages;
mod recovery;
mod stage;
