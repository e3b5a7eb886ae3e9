//! Delay before a failed attempt is retried: exponential backoff with full jitter.

use crate::task::Attempt;
use std::time::Duration;

/// Longest delay after the first attempt.
const BASE: Duration = Duration::from_secs(2);
/// Longest delay after any attempt.
const CAP: Duration = Duration::from_secs(300);

/// Returns the delay after `attempt`: `share` (0–1) of `min(base · 2^(attempt−1), cap)`.
pub(crate) fn pause(attempt: Attempt, share: f64) -> Duration {
    let doublings = attempt.get().saturating_sub(1).min(16);
    BASE.saturating_mul(1 << doublings).min(CAP).mul_f64(share.clamp(0.0, 1.0))
}

/// Returns a random number from 0 to 1; the middle if the system gives no random bytes (never seen).
pub(crate) fn random_share() -> f64 {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(random) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Attempt, pause, random_share};
    use std::time::Duration;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let longest = |attempt| pause(Attempt::new(attempt), 1.0);
        assert_eq!(longest(1), Duration::from_secs(2));
        assert_eq!(longest(3), Duration::from_secs(8));
        assert_eq!(longest(9), Duration::from_secs(300));
        assert_eq!(longest(u32::MAX), Duration::from_secs(300));
        assert_eq!(pause(Attempt::new(3), 0.25), Duration::from_secs(2));
    }

    #[test]
    fn jitter_uses_the_whole_range() {
        let shares: Vec<f64> = (0..200).map(|_| random_share()).collect();
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        assert!(shares.iter().any(|share| *share < 0.3) && shares.iter().any(|share| *share > 0.7));
    }
}
