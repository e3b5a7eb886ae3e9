//! Percentiles of durations, in ms.

use serde_json::{Value, json};
use std::{fmt, time::Duration};

/// Sorted durations.
pub(crate) struct Percentiles(Vec<Duration>);

impl Percentiles {
    /// Sorts durations given in any order.
    pub(crate) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// Returns the smallest duration that `percent` of 100 do not exceed (nearest rank), in ms.
    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).map_or(0.0, |duration| duration.as_secs_f64() * 1e3)
    }

    /// Returns `{"p50","p95","p99","max"}` in ms.
    pub(crate) fn json(&self) -> Value {
        json!({"p50": self.percentile(50), "p95": self.percentile(95), "p99": self.percentile(99), "max": self.percentile(100)})
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, p99, max] = [50, 95, 99, 100].map(|percent| self.percentile(percent));
        write!(f, "p50 {p50:.1} ms   p95 {p95:.1} ms   p99 {p99:.1} ms   max {max:.1} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::Percentiles;
    use std::time::Duration;

    #[test]
    fn percentiles_use_the_nearest_rank() {
        let percentiles = Percentiles::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!([50, 95, 99, 100].map(|percent| percentiles.percentile(percent)), [100.0, 190.0, 198.0, 200.0]);
        let one = Percentiles::of(vec![Duration::from_millis(7)]);
        assert_eq!(one.to_string(), "p50 7.0 ms   p95 7.0 ms   p99 7.0 ms   max 7.0 ms");
        assert_eq!(Percentiles::of(Vec::new()).percentile(50), 0.0);
    }
}
