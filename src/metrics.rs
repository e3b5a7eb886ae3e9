//! Every metric: name, unit, labels, help, buckets ([`METRICS`]), and one small function for each thing that happens.
//!
//! Conventions: prefix `shuzhiren_`, base units, counters end in `_total`, histograms have buckets (never summaries: those
//! cannot be added up over processes). Invariant: labels are bounded: a route template, a word of ours, a configured instance;
//! never a path, a task or a user. Everything here works, and costs next to nothing, before [`install`] and without it.
//!
#![doc = include_str!("metrics/metrics.md")]

mod level;
mod table;
mod zeros;

pub use level::{instance, instance_gone, set_refresh};
pub use table::{Kind, METRICS, Metric};

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use axum::http::Method;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    sync::{LazyLock, OnceLock},
    time::Duration,
};
use table::{
    ATTEMPTS, BUILD_INFO, COMFY_REQUEST_SECONDS, HTTP_CONNECTIONS, HTTP_CONNECTIONS_REFUSED, HTTP_REQUEST_SECONDS,
    INSTANCE_IDLE_GAP_SECONDS, LEASE_TAKEOVERS, OUTPUT_BYTES, PANICS, RECLAIMS, REDIS_ERRORS, TASK_RUN_SECONDS,
    TASK_WAIT_SECONDS, TASKS_ENDED, TASKS_SUBMITTED, TRACE_SPANS, UPLOAD_BYTES, WS_DELIVERIES, WS_SESSIONS,
    WS_SLOW_CLOSES,
};

/// How often samples are folded into buckets when nobody scrapes; they pile up otherwise.
const UPKEEP: Duration = Duration::from_secs(5);

/// Begins collecting; further calls do nothing. [`crate::process::ops_router`] calls it.
pub fn install() {
    handle();
}

/// The Prometheus text format. Asks the hook of [`set_refresh`] first, unless it was asked just now.
pub async fn render() -> String {
    let Some(handle) = handle() else { return String::new() };
    level::refresh().await;
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    static PROCESS: LazyLock<metrics_process::Collector> = LazyLock::new(|| {
        let collector = metrics_process::Collector::default();
        collector.describe();
        collector
    });
    PROCESS.collect();
    handle.render()
}

/// `None` only when some other recorder was installed in this process before ours.
fn handle() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let mut builder = PrometheusBuilder::new();
            for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Histogram) {
                // Refused only for an empty list, which a test of the table excludes.
                builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets).ok()?;
            }
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            ::metrics::set_global_recorder(recorder).ok()?;
            METRICS.iter().for_each(describe);
            zeros::begin();
            let upkeep = handle.clone();
            // A thread of its own: it needs no runtime, and lives as long as the recorder: as the process.
            let spawned = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
                loop {
                    std::thread::sleep(UPKEEP);
                    upkeep.run_upkeep();
                }
            });
            if let Err(error) = spawned {
                tracing::warn!(%error, "no thread for the upkeep of metrics: scrape /metrics to keep memory bounded");
            }
            Some(handle)
        })
        .as_ref()
}

fn describe(metric: &Metric) {
    let unit = match metric.unit {
        "seconds" => Unit::Seconds,
        "bytes" => Unit::Bytes,
        _ => Unit::Count,
    };
    match metric.kind {
        Kind::Counter => describe_counter!(metric.name, unit, metric.help),
        Kind::Gauge => describe_gauge!(metric.name, unit, metric.help),
        Kind::Histogram => describe_histogram!(metric.name, unit, metric.help),
    }
}

/// A request was answered. `route` is the template (`/api/tasks/{id}`), or `none`.
pub fn http_request(method: &Method, route: &str, status: u16, took: Duration) {
    let method = match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    };
    histogram!(HTTP_REQUEST_SECONDS, "method" => method, "route" => route.to_owned(), "status" => status.to_string())
        .record(took);
}

/// A connection was accepted.
pub fn connection_opened() {
    gauge!(HTTP_CONNECTIONS).increment(1);
}

/// A connection is gone.
pub fn connection_closed() {
    gauge!(HTTP_CONNECTIONS).decrement(1);
}

/// A connection was over a cap: `all` or `address`.
pub fn connection_refused(cap: &'static str) {
    counter!(HTTP_CONNECTIONS_REFUSED, "cap" => cap).increment(1);
}

/// Some thread or task panicked.
pub fn panicked() {
    counter!(PANICS).increment(1);
}

/// `POST /api/tasks` was answered: `created`, `replayed`, `conflict`, `full` or `invalid`.
pub fn task_submitted(result: &'static str) {
    counter!(TASKS_SUBMITTED, "result" => result).increment(1);
}

/// A task ended for good as `completed`, `failed` or `cancelled`.
pub fn task_ended(outcome: &'static str) {
    counter!(TASKS_ENDED, "outcome" => outcome).increment(1);
}

/// An attempt ended: `completed`, `cancelled`, `released`, or a failure's kind.
pub fn attempt_ended(reason: &'static str) {
    counter!(ATTEMPTS, "reason" => reason).increment(1);
}

/// Execution began so long after the task was accepted (or was due again).
pub fn task_waited(wait: Duration) {
    histogram!(TASK_WAIT_SECONDS).record(wait);
}

/// An attempt executed for so long.
pub fn task_ran(run: Duration) {
    histogram!(TASK_RUN_SECONDS).record(run);
}

