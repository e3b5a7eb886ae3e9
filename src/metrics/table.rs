//! Table of all metrics.

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name as scraped (histograms add `_bucket`, `_sum`, `_count`).
    pub name: &'static str,
    /// Kind of the metric.
    pub kind: Kind,
    /// Unit: `seconds`, `bytes`, or the things counted.
    pub unit: &'static str,
    /// Names of the labels.
    pub labels: &'static [&'static str],
    /// Help text.
    pub help: &'static str,
    /// Upper bounds of the buckets of a histogram.
    pub buckets: &'static [f64],
}

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Value that only increases.
    Counter,
    /// Value that increases and decreases.
    Gauge,
    /// Distribution over buckets.
    Histogram,
}

pub(super) const HTTP_REQUEST_SECONDS: &str = "shuzhiren_http_request_duration_seconds";
pub(super) const HTTP_CONNECTIONS: &str = "shuzhiren_http_connections";
pub(super) const HTTP_CONNECTIONS_REFUSED: &str = "shuzhiren_http_connections_refused_total";
pub(super) const LOG_LINES_LOST: &str = "shuzhiren_log_lines_lost_total";
pub(super) const PANICS: &str = "shuzhiren_panics_total";
pub(super) const TASKS_SUBMITTED: &str = "shuzhiren_tasks_submitted_total";
pub(super) const TASKS_ENDED: &str = "shuzhiren_tasks_ended_total";
pub(super) const ATTEMPTS: &str = "shuzhiren_attempts_total";
pub(super) const TASK_WAIT_SECONDS: &str = "shuzhiren_task_wait_seconds";
pub(super) const TASK_RUN_SECONDS: &str = "shuzhiren_task_run_seconds";
pub(super) const QUEUE_TASKS: &str = "shuzhiren_queue_tasks";
pub(super) const QUEUE_WAITING: &str = "shuzhiren_queue_waiting";
pub(super) const QUEUE_OLDEST_SECONDS: &str = "shuzhiren_queue_oldest_seconds";
pub(super) const INSTANCE_UP: &str = "shuzhiren_instance_up";
pub(super) const INSTANCE_BUSY: &str = "shuzhiren_instance_busy";
pub(super) const INSTANCE_QUARANTINED: &str = "shuzhiren_instance_quarantined";
pub(super) const INSTANCE_IDLE_GAP_SECONDS: &str = "shuzhiren_instance_idle_gap_seconds";
pub(super) const COMFY_REQUEST_SECONDS: &str = "shuzhiren_comfy_request_duration_seconds";
pub(super) const LEASE_TAKEOVERS: &str = "shuzhiren_lease_takeovers_total";
pub(super) const RECLAIMS: &str = "shuzhiren_reclaims_total";
pub(super) const WS_SESSIONS: &str = "shuzhiren_ws_sessions";
pub(super) const WS_DELIVERIES: &str = "shuzhiren_ws_deliveries_total";
pub(super) const WS_SLOW_CLOSES: &str = "shuzhiren_ws_slow_closes_total";
pub(super) const UPLOAD_BYTES: &str = "shuzhiren_upload_bytes_total";
pub(super) const OUTPUT_BYTES: &str = "shuzhiren_output_bytes_total";
pub(super) const OUTPUT_BYTES_DROPPED: &str = "shuzhiren_output_bytes_dropped_total";
pub(super) const FILES: &str = "shuzhiren_files";
pub(super) const FILE_BYTES: &str = "shuzhiren_file_bytes";
pub(super) const DISK_FREE_BYTES: &str = "shuzhiren_disk_free_bytes";
pub(super) const DISK_RESERVE_BYTES: &str = "shuzhiren_disk_reserve_bytes";
pub(super) const REDIS_ERRORS: &str = "shuzhiren_redis_errors_total";
pub(super) const REDIS_DATA_LOST: &str = "shuzhiren_redis_data_lost";
pub(super) const REDIS_MEMORY_BYTES: &str = "shuzhiren_redis_memory_bytes";
pub(super) const REDIS_MEMORY_MAX_BYTES: &str = "shuzhiren_redis_memory_max_bytes";
pub(super) const REDIS_SILENT_SECONDS: &str = "shuzhiren_redis_silent_seconds";
pub(super) const REDIS_UNFIT: &str = "shuzhiren_redis_unfit";
pub(super) const STORE_FOREIGN: &str = "shuzhiren_store_foreign";
pub(super) const REDIS_REPAIRS: &str = "shuzhiren_redis_repairs_total";
pub(super) const TRACE_SPANS: &str = "shuzhiren_trace_spans_total";
pub(super) const BUILD_INFO: &str = "shuzhiren_build_info";

