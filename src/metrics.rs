//! All metrics: name, unit, labels, help and buckets ([`METRICS`]), and one small function to record each event.
//!
//! Conventions: prefix `shuzhiren_`, base units, counters end in `_total`, histograms have buckets (no summaries, which
//! cannot be aggregated over processes). Invariant: labels are bounded: a route template, a fixed word, a configured
//! instance; never a path, a task or a user. All functions work, at almost no cost, before and without [`install`].
//!
#![doc = include_str!("metrics/metrics.md")]

mod gauges;
mod initial;
mod table;

pub use gauges::{disk, instance, instance_gone, set_refresh};
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
    INSTANCE_IDLE_GAP_SECONDS, LEASE_TAKEOVERS, LOG_LINES_LOST, OUTPUT_BYTES, OUTPUT_BYTES_DROPPED, PANICS, RECLAIMS,
    REDIS_DATA_LOST, REDIS_ERRORS, REDIS_MEMORY_BYTES, REDIS_MEMORY_MAX_BYTES, REDIS_REPAIRS, REDIS_SILENT_SECONDS,
    REDIS_UNFIT, STORE_FOREIGN, TASK_RUN_SECONDS, TASK_WAIT_SECONDS, TASKS_ENDED, TASKS_SUBMITTED, TRACE_SPANS,
    UPLOAD_BYTES, WS_DELIVERIES, WS_SESSIONS, WS_SLOW_CLOSES,
};

/// Interval at which samples are folded into buckets without scrapes; otherwise they accumulate.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts collecting; further calls do nothing. [`crate::process::ops_router`] calls it.
pub fn install() {
    handle();
}

/// Returns all metrics in the Prometheus text format. Calls the hook of [`set_refresh`] first, unless it was just
/// called.
pub async fn render() -> String {
    let Some(handle) = handle() else { return String::new() };
    gauges::refresh().await;
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    static PROCESS: LazyLock<metrics_process::Collector> = LazyLock::new(|| {
        let collector = metrics_process::Collector::default();
        collector.describe();
        collector
    });
    PROCESS.collect();
    handle.render()
}

