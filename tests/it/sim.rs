//! Tests of the room `sim`: the stand-in against recordings of a real ComfyUI, and every fault over real HTTP and WebSocket.

mod client;
mod deaths;
mod faults;
mod files;
mod http;
mod jobs;
mod normal;
mod replay;
mod sockets;
