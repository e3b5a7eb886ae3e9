//! Text for people: durations, sizes, statuses.

pub(crate) use crate::text::size as bytes;

use serde_json::Value;

/// Formats a duration: `850 ms`, `3.2 s`, `4 min 10 s`, `3 h 5 min`, `2 d 3 h`.
pub(crate) fn format_ms(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Converts an RFC 3339 time to Unix ms.
pub(crate) fn unix_ms(time: &Value) -> Option<u64> {
    let time: jiff::Timestamp = time.as_str()?.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

/// Formats the age of a time: `12 s`, `3 min`, `5 h`, `2 d`. Empty if there is no time.
pub(crate) fn age(time: &Value, now_ms: u64) -> String {
    let Some(then) = unix_ms(time) else { return String::new() };
    let seconds = now_ms.saturating_sub(then) / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Returns a string member, empty if missing.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Whether a task with this status has ended.
pub(crate) fn is_ended(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "cancelled")
}

/// Formats the node of an error, `node 2 (TestSteps)`, if it names one.
pub(crate) fn node_of(error: &Value) -> Option<String> {
    let node = error["nodeId"].as_str()?;
    Some(error["nodeType"].as_str().map_or_else(|| format!("node {node}"), |class| format!("node {node} ({class})")))
}

#[cfg(test)]
mod tests {
    use super::{age, bytes, format_ms};
    use serde_json::json;

    #[test]
    fn durations_and_sizes_are_short() {
        for (ms, expected) in
            [(0, "0 ms"), (999, "999 ms"), (3_240, "3.2 s"), (250_000, "4 min 10 s"), (11_100_000, "3 h 5 min")]
        {
            assert_eq!(format_ms(ms), expected);
        }
        for (count, expected) in [(0, "0 B"), (1_023, "1023 B"), (5_130, "5.0 KiB"), (1 << 50, "1024.0 TiB")] {
            assert_eq!(bytes(count), expected);
        }
        let now = 1_704_067_260_000;
        assert_eq!(age(&json!("2024-01-01T00:00:00.000Z"), now), "1 min");
        assert_eq!(age(&json!("2030-01-01T00:00:00.000Z"), now), "0 s", "clocks differ");
        assert_eq!(age(&json!(null), now), "");
    }
}
