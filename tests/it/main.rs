//! The single test binary: real Redis (a process per test), the stand-in ComfyUI over real HTTP, real processes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::large_futures,
    missing_docs,
    reason = "a test that cannot set up should panic where it stands"
)]

mod support;

mod api;
mod cli;
mod clients;
mod comfy;
mod deploy;
mod dispatcher;
mod doctor;
mod embedded;
mod end_to_end;
mod faults;
mod model;
mod mutants;
#[cfg(feature = "otel")]
mod otel;
mod process;
mod queue;
mod real;
mod sim;
mod store;
mod submit;
mod tidy;
mod ws;
