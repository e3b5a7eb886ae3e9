//! Tests of `sim`: the stand-in compared with recordings of a real ComfyUI, and every fault over HTTP and WebSocket.

mod client;
mod deaths;
mod faults;
mod files;
mod http;
mod jobs;
mod normal;
mod replay;
mod sockets;
