//! String literals in JSON text: where they end, and `\u` escapes that are half of a surrogate pair.
//!
//! Nothing here panics on text that is not valid JSON.

/// Returns the place after the closing quote of the string literal that starts at `start`; the length of `bytes` if it
/// is never closed.
pub(crate) fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Returns the places of the `\uXXXX` escapes of `json` that are half of a surrogate pair and stand for no character.
pub(crate) fn lone_surrogates(json: &str) -> impl Iterator<Item = usize> {
    let bytes = json.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            at += bytes.get(at..)?.iter().position(|&byte| byte == b'\\')?;
            let escape = at;
            match code_unit(bytes, escape) {
                Some(0xD800..=0xDBFF) if matches!(code_unit(bytes, escape + 6), Some(0xDC00..=0xDFFF)) => at += 12,
                Some(0xD800..=0xDFFF) => {
                    at += 6;
                    return Some(escape);
                }
                _ => at += 2,
            }
        }
    })
}

/// The code unit of a `\uXXXX` escape at `at`.
fn code_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit: u16, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::{lone_surrogates, string_end};

    #[test]
    fn a_string_ends_at_its_own_quote() {
        for (json, end) in [(r#""a" "#, 3), (r#""\"" "#, 4), (r#""\\" "#, 4), (r#""é", "b""#, 4), (r#""a\"#, 3)] {
            assert_eq!(string_end(json.as_bytes(), 0), end, "{json}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_found() {
        for (json, wanted) in [
            (r#""\ud800""#, &[1][..]),
            (r#""\udc00""#, &[1]),
            (r#""\ud800\ud800""#, &[1, 7]),
            (r#""\ud800x""#, &[1]),
            (r#""\ud83d\\ude00""#, &[1]),
            (r#""\uDFFFx""#, &[1]),
            (r#""\ud83d\ud83d\ude00""#, &[1]),
            (r#""\ud83d\ude00 \\ud800 \u00e9""#, &[]),
            (r#""\u12"#, &[]),
        ] {
            assert_eq!(lone_surrogates(json).collect::<Vec<_>>(), wanted, "{json}");
        }
    }
}
