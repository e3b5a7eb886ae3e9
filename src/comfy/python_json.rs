//! JSON as Python writes it: `NaN`, `Infinity`, lone surrogates, numbers where texts are meant (protocol §4, §17.15).
//!
//! Invariant: nothing here recurses by the depth of the input; nothing here panics.

use crate::json::{lone_surrogates, string_end};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The bytes as JSON text: untouched when they are strict JSON, else with `NaN`, `Infinity` and `-Infinity` outside of
/// strings replaced by `null`. What is no JSON at all stays so, and fails to parse later.
pub(super) fn tidy(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if serde_json::from_str::<IgnoredAny>(&text).is_ok() {
        return text;
    }
    Cow::Owned(without_nan(&text))
}

/// Parses strictly; `None` for another shape.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    serde_json::from_str(json).ok()
}

/// Like [`read`] for a struct, which serde would also make from a list.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    if json.trim_ascii_start().starts_with('{') { read(json) } else { None }
}

/// Parses into what owns its texts; half surrogates are replaced.
pub(super) fn owned<T: DeserializeOwned>(json: &str) -> Option<T> {
    read(json).or_else(|| read(&without_lone_surrogates(json)))
}

/// A string, or the digits of a number; `None` for anything else.
pub(super) fn text(raw: &RawValue) -> Option<String> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => owned(json),
        Some(b'-' | b'0'..=b'9') => Some(json.to_owned()),
        _ => None,
    }
}

/// A finite number.
pub(super) fn number(raw: &RawValue) -> Option<f64> {
    read::<f64>(raw.get()).filter(|number| number.is_finite())
}

/// The number as a count, cut to what fits.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and that is what is wanted"
)]
pub(super) fn count(raw: &RawValue) -> Option<u64> {
    read::<u64>(raw.get()).or_else(|| number(raw).map(|number| number as u64))
}

fn without_nan(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut tidied = String::with_capacity(text.len());
    let (mut copied, mut at) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            byte if byte.is_ascii_alphabetic() => {
                let end =
                    bytes[at..].iter().position(|byte| !byte.is_ascii_alphabetic()).map_or(bytes.len(), |n| at + n);
                let is_negative = at > copied && bytes[at - 1] == b'-';
                let start = match &text[at..end] {
                    "NaN" => Some(at),
                    "Infinity" if is_negative => Some(at - 1),
                    "Infinity" => Some(at),
                    _ => None,
                };
                if let Some(start) = start {
                    tidied.push_str(&text[copied..start]);
                    tidied.push_str("null");
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    tidied.push_str(&text[copied..]);
    tidied
}

/// Replaces escapes that are half of a surrogate pair (file names with undecodable bytes) by U+FFFD.
fn without_lone_surrogates(json: &str) -> String {
    let mut replaced = String::with_capacity(json.len());
    let mut copied = 0;
    for escape in lone_surrogates(json) {
        replaced.push_str(&json[copied..escape]);
        replaced.push_str("\\ufffd");
        copied = escape + "\\uXXXX".len();
    }
    replaced.push_str(&json[copied..]);
    replaced
}

#[cfg(test)]
mod tests {
    use super::{object, read, text, tidy};
    use proptest::prelude::*;
    use serde_json::{Value, json, value::RawValue};

    #[test]
    fn python_specials_become_null_outside_of_strings_only() {
        let tidied = tidy(br#"{"NaN":[NaN, -Infinity,Infinity,1.5e3,-2],"a":"NaN \" -Infinity","b":true}"#);
        let value: Value = read(&tidied).unwrap();
        assert_eq!(value, json!({"NaN":[null,null,null,1.5e3,-2],"a":"NaN \" -Infinity","b":true}));
    }

    #[test]
    fn strict_json_is_not_copied() {
        assert!(matches!(tidy(br#"{"a":18446744073709551616}"#), std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn half_surrogates_become_the_replacement_character() {
        for (json, wanted) in [
            (r#""a\udce4b""#, "a\u{fffd}b"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\\udce4 \ud800""#, "\\udce4 \u{fffd}"),
            ("42", "42"),
        ] {
            let raw: &RawValue = read(json).unwrap();
            assert_eq!(text(raw).as_deref(), Some(wanted), "{json}");
        }
    }

    #[test]
    fn a_list_is_no_object() {
        #[derive(serde::Deserialize)]
        struct Named {
            name: u8,
        }
        assert_eq!(object::<Named>(" {\"name\":1}").map(|named| named.name), Some(1));
        assert!(object::<Named>("[1]").is_none());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let tidied = tidy(&bytes);
            if let Some(raw) = read::<&RawValue>(&tidied) {
                text(raw);
            }
        }

        #[test]
        fn any_string_survives(wanted in ".*") {
            let json = format!("[{},NaN]", serde_json::to_string(&wanted).unwrap());
            let tidied = tidy(json.as_bytes());
            prop_assert_eq!(read::<(String, Option<u8>)>(&tidied), Some((wanted, None)));
        }

        #[test]
        fn any_escape_is_survived(escapes in "(\\\\u[0-9a-fD][0-9a-fA-F]{3}|\\\\\\\\|\\\\n|é|x){0,12}") {
            let json = format!("\"{escapes}\"");
            let raw: &RawValue = read(&json).unwrap();
            prop_assert!(text(raw).is_some(), "{}", json);
        }
    }
}
