//! Times written by clients.

/// Parses a time in RFC 3339: with `Z` or an offset `±HH:MM` of less than a day (jiff alone accepts `+25:00`, `+08` and names of
/// zones). `None` for any other text.
pub(crate) fn rfc3339(text: &str) -> Option<jiff::Timestamp> {
    let has_offset =
        text.ends_with(['Z', 'z']) || offset_of(text).is_some_and(|(hours, minutes)| hours < 24 && minutes < 60);
    text.parse().ok().filter(|_| has_offset)
}

/// Returns hours and minutes of the `±HH:MM` at the end.
fn offset_of(text: &str) -> Option<(u8, u8)> {
    let offset = text.get(text.len().checked_sub(6)?..)?;
    let (hours, minutes) = offset.strip_prefix(['+', '-'])?.split_once(':')?;
    Some((hours.parse().ok()?, minutes.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn an_offset_is_less_than_a_day() {
        for good in [
            "2030-01-01T08:00:00+08:00",
            "2030-01-01T00:00:00.123Z",
            "2030-01-01T23:59:00+23:59",
            "2030-01-01T00:00:00-00:30",
        ] {
            assert!(rfc3339(good).is_some(), "{good}");
        }
        let same = (rfc3339("2030-01-01T08:00:00+08:00"), rfc3339("2030-01-01T00:00:00Z"));
        assert_eq!(same.0, same.1);
        for bad in [
            "",
            "Z",
            "2030-01-01T00:00:00",
            "2030-01-01T00:00:00+25:00",
            "2030-01-01T00:00:00+24:00",
            "2030-01-01T00:00:00-25:59",
            "2030-01-01T00:00:00+08",
            "2030-01-01T00:00:00+0800",
            "2030-01-01T00:00:00+08:00:00",
            "2030-01-01T00:00:00+08:00[Asia/Shanghai]",
            "2030-01-01T00:00:00+08:60",
            "2030-13-01T00:00:00Z",
            "２０３０-01-01T00:00:00Z",
            "tomorrow",
        ] {
            assert!(rfc3339(bad).is_none(), "{bad}");
        }
    }
}
