//! How long to wait before the next try: growing, with jitter.

use super::limits;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff};
use std::time::Duration;

/// The pauses between tries to reach an instance again: 0.2 s, growing by half each time up to the longest, ± 30 %.
/// Never ends.
#[derive(Debug)]
pub struct Pauses(ExponentialBackoff);

impl Pauses {
    /// Pauses of at most `longest` (before jitter).
    pub fn up_to(longest: Duration) -> Self {
        let policy = ExponentialBackoffBuilder::new()
            .with_initial_interval(Duration::from_millis(200).min(longest))
            .with_multiplier(1.5)
            .with_randomization_factor(0.3)
            .with_max_interval(longest)
            .with_max_elapsed_time(None)
            .build();
        Self(policy)
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.0.max_interval)
    }

    /// It worked: begin again with the shortest.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

/// For the history entry that follows the sign of the end by milliseconds (protocol §3).
pub(super) fn until_ended() -> ExponentialBackoff {
    bounded(Duration::from_millis(4), Duration::from_millis(200), limits::HISTORY_WAIT_MAX)
}

/// For a prompt that must leave an instance (protocol §17.12).
pub(super) fn until_gone() -> ExponentialBackoff {
    bounded(Duration::from_millis(20), Duration::from_millis(250), limits::CANCEL_PARTIAL_MAX)
}

fn bounded(first: Duration, longest: Duration, in_all: Duration) -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(first)
        .with_multiplier(2.0)
        .with_max_interval(longest)
        .with_max_elapsed_time(Some(in_all))
        .build()
}

#[cfg(test)]
mod tests {
    use super::Pauses;
    use std::time::Duration;

    #[test]
    fn pauses_grow_to_the_longest_and_never_end() {
        let longest = Duration::from_secs(5);
        let mut pauses = Pauses::up_to(longest);
        let first = pauses.next_pause();
        assert!((Duration::from_millis(140)..=Duration::from_millis(260)).contains(&first), "{first:?}");
        let last = (0..1_000).map(|_| pauses.next_pause()).last().unwrap();
        assert!((longest.mul_f64(0.69)..=longest.mul_f64(1.31)).contains(&last), "{last:?}");
        pauses.reset();
        assert!(pauses.next_pause() < Duration::from_millis(300));
    }
}