/// Returns the recorder; `None` only if another one was installed in this process before.
fn handle() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let mut builder = PrometheusBuilder::new();
            for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Histogram) {
                // Fails only for an empty list, which a test of the table excludes.
                builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets).ok()?;
            }
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            ::metrics::set_global_recorder(recorder).ok()?;
            METRICS.iter().for_each(describe);
            initial::begin();
            let upkeep = handle.clone();
            // A thread, because it needs no runtime and runs as long as the process.
            let spawned = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
                loop {
                    std::thread::sleep(UPKEEP);
                    upkeep.run_upkeep();
                }
            });
            if let Err(error) = spawned {
                tracing::warn!(%error, "starting the metrics upkeep thread failed; scrape /metrics to keep memory bounded");
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

/// Records an answered request. `route` is the template (`/api/tasks/{id}`), or `none`.
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

/// Records an accepted connection.
pub fn connection_opened() {
    gauge!(HTTP_CONNECTIONS).increment(1);
}

/// Records a closed connection.
pub fn connection_closed() {
    gauge!(HTTP_CONNECTIONS).decrement(1);
}

/// Records a connection refused by a limit: `all` or `address`.
pub fn connection_refused(cap: &'static str) {
    counter!(HTTP_CONNECTIONS_REFUSED, "cap" => cap).increment(1);
}

/// Records a panic of a thread or task.
pub fn panicked() {
    counter!(PANICS).increment(1);
}

/// Records a log line that could not be written.
pub fn log_line_lost() {
    counter!(LOG_LINES_LOST).increment(1);
}

/// Records the result of a `POST /api/tasks`: `created`, `replayed`, `conflict`, `full` or `invalid`.
pub fn task_submitted(result: &'static str) {
    counter!(TASKS_SUBMITTED, "result" => result).increment(1);
}

/// Records the final outcome of a task: `completed`, `failed` or `cancelled`.
pub fn task_ended(outcome: &'static str) {
    counter!(TASKS_ENDED, "outcome" => outcome).increment(1);
}

/// Records the end of an attempt: `completed`, `cancelled`, `released`, or a failure kind.
pub fn attempt_ended(reason: &'static str) {
    counter!(ATTEMPTS, "reason" => reason).increment(1);
}

/// Records the time from acceptance (or the due time of a retry) to the start of execution.
pub fn task_waited(wait: Duration) {
    histogram!(TASK_WAIT_SECONDS).record(wait);
}

/// Records the execution time of an attempt.
pub fn task_ran(run: Duration) {
    histogram!(TASK_RUN_SECONDS).record(run);
}

/// Records a request to an instance: `op` is `prompt`, `queue`, `history`, `view`, `upload`, `interrupt`, …
pub fn comfy_request(op: &'static str, ok: bool, took: Duration) {
    histogram!(COMFY_REQUEST_SECONDS, "op" => op, "result" => if ok { "ok" } else { "error" }).record(took);
}

/// Records the idle time of an instance between two prompts while tasks were waiting.
pub fn instance_idle_gap(gap: Duration) {
    histogram!(INSTANCE_IDLE_GAP_SECONDS).record(gap);
}

/// Records a lease taken over from a dispatcher that did not release it.
pub fn lease_taken_over() {
    counter!(LEASE_TAKEOVERS).increment(1);
}

/// Records a running prompt that was found and continued after a takeover.
pub fn task_reclaimed() {
    counter!(RECLAIMS).increment(1);
}

/// Records the start of a WebSocket session.
pub fn ws_opened() {
    gauge!(WS_SESSIONS).increment(1);
}

/// Records the end of a WebSocket session.
pub fn ws_closed() {
    gauge!(WS_SESSIONS).decrement(1);
}

/// Records messages written to sockets.
pub fn ws_delivered(messages: u64) {
    counter!(WS_DELIVERIES).increment(messages);
}

/// Records a session closed because its client was too slow.
pub fn ws_closed_slow() {
    counter!(WS_SLOW_CLOSES).increment(1);
}

/// Records uploaded bytes.
pub fn uploaded(bytes: u64) {
    counter!(UPLOAD_BYTES).increment(bytes);
}

/// Records stored bytes of outputs.
pub fn output_stored(bytes: u64) {
    counter!(OUTPUT_BYTES).increment(bytes);
}

/// Records bytes freed by deleting outputs before the end of their retention.
pub fn outputs_dropped(bytes: u64) {
    counter!(OUTPUT_BYTES_DROPPED).increment(bytes);
}

/// Records a failed Redis call: `unavailable`, `not_confirmed`, `memory_full`, `refused`, `lost`, `unusable`,
/// `corrupt`.
pub fn redis_error(kind: &'static str) {
    counter!(REDIS_ERRORS, "kind" => kind).increment(1);
}

/// Sets whether Redis lost the data of this system.
pub fn redis_data_lost(is_lost: bool) {
    gauge!(REDIS_DATA_LOST).set(f64::from(u8::from(is_lost)));
}

/// Sets the memory of Redis in use and its `maxmemory` (0 = none), bytes.
#[expect(clippy::cast_precision_loss, reason = "gauges are f64; a byte more or less does not matter")]
pub fn redis_memory(used: u64, limit: u64) {
    gauge!(REDIS_MEMORY_BYTES).set(used as f64);
    gauge!(REDIS_MEMORY_MAX_BYTES).set(limit as f64);
}

/// Sets for how long Redis has owed an answer on a connection: `commands` 2 is the connection `commands-2`.
pub fn redis_silent(purpose: &'static str, number: usize, silent: Duration) {
    gauge!(REDIS_SILENT_SECONDS, "connection" => format!("{purpose}-{number}")).set(silent.as_secs_f64());
}

/// Sets whether Redis would be refused at a start.
pub fn redis_unfit(is_unfit: bool) {
    gauge!(REDIS_UNFIT).set(f64::from(u8::from(is_unfit)));
}

/// Sets whether the files of the store belong to another system than that of Redis.
pub fn store_foreign(is_foreign: bool) {
    gauge!(STORE_FOREIGN).set(f64::from(u8::from(is_foreign)));
}

/// Records a connection to Redis that answers again after it was `reconnected` or `replaced`.
pub fn redis_repaired(purpose: &'static str, how: &'static str) {
    counter!(REDIS_REPAIRS, "purpose" => purpose, "how" => how).increment(1);
}

/// Records spans that were `sent` or lost: `failed` at the collector, `dropped` because the queue was full.
pub fn spans(result: &'static str, count: u64) {
    counter!(TRACE_SPANS, "result" => result).increment(count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Counts;
    use std::collections::{BTreeMap, BTreeSet};

    /// After each function was called once, the table and the scraped text have the same metrics with the same labels.
    #[tokio::test]
    async fn the_table_matches_the_scraped_text() {
        install();
        let second = Duration::from_secs(1);
        http_request(&Method::from_bytes(b"BREW").unwrap(), "/api/tasks/{id}", 200, second);
        connection_opened();
        connection_closed();
        connection_refused("all");
        panicked();
        log_line_lost();
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
        redis_data_lost(false);
        redis_memory(1, 2);
        redis_silent("commands", 1, second);
        redis_unfit(false);
        store_foreign(false);
        redis_repaired("commands", "replaced");
        disk(7, 8);
        spans("sent", 1);
        instance("10.0.0.1:8188", true, false, false);
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
