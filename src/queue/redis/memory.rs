//! The memory of Redis, read every two seconds by every process. The same call notices a Redis that lost our data while the
//! process is idle.

use super::{script_call::ScriptCaller, scripts::Verb};
use crate::{
    metrics,
    queue::{Error, Result},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Interval of the reads.
const READ_EVERY: Duration = Duration::from_secs(2);
/// Share of `maxmemory` from which on nothing is accepted, percent.
const FULL_PERCENT: u64 = 90;
/// Share of `maxmemory` below which tasks are accepted again, percent.
const FREE_PERCENT: u64 = 88;

/// Memory of the server that holds our slot, as of the last read.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    used: AtomicU64,
    limit: AtomicU64,
    is_full: AtomicBool,
}

impl Memory {
    /// Checks that something new may be accepted.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.is_full.load(Ordering::Relaxed) {
            return Ok(());
        }
        let percent = percent(self.used.load(Ordering::Relaxed), self.limit.load(Ordering::Relaxed));
        Err(Error::MemoryFull(format!("{percent} % of maxmemory are in use")))
    }

    /// Whether all of `maxmemory` is in use: claims pause.
    pub(crate) fn is_spent(&self) -> bool {
        percent(self.used.load(Ordering::Relaxed), self.limit.load(Ordering::Relaxed)) >= 100
    }

    /// Takes note of a read. Logs when accepting stops and when it begins again.
    fn observe(&self, used: u64, limit: u64) {
        self.used.store(used, Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
        metrics::redis_memory(used, limit);
        let was_full = self.is_full.load(Ordering::Relaxed);
        let is_full = is_full(was_full, used, limit);
        if is_full == was_full {
            return;
        }
        self.is_full.store(is_full, Ordering::Relaxed);
        if is_full {
            tracing::error!(
                used_bytes = used,
                maxmemory_bytes = limit,
                "redis memory is full: no tasks, files or workflows are accepted until memory is free; raise maxmemory or lower --keep-tasks"
            );
        } else {
            tracing::warn!(used_bytes = used, maxmemory_bytes = limit, "redis has free memory again");
        }
    }
}

fn percent(used: u64, limit: u64) -> u64 {
    used.saturating_mul(100).checked_div(limit).unwrap_or(0)
}

/// Whether accepting stops. Between the two limits it stays as it was, so that it does not change with every task.
fn is_full(was_full: bool, used: u64, limit: u64) -> bool {
    percent(used, limit) >= if was_full { FREE_PERCENT } else { FULL_PERCENT }
}

/// Reads the memory forever.
pub(crate) async fn watch(caller: ScriptCaller, memory: Arc<Memory>) {
    let mut interval = tokio::time::interval(READ_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        match read(&caller).await {
            Ok((used, limit)) => memory.observe(used, limit),
            Err(error) => tracing::debug!(%error, "redis memory not read; retrying"),
        }
    }
}

async fn read(caller: &ScriptCaller) -> Result<(u64, u64)> {
    let mut reply = caller.call(Verb::Memory, Vec::new()).await?;
    Ok((reply.parse()?, reply.parse()?))
}

#[cfg(test)]
mod tests {
    use super::is_full;

    #[test]
    fn accepting_stops_at_90_percent_and_begins_again_below_88() {
        for (was_full, used, expected) in [(false, 89, false), (false, 90, true), (true, 88, true), (true, 87, false)] {
            assert_eq!(is_full(was_full, used, 100), expected, "{was_full} {used}");
        }
        assert!(!is_full(false, u64::MAX, 0), "no limit");
    }
}
