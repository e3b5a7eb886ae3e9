//! Parses large replies and frames on blocking threads, few at a time: a parse of some megabytes would hold up every
//! other task of its thread.

use super::limits;
use tokio::sync::Semaphore;

static PARSES: Semaphore = Semaphore::const_new(limits::PARSES_MAX);

/// Runs `parse`, which reads `bytes` bytes, and returns its result; `None` if it panicked.
pub(super) async fn parse<T: Send + 'static>(bytes: usize, parse: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if bytes <= limits::LARGE_BYTES {
        return Some(parse());
    }
    // Never closed, so the permit is always granted.
    let _permit = PARSES.acquire().await.ok();
    tokio::task::spawn_blocking(parse).await.ok()
}

#[cfg(test)]
mod tests {
    use super::{limits, parse};

    #[tokio::test]
    async fn only_what_is_large_leaves_the_runtime() {
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        assert_eq!(parse(limits::LARGE_BYTES, thread).await, Some(here));
        assert_ne!(parse(limits::LARGE_BYTES + 1, thread).await, Some(here));
    }
}
