//! `cargo bench [-- <name>…]`: performance of the service relative to a minimal server with the same function, measured
//! on the same machine in the same run. Names: `submit`, `fanout`, `list`, `gap`, `idle`, `params`, `large`,
//! `task-cost`. `SHUZHIREN_BENCH_BINARY` names another program to be measured by the same driver.
//!
//! Servers run as separate processes; this process only generates load, on one thread.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    unused_crate_dependencies,
    reason = "a bench that cannot set up should panic"
)]

mod bare;
mod fanout;
mod gap;
mod http;
mod idle;
mod large_bodies;
mod list;
mod ours;
mod params;
mod program;
#[path = "../it/support/raw.rs"]
#[allow(dead_code, reason = "used in full by the tests")]
mod raw;
#[path = "../it/support/redis.rs"]
#[allow(dead_code, reason = "used in full by the tests")]
mod redis;
mod resp;
mod sockets;
mod submit;
mod task_cost;

/// Allocator of the program, some code of which is measured in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--bench")).collect();
    if args.first().is_some_and(|arg| arg == "--role") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        match args.remove(1).as_str() {
            "bare-submit" => runtime.block_on(bare::serve_submit()),
            "bare-ws" => runtime.block_on(bare::serve_sockets()),
            "our-ws" => runtime.block_on(ours::serve_sockets()),
            role => panic!("no such role: {role}"),
        }
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    shuzhiren::process::raise_file_limit();
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| name.contains(arg.as_str()));
    if wanted("submit") {
        runtime.block_on(submit::run());
    }
    if wanted("fanout") {
        runtime.block_on(fanout::run());
    }
    if wanted("list") {
        runtime.block_on(list::run());
    }
    if wanted("gap") {
        runtime.block_on(gap::run());
    }
    if wanted("idle") {
        runtime.block_on(idle::run());
    }
    if wanted("task-cost") {
        runtime.block_on(task_cost::run());
    }
    if wanted("params") {
        params::run();
    }
    if wanted("large") {
        runtime.block_on(large_bodies::run());
    }
}