/// Buckets for requests, from half a millisecond to the time limit.
const REQUEST_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Buckets for tasks, from a cached graph to an hour of video.
const TASK_BUCKETS: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0];
/// Buckets for the gap between two prompts; the target is a median below 10 ms.
const GAP_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// All metrics except for the standard `process_*`.
pub const METRICS: &[Metric] = &[
    histogram(
        HTTP_REQUEST_SECONDS,
        &["method", "route", "status"],
        REQUEST_BUCKETS,
        "Time from the head of a request to the head of its response, by route template.",
    ),
    gauge(HTTP_CONNECTIONS, "connections", &[], "Open connections, WebSockets included."),
    counter(
        HTTP_CONNECTIONS_REFUSED,
        "connections",
        &["cap"],
        "Connections refused with 503: the total limit, or that of one address, was reached.",
    ),
    counter(
        LOG_LINES_LOST,
        "lines",
        &[],
        "Log lines that could not be written to standard error: its disk is full, or its reader is gone or has stopped.",
    ),
    counter(PANICS, "panics", &[], "Panics of this process; each is a bug."),
    counter(
        TASKS_SUBMITTED,
        "requests",
        &["result"],
        "POST /api/tasks by result: created, replayed, conflict, full, invalid, unavailable.",
    ),
    counter(
        TASKS_ENDED,
        "tasks",
        &["outcome"],
        "Tasks ended (completed, failed, cancelled), each counted once, by the process that wrote the ending.",
    ),
    counter(ATTEMPTS, "attempts", &["reason"], "Attempts ended, by reason: completed, cancelled, or a failure kind."),
    histogram(
        TASK_WAIT_SECONDS,
        &[],
        TASK_BUCKETS,
        "Time from acceptance, or from the return to the queue by an earlier attempt, to the start of execution.",
    ),
    histogram(TASK_RUN_SECONDS, &[], TASK_BUCKETS, "Time from start to end of execution."),
    gauge(
        QUEUE_TASKS,
        "tasks",
        &["state"],
        "Tasks in Redis by status. Every process reports the same value: take max, not sum.",
    ),
    gauge(QUEUE_WAITING, "tasks", &["lane"], "Tasks waiting by priority. Take max, not sum."),
    gauge(
        QUEUE_OLDEST_SECONDS,
        "seconds",
        &[],
        "Age of the oldest pending task, 0 if there is none. Take max, not sum.",
    ),
    gauge(
        INSTANCE_UP,
        "bool",
        &["instance"],
        "1 = the instance responds and works, reported by its lease holder; NaN = not leased by this process.",
    ),
    gauge(
        INSTANCE_BUSY,
        "bool",
        &["instance"],
        "1 = the instance has a task, reported by its lease holder; NaN = not leased by this process.",
    ),
    gauge(
        INSTANCE_QUARANTINED,
        "bool",
        &["instance"],
        "1 = the machine of the instance seems broken, so it only gets trials; NaN = not leased by this process.",
    ),
    histogram(
        INSTANCE_IDLE_GAP_SECONDS,
        &[],
        GAP_BUCKETS,
        "Time from the end of a prompt to the next POST /prompt of the same instance while tasks waited.",
    ),
    histogram(
        COMFY_REQUEST_SECONDS,
        &["op", "result"],
        REQUEST_BUCKETS,
        "Requests to ComfyUI by operation; the result is ok or error.",
    ),
    counter(LEASE_TAKEOVERS, "leases", &[], "Leases taken over from a dispatcher that did not release them."),
    counter(RECLAIMS, "tasks", &[], "Prompts found after a takeover and continued without a second run."),
    gauge(WS_SESSIONS, "sessions", &[], "Open WebSocket sessions."),
    counter(WS_DELIVERIES, "messages", &[], "Messages written to WebSockets."),
    counter(WS_SLOW_CLOSES, "sessions", &[], "Sessions closed because the client was too slow."),
    counter(UPLOAD_BYTES, "bytes", &[], "Bytes uploaded by users."),
    counter(OUTPUT_BYTES, "bytes", &[], "Bytes of outputs stored."),
    counter(
        OUTPUT_BYTES_DROPPED,
        "bytes",
        &[],
        "Bytes freed by deleting the oldest outputs before the end of their retention, because of --keep-bytes or a full disk.",
    ),
    gauge(
        FILES,
        "files",
        &["kind"],
        "Registered files by kind: upload, output; stored = objects in the store, where identical bytes count once. Take max, not sum.",
    ),
    gauge(FILE_BYTES, "bytes", &["kind"], "Bytes of registered files and stored objects, by kind. Take max, not sum."),
    counter(
        REDIS_ERRORS,
        "errors",
        &["kind"],
        "Failed Redis calls by kind: unavailable, not_confirmed, memory_full, refused, lost, unusable, corrupt.",
    ),
    gauge(
        REDIS_DATA_LOST,
        "bool",
        &[],
        "1 = Redis was emptied or replaced; all calls of this process are refused until the data is back.",
    ),
    gauge(
        REDIS_MEMORY_BYTES,
        "bytes",
        &[],
        "Memory of Redis in use, as it counts against maxmemory. Take max, not sum.",
    ),
    gauge(
        REDIS_MEMORY_MAX_BYTES,
        "bytes",
        &[],
        "maxmemory of Redis, 0 = no limit. From 90 % on nothing is accepted. Take max, not sum.",
    ),
    gauge(
        REDIS_SILENT_SECONDS,
        "seconds",
        &["connection"],
        "Time since when Redis owes an answer on a connection of this process, 0 = it answers.",
    ),
    gauge(
        REDIS_UNFIT,
        "bool",
        &[],
        "1 = Redis would be refused at a start: it evicts keys, is a replica, or cannot give the durability.",
    ),
    gauge(
        STORE_FOREIGN,
        "bool",
        &[],
        "1 = the files belong to another system than the one in Redis: Redis was emptied or replaced.",
    ),
    counter(
        REDIS_REPAIRS,
        "repairs",
        &["purpose", "how"],
        "Connections to Redis that did not answer and were reconnected, or replaced by a new client.",
    ),
    gauge(DISK_FREE_BYTES, "bytes", &[], "Free space of the file store's disk. Take min, not sum."),
    gauge(
        DISK_RESERVE_BYTES,
        "bytes",
        &[],
        "Reserve of the file store's disk: with less free space, uploads get 507 and tasks wait.",
    ),
    counter(
        TRACE_SPANS,
        "spans",
        &["result"],
        "Spans of traces (builds with `otel`): sent, failed (refused by the collector), dropped (queue full).",
    ),
    gauge(BUILD_INFO, "1", &["version"], "Always 1; the version is the label."),
];

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, unit, labels, help, buckets: &[] }
}

const fn gauge(name: &'static str, unit: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, labels, help, buckets: &[] }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    buckets: &'static [f64],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, unit: "seconds", labels, help, buckets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in METRICS {
            assert!(metric.name.starts_with("shuzhiren_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert_eq!(metric.kind == Kind::Histogram, !metric.buckets.is_empty(), "{}", metric.name);
            assert!(metric.buckets.is_sorted(), "{}", metric.name);
            assert!(metric.unit != "seconds" || metric.name.ends_with("_seconds"), "{}", metric.name);
        }
    }
}
