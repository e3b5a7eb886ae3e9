//! Rate limit: a token bucket per user, in this process. It stops a runaway loop, never an honest caller.

use super::{Error, Result};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Users remembered. Beyond that, full buckets are dropped, since an absent one counts as full.
const USERS_MAX: usize = 10_000;
/// Time in which an empty bucket is filled.
const FILL_SECONDS: f64 = 5.0;

/// Token buckets by user.
pub(super) struct RateLimits {
    burst: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl RateLimits {
    /// Returns buckets of `burst` tokens, refilled with a fifth of them per second; 0 = no limit.
    #[allow(clippy::cast_precision_loss, reason = "a burst beyond 2^53 is no limit at all")]
    pub(super) fn new(burst: u64) -> Self {
        Self { burst: burst as f64, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes one token of `user`.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub(super) fn take(&self, user: &str) -> Result<()> {
        self.take_at(user, Instant::now())
    }

    /// Takes the tokens of the other tasks of a batch of `count`, at most as many as a full bucket has left: its request
    /// has taken one.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub(super) fn take_rest(&self, user: &str, count: u16) -> Result<()> {
        self.take_cost_at(user, f64::from(count - 1).min(self.burst - 1.0), Instant::now())
    }

    fn take_at(&self, user: &str, now: Instant) -> Result<()> {
        self.take_cost_at(user, 1.0, now)
    }

    fn take_cost_at(&self, user: &str, cost: f64, now: Instant) -> Result<()> {
        if self.burst == 0.0 {
            return Ok(());
        }
        let per_second = self.burst / FILL_SECONDS;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(user) {
            if buckets.len() >= USERS_MAX {
                buckets.retain(|_, bucket| bucket.filled(now, per_second) < self.burst);
            }
            buckets.insert(user.to_owned(), Bucket { tokens: self.burst, at: now });
        }
        let Some(bucket) = buckets.get_mut(user) else { return Ok(()) };
        bucket.tokens = bucket.filled(now, per_second).min(self.burst);
        bucket.at = now;
        if bucket.tokens < cost {
            return Err(Error::RateLimited(Duration::from_secs_f64((cost - bucket.tokens) / per_second)));
        }
        bucket.tokens -= cost;
        Ok(())
    }
}

impl Bucket {
    fn filled(&self, now: Instant, per_second: f64) -> f64 {
        now.saturating_duration_since(self.at).as_secs_f64().mul_add(per_second, self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, RateLimits, USERS_MAX};
    use std::time::{Duration, Instant};

    #[test]
    fn a_burst_passes_then_a_fifth_per_second() {
        let (limits, start) = (RateLimits::new(10), Instant::now());
        for _ in 0..10 {
            limits.take_at("a", start).unwrap();
        }
        let Err(Error::RateLimited(wait)) = limits.take_at("a", start) else { panic!("the bucket is empty") };
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(501), "{wait:?}");
        limits.take_at("b", start).unwrap();
        limits.take_at("a", start + Duration::from_secs(1)).unwrap();
        limits.take_at("a", start + Duration::from_secs(1)).unwrap();
        assert!(limits.take_at("a", start + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_batch_beyond_the_burst_takes_a_full_bucket() {
        for burst in [1, 50] {
            let limits = RateLimits::new(burst);
            limits.take("a").unwrap();
            limits.take_rest("a", 1_000).unwrap();
            assert!(limits.take("a").is_err(), "{burst}");
        }
    }

    #[test]
    fn two_hundred_requests_per_second_always_pass_at_the_default() {
        let (limits, start) = (RateLimits::new(10_000), Instant::now());
        for n in 0..200_000_u64 {
            limits.take_at("a", start + Duration::from_millis(5 * n)).unwrap();
        }
        let (limits, start) = (RateLimits::new(10_000), Instant::now());
        (0..5_000).for_each(|_| limits.take_at("a", start).unwrap());
    }

    #[test]
    fn zero_is_no_limit_and_users_are_forgotten() {
        let limits = RateLimits::new(0);
        (0..100_000).for_each(|_| limits.take("a").unwrap());
        let (limits, start) = (RateLimits::new(10), Instant::now());
        for n in 0..=USERS_MAX {
            limits.take_at(&n.to_string(), start + Duration::from_secs(n as u64)).unwrap();
        }
        assert!(limits.buckets.lock().unwrap().len() < 10);
    }
}
