//! The memory limit of the child Redis.

use std::path::Path;

/// Share of the machine's memory that Redis may take: one part of this many.
const PARTS: u64 = 4;
/// Smallest limit, bytes: an empty Redis takes a few MB, ten thousand tasks about 30 MB.
const BYTES_MIN: u64 = 256 << 20;
/// Limit where the machine's memory is unknown, bytes.
const BYTES_UNKNOWN: u64 = 1 << 30;

/// Returns a quarter of the memory of this machine or container, bytes, and at least 256 MiB.
pub fn default_memory_max() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let container = container_limit(Path::new("/sys/fs/cgroup"));
    share_of(machine.into_iter().chain(container).min())
}

fn share_of(memory: Option<u64>) -> u64 {
    memory.map_or(BYTES_UNKNOWN, |memory| (memory / PARTS).max(BYTES_MIN))
}

/// Returns `MemTotal` of `/proc/meminfo`, bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1_024)
}

/// Returns the limit of this control group (version 2, or 1), bytes.
fn container_limit(groups: &Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(groups.join(name)).ok()?.trim().parse().ok();
    read("memory.max").or_else(|| read("memory/memory.limit_in_bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_memory_is_taken_and_at_least_256_mib() {
        assert_eq!(total("MemTotal:       16000000 kB\nMemFree: 1 kB\n"), Some(16_384_000_000));
        assert_eq!(share_of(Some(16_384_000_000)), 4_096_000_000);
        assert_eq!(share_of(Some(1)), BYTES_MIN);
        assert_eq!(share_of(None), BYTES_UNKNOWN);
        assert!(default_memory_max() >= BYTES_MIN);
    }
}
