//! Redis: what a role refuses or warns of at its start, and the figures behind slowness and loss.

use super::{Finding, Report};
use crate::{
    queue::{self, Diagnosis, Error, ServerIssue},
    settings::{Durability, RedisSettings},
};
use std::time::Duration;

/// A round trip above this is felt: a submit is one, a claim is one.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(10);
/// Clocks further apart make tokens and logs confusing; tasks go by Redis' clock alone.
const CLOCK_MS_MAX: u64 = 2_000;
/// Share of its memory from which on a Redis is nearly full, percent.
const MEMORY_PERCENT_MAX: u64 = 85;

/// Looks at it; `None` when it cannot be reached.
pub(super) async fn examine(settings: &RedisSettings, report: &mut Report) -> Option<Diagnosis> {
    let diagnosis = match Box::pin(queue::diagnose(settings)).await {
        Ok(diagnosis) => diagnosis,
        Err(error) => {
            report.push(Finding::fail("redis", error.to_string(), why_not(&error)));
            return None;
        }
    };
    report.push(answers(&diagnosis));
    for finding in verdict(&diagnosis, settings.durability) {
        report.push(finding);
    }
    report.push(persistence(&diagnosis));
    report.push(memory(&diagnosis));
    report.push(clock(&diagnosis));
    report.push(match &diagnosis.scripts {
        Ok(count) => Finding::ok("redis.scripts", format!("takes all {count} scripts")),
        Err(why) => {
            Finding::fail("redis.scripts", why, "allow this user SCRIPT, EVALSHA and every command of the scripts")
        }
    });
    report.push(match &diagnosis.installation {
        Some(name) => Finding::ok("redis.namespace", format!("{}: system {name}", settings.namespace)),
        None => Finding::ok("redis.namespace", format!("{}: nothing has been started here yet", settings.namespace)),
    });
    report.push(match diagnosis.dispatchers {
        0 => Finding::warn("dispatchers", "none is alive: tasks would wait", "start `shuzhiren dispatcher`"),
        count => Finding::ok("dispatchers", format!("{count} alive")),
    });
    Some(diagnosis)
}

fn why_not(error: &Error) -> &'static str {
    match error {
        Error::Unavailable(_) => "start it, or correct REDIS_URL; try it from this machine: redis-cli -u <url> ping",
        Error::Refused(_) => "read what it refuses: the user's rights (ACL), its memory, its disk",
        Error::Unusable(_) => "set REDIS_URL (scheme, user, password, host, port), or --data-dir for a running `up`",
        Error::Corrupt(_) => "somebody else writes there: take a SHUZHIREN_NAMESPACE or a Redis of its own",
    }
}

fn answers(diagnosis: &Diagnosis) -> Finding {
    let found = format!("{} answers in {:.1} ms", diagnosis.server, diagnosis.round_trip.as_secs_f64() * 1_000.0);
    if diagnosis.is_loading {
        return Finding::fail("redis", format!("{found}, but is loading its data"), "wait until it has loaded them");
    }
    if diagnosis.round_trip > ROUND_TRIP_MAX {
        return Finding::warn(
            "redis",
            found,
            "bring it nearer, or look at LATENCY DOCTOR and SLOWLOG GET: every task pays this often",
        );
    }
    Finding::ok("redis", found)
}

fn verdict(diagnosis: &Diagnosis, durability: Durability) -> Vec<Finding> {
    match &diagnosis.verdict {
        Err(ServerIssue { issue, remedy }) => vec![Finding::fail("redis.queue", issue, *remedy)],
        Ok(warnings) if warnings.is_empty() => {
            let durability = match durability {
                Durability::Local => {
                    "local (a 200 may be forgotten if Redis is killed within 2 s, unless appendfsync is always)"
                }
                Durability::Fsync => "fsync (a 200 is on its disk)",
                Durability::Replica => "replica (a 200 is on a replica, too)",
            };
            vec![Finding::ok("redis.queue", format!("can hold a queue; durability {durability}"))]
        }
        Ok(warnings) => {
            warnings.iter().map(|ServerIssue { issue, remedy }| Finding::warn("redis.queue", issue, *remedy)).collect()
        }
    }
}

fn persistence(diagnosis: &Diagnosis) -> Finding {
    const CHECK: &str = "redis.persistence";
    if !diagnosis.failed_writes.is_empty() {
        let found = format!("its last write failed: {}", diagnosis.failed_writes.join(", "));
        return Finding::fail(CHECK, found, "look at its log and the room on its disk (df)");
    }
    match diagnosis.fsync.as_deref() {
        _ if !diagnosis.has_aof => Finding::warn(CHECK, "no append-only file", "set appendonly yes"),
        Some("no") => Finding::warn(
            CHECK,
            "appendfsync is no: a machine that dies takes half a minute of tasks with it",
            "set appendfsync everysec, or always",
        ),
        Some(fsync) => Finding::ok(CHECK, format!("append-only file, appendfsync {fsync}")),
        None => Finding::ok(CHECK, "append-only file; appendfsync is not told (CONFIG is not allowed)"),
    }
}

fn memory(diagnosis: &Diagnosis) -> Finding {
    const CHECK: &str = "redis.memory";
    let (used, limit) = (diagnosis.memory_used, diagnosis.memory_limit);
    let found = format!("{} of {} in use", megabytes(used), megabytes(limit));
    if limit > 0 && used.saturating_mul(100) / limit >= MEMORY_PERCENT_MAX {
        return Finding::warn(
            CHECK,
            found,
            "raise maxmemory (or take a larger machine), or lower SHUZHIREN_KEEP_TASKS: full, it refuses tasks",
        );
    }
    Finding::ok(CHECK, found)
}

fn megabytes(bytes: u64) -> String {
    if bytes == 0 { "?".to_owned() } else { format!("{} MB", bytes.div_ceil(1_000_000)) }
}

fn clock(diagnosis: &Diagnosis) -> Finding {
    let ahead = diagnosis.clock_ahead_ms;
    let found =
        format!("its clock is {} ms {} ours", ahead.unsigned_abs(), if ahead < 0 { "behind" } else { "ahead of" });
    if ahead.unsigned_abs() > CLOCK_MS_MAX {
        return Finding::warn(
            "redis.clock",
            found,
            "run NTP on both: tasks go by Redis' clock and are safe, tokens and logs are not",
        );
    }
    Finding::ok("redis.clock", found)
}
