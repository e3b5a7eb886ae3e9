//! Whether a download moves: a pure state machine. Slow is allowed, a trickle is not.

use std::time::Duration;
use tokio::time::Instant;

/// The least that must come on average over a window, bytes per second: the largest file of the default settings then takes
/// less than a day.
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;
/// A window is so many read timeouts long.
const WINDOW_TIMEOUTS: u32 = 6;

/// The pace of one download.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    began: Instant,
    bytes: u64,
}

impl Pace {
    /// A download that begins now; `read_timeout` is the longest wait for its next bytes.
    pub(super) fn new(read_timeout: Duration, now: Instant) -> Self {
        Self { window: read_timeout * WINDOW_TIMEOUTS, began: now, bytes: 0 }
    }

    /// More bytes came; whether it still moves fast enough.
    pub(super) fn keeps_up(&mut self, bytes: usize, now: Instant) -> bool {
        self.bytes += bytes as u64;
        let passed = now.duration_since(self.began);
        if passed < self.window {
            return true;
        }
        let least = BYTES_PER_SECOND_MIN.saturating_mul(passed.as_secs());
        let keeps_up = self.bytes >= least;
        (self.began, self.bytes) = (now, 0);
        keeps_up
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_PER_SECOND_MIN, Pace};
    use std::time::Duration;
    use tokio::time::Instant;

    /// Chunks of `bytes` every second: for how many seconds it goes on, at most 1000.
    fn seconds(bytes: u64, pace: &mut Pace, mut now: Instant) -> u32 {
        for second in 1..=1_000 {
            now += Duration::from_secs(1);
            if !pace.keeps_up(usize::try_from(bytes).unwrap(), now) {
                return second;
            }
        }
        1_000
    }

    #[test]
    fn slow_passes_and_a_trickle_ends_after_a_window() {
        let now = Instant::now();
        let pace = || Pace::new(Duration::from_secs(10), now);
        assert_eq!(seconds(BYTES_PER_SECOND_MIN, &mut pace(), now), 1_000);
        assert_eq!(seconds(BYTES_PER_SECOND_MIN - 1, &mut pace(), now), 60);
        assert_eq!(seconds(1, &mut pace(), now), 60);
    }

    #[test]
    fn a_good_beginning_does_not_excuse_a_trickle() {
        let now = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(10), now);
        assert!(pace.keeps_up(4 << 30, now + Duration::from_secs(60)));
        assert_eq!(seconds(1, &mut pace, now + Duration::from_secs(60)), 60);
    }
}
