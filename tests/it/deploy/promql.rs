//! Enough of PromQL to see that a query is whole and asks for what exists: brackets, metrics, labels, words.

use shuzhiren::metrics::{Kind, METRICS, Metric};

/// Labels that Prometheus adds to every series, and the name of our `instance` beside its own.
const ADDED: [&str; 4] = ["job", "instance", "exported_instance", "le"];
/// Metrics that are not ours: of Prometheus itself, and the standard ones of processes.
const FOREIGN: [&str; 6] = [
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
];
const WORDS: [&str; 17] = [
    "absent",
    "and",
    "by",
    "changes",
    "count",
    "histogram_quantile",
    "increase",
    "max",
    "min",
    "on",
    "or",
    "rate",
    "sum",
    "unless",
    "vector",
    "without",
    "avg",
];

/// Returns the problems of a query; empty = none.
pub fn faults(query: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut open = Vec::new();
    let mut rest = query;
    let mut last = None;
    while let Some(character) = rest.chars().next() {
        let mut end = character.len_utf8();
        match character {
            '"' => end = rest[1..].find('"').map_or(rest.len(), |at| at + 2),
            '(' | '{' | '[' => open.push((character, last)),
            ')' | '}' | ']' => match (open.pop(), character) {
                (Some(('(', _)), ')') | (Some(('{', _)), '}') | (Some(('[', _)), ']') => {}
                _ => faults.push(format!("`{character}` closes nothing")),
            },
            'a'..='z' | 'A'..='Z' | '_' => {
                end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let word = &rest[..end];
                faults.extend(judge(word, open.last().copied()));
                last = Some(word);
            }
            // A number, its unit with it.
            '0'..='9' => end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len()),
            _ => {}
        }
        rest = &rest[end..];
    }
    faults.extend(open.into_iter().map(|(bracket, _)| format!("`{bracket}` is never closed")));
    faults
}

/// A word within this bracket, before which this word stood.
fn judge(word: &str, within: Option<(char, Option<&str>)>) -> Option<String> {
    match within {
        // A range: 5m, $__rate_interval.
        Some(('[', _)) => None,
        Some(('{', metric)) => {
            let metric = metric.unwrap_or_default();
            let known = ADDED.contains(&word) || find(metric).is_some_and(|metric| metric.labels.contains(&word));
            (!known).then(|| format!("{metric} has no label `{word}`"))
        }
        Some(('(', Some("by" | "without" | "on"))) => {
            let known = ADDED.contains(&word) || METRICS.iter().any(|metric| metric.labels.contains(&word));
            (!known).then(|| format!("no metric has a label `{word}`"))
        }
        _ if word.starts_with("shuzhiren_") => find(word).is_none().then(|| format!("there is no metric `{word}`")),
        _ => (!WORDS.contains(&word) && !FOREIGN.contains(&word)).then(|| format!("what is `{word}`?")),
    }
}

/// The metric of a series: histograms have three, and none by their bare name.
fn find(series: &str) -> Option<&'static Metric> {
    let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| series.strip_suffix(end));
    METRICS.iter().find(|metric| match metric.kind {
        Kind::Histogram => base == Some(metric.name),
        Kind::Counter | Kind::Gauge => metric.name == series,
    })
}

#[test]
fn what_is_wrong_is_seen() {
    for (query, word) in [
        ("sum(rate(shuzhiren_tasks_ended_total[5m])", "never closed"),
        ("sum(rate(shuzhiren_tasks_ended_total[5m]}))", "closes nothing"),
        ("shuzhiren_tasks_endet_total", "no metric"),
        ("shuzhiren_task_wait_seconds", "no metric"),
        ("shuzhiren_panics_total_bucket", "no metric"),
        ("shuzhiren_tasks_ended_total{result=\"x\"}", "no label `result`"),
        ("sum by (colour) (shuzhiren_panics_total)", "no metric has a label `colour`"),
        ("summe(shuzhiren_panics_total)", "what is `summe`"),
    ] {
        assert!(faults(query).iter().any(|fault| fault.contains(word)), "{query}: {:?}", faults(query));
    }
    let query = r#"histogram_quantile(0.99, sum by (le, op) (rate(shuzhiren_comfy_request_duration_seconds_bucket{op="a)b", result!="ok"}[$__rate_interval]))) > 1.5"#;
    assert_eq!(faults(query), [""; 0]);
}
