//! What tests stand on.
#![allow(dead_code, reason = "each test uses its own part")]

pub mod audit;
pub mod http;
pub mod raw;
mod redis;
pub mod world;

pub use redis::TestRedis;

use std::{future::Future, time::Duration};

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
