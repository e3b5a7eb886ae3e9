//! Checks of Redis: everything that a role refuses or warns about at its start, and common causes of slowness and data
//! loss.

use super::{Finding, Report, memory};
use crate::{
    queue::{self, Diagnosis, Error, ServerIssue},
    settings::{Durability, RedisSettings},
};
use std::time::Duration;

/// Round trip above which requests are noticeably slower: a submit is one round trip, and so is a claim.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(10);
/// Difference of clocks above which tokens and logs become misleading, ms. Tasks use only Redis' clock.
const CLOCK_MS_MAX: u64 = 2_000;

/// Checks Redis; `None` if it is unreachable.
pub(super) async fn examine(settings: &RedisSettings, keep_tasks: Duration, report: &mut Report) -> Option<Diagnosis> {
    let diagnosis = match Box::pin(queue::diagnose(settings)).await {
        Ok(diagnosis) => diagnosis,
        Err(error) => {
            report.push(Finding::fail("redis", error.to_string(), advice(&error)));
            return None;
        }
    };
    report.push(answers(&diagnosis));
    for finding in queue_findings(&diagnosis, settings.durability) {
        report.push(finding);
    }
    report.push(persistence(&diagnosis));
    for finding in memory::findings(&diagnosis, keep_tasks) {
        report.push(finding);
    }
    report.push(clock(&diagnosis));
    report.push(match &diagnosis.scripts {
        Ok(count) => Finding::ok("redis.scripts", format!("accepts all {count} scripts")),
        Err(why) => {
            Finding::fail("redis.scripts", why, "allow this user SCRIPT, EVALSHA and every command of the scripts")
        }
    });
    if let Some(denied) = &diagnosis.denied {
        let cure = "correct it on the server; the rights of the user: deploy/README.md (ACL)";
        report.push(Finding::fail("redis.rights", denied, cure));
    }
    report.push(match &diagnosis.installation {
        Some(name) => Finding::ok("redis.namespace", format!("{}: system {name}", settings.namespace)),
        None => Finding::ok("redis.namespace", format!("{}: not used by any system yet", settings.namespace)),
    });
    report.push(match diagnosis.dispatchers {
        0 => Finding::warn("dispatchers", "none is running: tasks will wait", "start `shuzhiren dispatcher`"),
        count => Finding::ok("dispatchers", format!("{count} running")),
    });
    Some(diagnosis)
}

fn advice(error: &Error) -> &'static str {
    match error {
        Error::Unavailable(_) => "start it, or correct REDIS_URL; try it from this machine: redis-cli -u <url> ping",
        Error::MemoryFull(_) => "raise maxmemory, or lower SHUZHIREN_KEEP_TASKS",
        Error::Refused(_) => "check the reason it gives: the user's permissions (ACL), its disk, maxclients",
        Error::NotConfirmed(_) => "connect the replicas that must confirm a write, or lower --durability-replicas",
        Error::Lost(_) => "restore its data, or restart all processes to begin with an empty system",
        Error::Unusable(_) => "set REDIS_URL (scheme, user, password, host, port), or --data-dir for a running `up`",
        Error::Corrupt(_) => {
            "another program writes to this namespace: use another SHUZHIREN_NAMESPACE or another Redis"
        }
    }
}

fn answers(diagnosis: &Diagnosis) -> Finding {
    let found = format!("{} answers in {:.1} ms", diagnosis.server, diagnosis.round_trip.as_secs_f64() * 1_000.0);
    if diagnosis.is_loading {
        return Finding::fail("redis", format!("{found}, but is loading its data"), "wait until it has loaded it");
    }
    if diagnosis.round_trip > ROUND_TRIP_MAX {
        return Finding::warn(
            "redis",
            found,
            "move it closer, or check LATENCY DOCTOR and SLOWLOG GET: every task pays for this several times",
        );
    }
    Finding::ok("redis", found)
}

fn queue_findings(diagnosis: &Diagnosis, durability: Durability) -> Vec<Finding> {
    match &diagnosis.verdict {
        Err(ServerIssue { issue, remedy }) => vec![Finding::fail("redis.queue", issue, *remedy)],
        Ok(warnings) if warnings.is_empty() => {
            let durability = match durability {
                Durability::Local => {
                    "local (a task confirmed with 200 may be lost if Redis is killed within 2 s, unless appendfsync is always)"
                }
                Durability::Fsync => "fsync (a task confirmed with 200 is on its disk)",
                Durability::Replica => "replica (a task confirmed with 200 is on every replica too)",
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
        return Finding::fail(CHECK, found, "check its log and the free space on its disk (df)");
    }
    match diagnosis.fsync.as_deref() {
        _ if !diagnosis.has_aof => Finding::warn(CHECK, "no append-only file", "set appendonly yes"),
        Some("no") => Finding::warn(
            CHECK,
            "appendfsync is no: a crash of its machine loses up to half a minute of tasks",
            "set appendfsync everysec, or always",
        ),
        Some(fsync) => Finding::ok(CHECK, format!("append-only file, appendfsync {fsync}")),
        None => Finding::ok(CHECK, "append-only file; appendfsync is unknown (CONFIG is not allowed)"),
    }
}

fn clock(diagnosis: &Diagnosis) -> Finding {
    let ahead = diagnosis.clock_ahead_ms;
    let found =
        format!("its clock is {} ms {} ours", ahead.unsigned_abs(), if ahead < 0 { "behind" } else { "ahead of" });
    if ahead.unsigned_abs() > CLOCK_MS_MAX {
        return Finding::warn(
            "redis.clock",
            found,
            "run NTP on both machines: tasks use Redis' clock and are safe, but tokens and logs are affected",
        );
    }
    Finding::ok("redis.clock", found)
}
