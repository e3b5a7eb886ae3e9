//! Counters initialised with 0. To Prometheus a series that appears with 1 has not increased, so the first failure of a
//! process would be invisible.

use super::table::{
    ATTEMPTS, HTTP_CONNECTIONS_REFUSED, Kind, METRICS, REDIS_ERRORS, REDIS_REPAIRS, TASKS_ENDED, TASKS_SUBMITTED,
    TRACE_SPANS,
};
use crate::task::FailureKind;
use ::metrics::counter;

/// Fixed label values, by metric.
const WORDS: &[(&str, &str, &[&str])] = &[
    (TASKS_ENDED, "outcome", &["completed", "failed", "cancelled"]),
    (TASKS_SUBMITTED, "result", &["created", "replayed", "conflict", "full", "invalid", "unavailable"]),
    (REDIS_ERRORS, "kind", &["unavailable", "not_confirmed", "memory_full", "refused", "lost", "unusable", "corrupt"]),
    (HTTP_CONNECTIONS_REFUSED, "cap", &["all", "address"]),
    (TRACE_SPANS, "result", &["sent", "failed", "dropped"]),
];

/// Initialises every counter whose series are known.
pub(super) fn begin() {
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter && metric.labels.is_empty()) {
        counter!(metric.name).increment(0);
    }
    for (name, label, words) in WORDS {
        for word in *words {
            counter!(*name, *label => *word).increment(0);
        }
    }
    for purpose in ["commands", "confirmed", "events", "wakeups"] {
        for how in ["reconnected", "replaced"] {
            counter!(REDIS_REPAIRS, "purpose" => purpose, "how" => how).increment(0);
        }
    }
    for reason in FailureKind::ALL.into_iter().map(FailureKind::as_str).chain(["completed", "lost"]) {
        counter!(ATTEMPTS, "reason" => reason).increment(0);
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::{Kind, METRICS, install, render};

    #[tokio::test]
    async fn every_counter_is_exported_from_the_start() {
        install();
        let text = render().await;
        for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter) {
            let is_there = |line: &str| line.strip_prefix(metric.name).is_some_and(|rest| rest.starts_with([' ', '{']));
            assert!(text.lines().any(is_there), "{}", metric.name);
        }
    }
}
