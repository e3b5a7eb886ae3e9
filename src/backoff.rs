//! Growing pauses between retries, by the `backoff` crate.

use ::backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};
use std::time::Duration;

/// The pauses between the tries of one operation: each twice as long as the one before, up to a longest. They never end.
#[derive(Debug, Clone)]
pub(crate) struct Backoff(ExponentialBackoff);

impl Backoff {
    /// Pauses from `first` up to `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self(policy(first, longest, None).with_randomization_factor(0.0).build())
    }

    /// Varies each pause at random by at most ± `share` of it, so that processes do not retry together.
    pub(crate) fn with_jitter(mut self, share: f64) -> Self {
        self.0.randomization_factor = share;
        self
    }

    /// Returns the next pause.
    pub(crate) fn next_pause(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.0.max_interval)
    }

    /// Waits for the next pause.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }

    /// Starts again with the first pause, after a success.
    pub(crate) fn reset(&mut self) {
        self.0.reset();
    }
}

/// Repeats `operation` until it succeeds, with pauses from `first` up to `longest` (each ± 50 %). Returns its last error
/// when the next try would start later than `within` after the first.
pub(crate) async fn retry_within<T, E, F: Future<Output = Result<T, E>>>(
    (first, longest): (Duration, Duration),
    within: Duration,
    mut operation: impl FnMut() -> F,
) -> Result<T, E> {
    let tries = policy(first, longest, Some(within)).with_randomization_factor(0.5).build();
    ::backoff::future::retry(tries, || {
        let tried = operation();
        async { tried.await.map_err(::backoff::Error::transient) }
    })
    .await
}

fn policy(first: Duration, longest: Duration, within: Option<Duration>) -> ExponentialBackoffBuilder {
    let mut policy = ExponentialBackoffBuilder::new();
    policy.with_initial_interval(first).with_multiplier(2.0).with_max_interval(longest).with_max_elapsed_time(within);
    policy
}

#[cfg(test)]
mod tests {
    use super::{Backoff, retry_within};
    use std::{cell::Cell, time::Duration};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_double_up_to_the_longest_and_never_end() {
        let mut pauses = Backoff::new(50 * MS, 300 * MS);
        let first: Vec<u128> = (0..5).map(|_| pauses.next_pause().as_millis()).collect();
        assert_eq!(first, [50, 100, 200, 300, 300]);
        assert_eq!((0..1_000).map(|_| pauses.next_pause()).max().map(|pause| pause.as_millis()), Some(300));
        pauses.reset();
        assert_eq!(pauses.next_pause().as_millis(), 50);
    }

    #[test]
    fn jitter_varies_a_pause_by_its_share() {
        let mut pauses = Backoff::new(1_000 * MS, 1_000 * MS).with_jitter(0.25);
        let some: Vec<Duration> = (0..200).map(|_| pauses.next_pause()).collect();
        assert!(some.iter().all(|pause| (749 * MS..=1_251 * MS).contains(pause)));
        assert!(some.iter().any(|pause| *pause < 900 * MS) && some.iter().any(|pause| *pause > 1_100 * MS));
    }

    #[tokio::test]
    async fn an_operation_is_repeated_until_it_succeeds_or_time_is_up() {
        let tries = Cell::new(0);
        let count = || {
            tries.set(tries.get() + 1);
            std::future::ready(if tries.get() < 3 { Err(tries.get()) } else { Ok(tries.get()) })
        };
        assert_eq!(retry_within((MS, 2 * MS), Duration::from_secs(10), count).await, Ok(3));
        assert_eq!(retry_within((MS, MS), Duration::ZERO, || std::future::ready(Err::<(), _>("no"))).await, Err("no"));
    }
}
