//! Detects downloads that are too slow to finish. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// Lowest average speed over a window, bytes per second. At this speed the largest file of the default settings takes
/// less than a day.
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;
/// Length of a window in read timeouts.
const WINDOW_TIMEOUTS: u32 = 6;

/// Speed check of one download.
#[derive(Debug)]
pub(crate) struct MinSpeed {
    window: Duration,
    started: Instant,
    bytes: u64,
}

impl MinSpeed {
    /// A check of a download that starts now. `read_timeout` is the longest wait for the next bytes.
    pub(crate) fn new(read_timeout: Duration, now: Instant) -> Self {
        Self { window: read_timeout * WINDOW_TIMEOUTS, started: now, bytes: 0 }
    }

    /// Adds received bytes. Returns false if the window that ends now was below the lowest speed.
    pub(crate) fn add(&mut self, bytes: usize, now: Instant) -> bool {
        self.bytes += bytes as u64;
        let passed = now.duration_since(self.started);
        if passed < self.window {
            return true;
        }
        let least = BYTES_PER_SECOND_MIN.saturating_mul(passed.as_secs());
        let is_fast_enough = self.bytes >= least;
        (self.started, self.bytes) = (now, 0);
        is_fast_enough
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_PER_SECOND_MIN, MinSpeed};
    use std::time::Duration;
    use tokio::time::Instant;

    /// Returns the seconds until a download of `bytes` per second is too slow, at most 1000.
    fn seconds(bytes: u64, speed: &mut MinSpeed, mut now: Instant) -> u32 {
        for second in 1..=1_000 {
            now += Duration::from_secs(1);
            if !speed.add(usize::try_from(bytes).unwrap(), now) {
                return second;
            }
        }
        1_000
    }

    #[test]
    fn a_download_below_the_lowest_speed_ends_after_one_window() {
        let now = Instant::now();
        let speed = || MinSpeed::new(Duration::from_secs(10), now);
        assert_eq!(seconds(BYTES_PER_SECOND_MIN, &mut speed(), now), 1_000);
        assert_eq!(seconds(BYTES_PER_SECOND_MIN - 1, &mut speed(), now), 60);
        assert_eq!(seconds(1, &mut speed(), now), 60);
    }

    #[test]
    fn a_fast_start_does_not_make_up_for_a_slow_window() {
        let now = Instant::now();
        let mut speed = MinSpeed::new(Duration::from_secs(10), now);
        assert!(speed.add(4 << 30, now + Duration::from_secs(60)));
        assert_eq!(seconds(1, &mut speed, now + Duration::from_secs(60)), 60);
    }
}
