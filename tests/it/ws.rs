//! The WebSocket over real sockets, driven by the queue's verbs on a real Redis.

pub mod client;
mod faults;
mod login;
mod long_answers;
mod losses;
mod messages;
mod recovery;
mod stage;
