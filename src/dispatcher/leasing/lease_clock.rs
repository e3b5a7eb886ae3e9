//! Local check that a lease is still valid. Its age is measured from the time the last successful renewal was sent, on
//! a clock that also counts while the machine sleeps.
//!
//! The check narrows the window in which a paused process could act on an expired lease; the lease token decides.

use crate::clock::since_boot;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Age of one lease.
#[derive(Debug)]
pub(crate) struct LeaseClock {
    renewed_ms: AtomicU64,
    ttl: Duration,
}

impl LeaseClock {
    /// The clock of a lease whose acquire was sent at `sent`, since boot.
    pub(crate) fn new(ttl: Duration, sent: Duration) -> Self {
        Self { renewed_ms: AtomicU64::new(to_ms(sent)), ttl }
    }

    /// Records the success of a renewal that was sent at `sent`, since boot.
    pub(crate) fn renewed(&self, sent: Duration) {
        self.renewed_ms.fetch_max(to_ms(sent), Ordering::Relaxed);
    }

    /// Whether submitting and interrupting are allowed now. A fifth of the TTL, at most 3 s, is kept as a margin for
    /// the transit of the request.
    pub(crate) fn may_act(&self) -> bool {
        self.may_act_at(since_boot())
    }

    fn may_act_at(&self, now: Duration) -> bool {
        let margin = (self.ttl / 5).min(Duration::from_secs(3));
        let age = to_ms(now).saturating_sub(self.renewed_ms.load(Ordering::Relaxed));
        age < to_ms(self.ttl - margin)
    }
}

fn to_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::LeaseClock;
    use std::time::Duration;

    #[test]
    fn acting_is_not_allowed_long_after_the_last_renewal() {
        let clock = LeaseClock::new(Duration::from_secs(15), Duration::from_secs(100));
        assert!(clock.may_act_at(Duration::from_secs(111)));
        assert!(!clock.may_act_at(Duration::from_secs(112)));
        clock.renewed(Duration::from_secs(110));
        clock.renewed(Duration::from_secs(105));
        assert!(
            clock.may_act_at(Duration::from_secs(121)),
            "the late answer to an older renewal does not age the lease"
        );
    }
}