/// An instance answered (or did not) the operation `op`: `prompt`, `queue`, `history`, `view`, `upload`, `interrupt`, …
pub fn comfy_request(op: &'static str, ok: bool, took: Duration) {
    histogram!(COMFY_REQUEST_SECONDS, "op" => op, "result" => if ok { "ok" } else { "error" }).record(took);
}

/// With tasks waiting, an instance stood idle for so long between two prompts.
pub fn instance_idle_gap(gap: Duration) {
    histogram!(INSTANCE_IDLE_GAP_SECONDS).record(gap);
}

/// The lease of an instance was taken over from a dispatcher that did not give it back.
pub fn lease_taken_over() {
    counter!(LEASE_TAKEOVERS).increment(1);
}

/// A prompt that ran was found again after a takeover and carried on.
pub fn task_reclaimed() {
    counter!(RECLAIMS).increment(1);
}

/// A WebSocket session began.
pub fn ws_opened() {
    gauge!(WS_SESSIONS).increment(1);
}

/// A WebSocket session ended.
pub fn ws_closed() {
    gauge!(WS_SESSIONS).decrement(1);
}

/// So many messages were handed to sockets.
pub fn ws_delivered(messages: u64) {
    counter!(WS_DELIVERIES).increment(messages);
}

/// A session was closed because its client did not keep up.
pub fn ws_closed_slow() {
    counter!(WS_SLOW_CLOSES).increment(1);
}

/// A user uploaded so many bytes.
pub fn uploaded(bytes: u64) {
    counter!(UPLOAD_BYTES).increment(bytes);
}

/// So many bytes of an instance's outputs were stored.
pub fn output_stored(bytes: u64) {
    counter!(OUTPUT_BYTES).increment(bytes);
}

/// Redis did not do what was asked: `unavailable`, `refused`, `corrupt`.
pub fn redis_error(kind: &'static str) {
    counter!(REDIS_ERRORS, "kind" => kind).increment(1);
}

/// So many spans were `sent`, or lost: `failed` at the collector, `dropped` because too many waited.
pub fn spans(result: &'static str, count: u64) {
    counter!(TRACE_SPANS, "result" => result).increment(count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Counts;
    use std::collections::{BTreeMap, BTreeSet};

    /// Every function once; the table and what is scraped then name the same metrics with the same labels.
    #[tokio::test]
    async fn the_table_is_what_is_scraped() {
        install();
        let second = Duration::from_secs(1);
        http_request(&Method::from_bytes(b"BREW").unwrap(), "/api/tasks/{id}", 200, second);
        connection_opened();
        connection_closed();
        connection_refused("all");
        panicked();
        task_submitted("created");
        task_ended("completed");
        attempt_ended("completed");
        task_waited(second);
        task_ran(second);
        comfy_request("prompt", true, second);
        instance_idle_gap(second);
        lease_taken_over();
        task_reclaimed();
        ws_opened();
        ws_closed();
        ws_delivered(3);
        ws_closed_slow();
        uploaded(4);
        output_stored(4);
        redis_error("unavailable");
        spans("sent", 1);
        instance("10.0.0.1:8188", true, false);
        set_refresh(|| async {
            Some(Counts { pending: 7, oldest_waiting_ms: Some(1_500), waiting_by_lane: [1, 2, 4], ..Counts::default() })
        });
        let text = render().await;
        let scraped = labels_by_name(&text);
        let stated: BTreeMap<String, BTreeSet<String>> = METRICS
            .iter()
            .map(|metric| (metric.name.to_owned(), metric.labels.iter().map(|&label| label.to_owned()).collect()))
            .collect();
        assert_eq!(scraped, stated);
        for line in [
            "shuzhiren_http_request_duration_seconds_bucket{method=\"other\",route=\"/api/tasks/{id}\",status=\"200\",le=\"1\"} 1",
            "shuzhiren_queue_tasks{state=\"pending\"} 7",
            "shuzhiren_queue_waiting{lane=\"low\"} 4",
            "shuzhiren_queue_oldest_seconds 1.5",
            "shuzhiren_instance_up{instance=\"10.0.0.1:8188\"} 1",
            "shuzhiren_ws_deliveries_total 3",
        ] {
            assert!(text.lines().any(|found| found == line), "no line `{line}` in\n{text}");
        }
        assert!(!text.contains(" summary"), "a histogram without buckets");
        assert!(text.contains("process_start_time_seconds"), "no process metrics");
        instance_gone("10.0.0.1:8188");
        set_refresh(|| async { None });
        let text = render().await;
        for unknown in ["shuzhiren_instance_up{instance=\"10.0.0.1:8188\"} NaN", "shuzhiren_queue_oldest_seconds NaN"] {
            assert!(text.contains(unknown), "no `{unknown}` in\n{text}");
        }
    }

    fn labels_by_name(text: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut found = BTreeMap::<String, BTreeSet<String>>::new();
        for line in text.lines().filter(|line| line.starts_with("shuzhiren_")) {
            let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
            let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| {
                name.strip_suffix(end)
                    .filter(|base| METRICS.iter().any(|m| m.name == *base && m.kind == Kind::Histogram))
            });
            let labels = found.entry(base.unwrap_or(name).to_owned()).or_default();
            let Some((inside, _value)) = rest.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) else {
                continue;
            };
            labels.extend(
                inside.split("\",").map(|pair| pair.split_once('=').unwrap().0.to_owned()).filter(|name| name != "le"),
            );
        }
        found
    }
}
