//! Reads the clocks of this machine: Unix time, and the time since boot.
//!
//! Times of tasks, leases and events come from Redis (`TIME`). Local Unix time is for tokens, links, the check that a
//! `startBy` is in the future, and times that are only shown to people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the milliseconds since the Unix epoch; 0 for a clock that is set before it.
pub(crate) fn unix_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Returns the whole seconds since the Unix epoch; 0 for a clock that is set before it.
pub(crate) fn unix_seconds() -> u64 {
    since_epoch().as_secs()
}

/// Returns the time since boot, including the time the machine was suspended (`CLOCK_BOOTTIME`). It never goes back.
pub(crate) fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
