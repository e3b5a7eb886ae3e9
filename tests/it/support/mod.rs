//! What tests stand on.
#![allow(dead_code, reason = "each test uses its own part")]

pub mod audit;
mod client;
pub mod contract;
pub mod http;
pub mod lossy;
pub mod proxy;
pub mod raw;
mod redis;
mod role;
pub mod s3;
pub mod stack;
pub mod web;
pub mod workflow;
pub mod world;

pub use redis::TestRedis;

use std::{future::Future, net::TcpListener, time::Duration};

/// Waits until `check` gives something, at most `within`; looks every 10 ms.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut check: impl FnMut() -> F,
) -> T {
    let give_up = tokio::time::Instant::now() + within;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < give_up, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A free port that stays free while a process is restarted on it: outside the range of which the kernel gives ports to
/// outgoing connections.
pub fn stable_port() -> u16 {
    loop {
        let random = getrandom::u32().unwrap() % 12_000;
        let port = 20_000 + u16::try_from(random).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
