//! Range and condition headers of a download (RFC 9110 §13, §14). Pure.

use axum::http::{HeaderMap, header};
use std::ops::Range;

/// Part of a file that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The whole file.
    Whole,
    /// A range inside the file, not empty.
    Part(Range<u64>),
    /// A range outside the file: 416.
    Outside,
    /// Nothing: the client's copy is current: 304.
    Unchanged,
}

/// Reads `If-None-Match`, `If-Range` and `Range`. Several ranges, other units and invalid values mean the whole file, as the RFC
/// allows.
pub(crate) fn wanted(headers: &HeaderMap, etag: &str, size: u64) -> Wanted {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let mut known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    if known.any(|list| names(list, etag)) {
        return Wanted::Unchanged;
    }
    if text(header::IF_RANGE).is_some_and(|condition| condition.trim() != etag) {
        return Wanted::Whole;
    }
    text(header::RANGE).map_or(Wanted::Whole, |range| parse(range, size))
}

/// Whether a list of entity tags contains this one.
pub(crate) fn names(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}

fn parse(range: &str, size: u64) -> Wanted {
    let Some((unit, spec)) = range.split_once('=') else { return Wanted::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    match (number(first), number(last)) {
        (Some(None), Some(Some(suffix))) => within(size.saturating_sub(suffix)..size, size),
        (Some(Some(first)), Some(None)) => within(first..size, size),
        (Some(Some(first)), Some(Some(last))) if first <= last => within(first..last.saturating_add(1).min(size), size),
        _ => Wanted::Whole,
    }
}

/// Reads an end of a range: `None` = not a number, `Some(None)` = absent. Too many digits are a number beyond every file.
fn number(text: &str) -> Option<Option<u64>> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

fn within(range: Range<u64>, size: u64) -> Wanted {
    if range.start < size && range.start < range.end { Wanted::Part(range) } else { Wanted::Outside }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, wanted};
    use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

    fn ask(headers: &[(HeaderName, &str)], size: u64) -> Wanted {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        wanted(&headers, "\"abc\"", size)
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-4", Wanted::Part(2..5)),
            ("bytes=2-", Wanted::Part(2..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=5-99", Wanted::Part(5..10)),
            ("bytes=5-99999999999999999999999", Wanted::Part(5..10)),
            ("Bytes=0-1", Wanted::Part(0..2)),
            ("bytes=10-", Wanted::Outside),
            ("bytes=99999999999999999999999-", Wanted::Outside),
            ("bytes=10-11", Wanted::Outside),
            ("bytes=-0", Wanted::Outside),
            ("bytes=4-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=--1", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("bytes", Wanted::Whole),
        ] {
            assert_eq!(ask(&[(header::RANGE, range)], 10), expected, "{range}");
        }
        assert_eq!(ask(&[(header::RANGE, "bytes=0-")], 0), Wanted::Outside);
        assert_eq!(ask(&[], 10), Wanted::Whole);
    }

    #[test]
    fn conditions_are_honoured() {
        for (value, expected) in [
            ("\"abc\"", Wanted::Unchanged),
            ("W/\"abc\"", Wanted::Unchanged),
            ("\"x\", \"abc\"", Wanted::Unchanged),
            ("*", Wanted::Unchanged),
            ("\"x\"", Wanted::Whole),
            ("abc", Wanted::Whole),
        ] {
            assert_eq!(ask(&[(header::IF_NONE_MATCH, value)], 10), expected, "{value}");
        }
        assert_eq!(ask(&[(header::IF_RANGE, "\"abc\""), (header::RANGE, "bytes=0-0")], 10), Wanted::Part(0..1));
        assert_eq!(ask(&[(header::IF_RANGE, "\"old\""), (header::RANGE, "bytes=0-0")], 10), Wanted::Whole);
        assert_eq!(ask(&[(header::IF_NONE_MATCH, "\"abc\""), (header::RANGE, "bytes=0-0")], 10), Wanted::Unchanged);
    }
}
