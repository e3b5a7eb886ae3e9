//! Limit of a log message that one cause would repeat for every request.

use crate::clock::since_boot;
use std::sync::atomic::{AtomicU64, Ordering};

/// Milliseconds between two lines.
const EVERY_MS: u64 = 1_000;

/// Admits one line a second and counts the others.
#[derive(Debug, Default)]
pub struct LogLimit {
    next_ms: AtomicU64,
    omitted: AtomicU64,
}

impl LogLimit {
    /// Makes the limit of one message.
    pub const fn new() -> Self {
        Self { next_ms: AtomicU64::new(0), omitted: AtomicU64::new(0) }
    }

    /// Returns the number of lines omitted since the last one if this one is to be written.
    pub fn admit(&self) -> Option<u64> {
        let now = u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX);
        let next = self.next_ms.load(Ordering::Relaxed);
        let is_first = now >= next
            && self.next_ms.compare_exchange(next, now + EVERY_MS, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_first {
            return Some(self.omitted.swap(0, Ordering::Relaxed));
        }
        self.omitted.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::LogLimit;

    #[test]
    fn one_line_a_second_says_how_many_were_omitted() {
        let limit = LogLimit::new();
        assert_eq!(limit.admit(), Some(0));
        let admitted = (0..100).filter(|_| limit.admit().is_some()).count();
        assert!(admitted <= 1, "{admitted}");
        limit.next_ms.store(0, std::sync::atomic::Ordering::Relaxed);
        assert!(limit.admit().is_some_and(|omitted| omitted > 0));
    }
}
