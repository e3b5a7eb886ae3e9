//! Fixtures shared by all tests.
#![allow(dead_code, reason = "each test uses its own part")]

pub mod audit;
mod client;
pub mod contract;
pub mod http;
pub mod lossy;
pub mod proxy;
pub mod raw;
mod redis;
pub mod redis_cluster;
pub mod redis_link;
mod redis_pair;
mod role;
pub mod s3;
pub mod sentinel;
pub mod servers;
pub mod stack;
pub mod web;
pub mod workflow;
pub mod world;

pub use redis::TestRedis;
pub use redis_pair::RedisPair;

use std::{future::Future, net::TcpListener, time::Duration};

/// Waits until `check` returns something, at most `within`. Polls every 10 ms, and more seldom in a long wait: a check is
/// often a request, and the machine is busy with other tests.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut check: impl FnMut() -> F,
) -> T {
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        let waited = begun.elapsed();
        assert!(waited < within, "not within {within:?}: {what}");
        tokio::time::sleep((waited / 10).clamp(Duration::from_millis(10), Duration::from_millis(50))).await;
    }
}

/// Returns a free port that stays free while a process is restarted on it, because it is outside of the kernel's range
/// of ports for outgoing connections.
pub fn stable_port() -> u16 {
    loop {
        let random = getrandom::u32().unwrap() % 12_000;
        let port = 20_000 + u16::try_from(random).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
