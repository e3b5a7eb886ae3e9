//! Checks of Redis' memory: its limit, what is in use, and how many tasks per second it carries.

use super::Finding;
use crate::queue::Diagnosis;
use std::time::Duration;

/// Share of used memory from which on Redis counts as nearly full, percent. From 90 % on nothing is accepted.
const PERCENT_MAX: u64 = 85;
/// Share of the memory that ended tasks may take, percent; the rest is for waiting tasks and connections.
const PERCENT_FOR_ENDED: u64 = 80;
/// Memory of an ended task with one output, bytes, measured with small workflows.
const TASK_BYTES: u64 = 4_000;
/// The same if the fields of its hash are not packed.
const TASK_BYTES_UNPACKED: u64 = 5_200;
/// Size of fields up to which hashes must be packed, bytes (`hash-max-listpack-value`; Redis' default is 64).
const PACKED_BYTES: u64 = 512;

/// Returns the findings. Ended tasks are kept for `keep_tasks`.
pub(super) fn findings(diagnosis: &Diagnosis, keep_tasks: Duration) -> Vec<Finding> {
    vec![usage(diagnosis), packing(diagnosis), retention(diagnosis, keep_tasks)]
}

fn usage(diagnosis: &Diagnosis) -> Finding {
    const CHECK: &str = "redis.memory";
    let (used, limit) = (diagnosis.memory_used, diagnosis.memory_limit);
    let found = format!("{} of {} in use", megabytes(used), megabytes(limit));
    if limit > 0 && used.saturating_mul(100) / limit >= PERCENT_MAX {
        return Finding::warn(
            CHECK,
            found,
            "raise maxmemory (or use a larger machine), or lower SHUZHIREN_KEEP_TASKS: from 90 % on no tasks are accepted",
        );
    }
    if !diagnosis.has_memory_limit {
        return Finding::warn(
            CHECK,
            format!("{found}, maxmemory is not set"),
            "set maxmemory below the machine's memory: without it the machine ends Redis when it is full",
        );
    }
    Finding::ok(CHECK, found)
}

fn packing(diagnosis: &Diagnosis) -> Finding {
    const CHECK: &str = "redis.packing";
    match diagnosis.packed_bytes {
        Some(bytes) if bytes < PACKED_BYTES => Finding::warn(
            CHECK,
            format!("hash-max-listpack-value is {bytes}: tasks take a third more memory than needed"),
            "set hash-max-listpack-value 512 (CONFIG SET; it applies to new tasks)",
        ),
        Some(bytes) => Finding::ok(CHECK, format!("hash-max-listpack-value {bytes}")),
        None => Finding::ok(CHECK, "hash-max-listpack-value is unknown (CONFIG is not allowed); set it to 512"),
    }
}

/// States keep × rate: the memory that one task per second takes, and the rate that the limit carries.
fn retention(diagnosis: &Diagnosis, keep_tasks: Duration) -> Finding {
    let is_packed = diagnosis.packed_bytes.is_some_and(|bytes| bytes >= PACKED_BYTES);
    let task_bytes = if is_packed { TASK_BYTES } else { TASK_BYTES_UNPACKED };
    let per_rate = task_bytes as f64 * keep_tasks.as_secs_f64();
    let room = (diagnosis.memory_limit / 100 * PERCENT_FOR_ENDED) as f64;
    let carries = if per_rate > 0.0 && room > 0.0 {
        format!("; {} carry about {:.1} tasks per second", megabytes(diagnosis.memory_limit), room / per_rate)
    } else {
        String::new()
    };
    let hours = keep_tasks.as_secs_f64() / 3_600.0;
    let found = format!(
        "ended tasks are kept for {hours:.1} h: about {:.2} GB for each task per second{carries}",
        per_rate / 1e9
    );
    Finding::ok("redis.retention", found)
}

fn megabytes(bytes: u64) -> String {
    if bytes == 0 { "?".to_owned() } else { format!("{} MB", bytes.div_ceil(1_000_000)) }
}
