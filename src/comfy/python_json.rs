//! JSON as Python writes it: `NaN`, `Infinity`, lone surrogates, numbers where texts are meant (protocol §4, §17.15).
//!
//! Invariant: nothing here recurses by the depth of the input; nothing here panics.

use crate::{
    json::{lone_surrogates, string_end},
    text::truncated,
};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Longest escape of one byte of text: `\u0061`.
const ESCAPE_BYTES_MAX: usize = 6;

/// The bytes as JSON text: untouched when they are strict JSON, else with `NaN`, `Infinity` and `-Infinity` outside of
/// strings replaced by strings of these names: they may be values that a user wants to see. What is no JSON at all stays
/// so, and fails to parse later; bytes that are no text, which ComfyUI never sends, become empty.
pub(super) fn tidy(bytes: &[u8]) -> Cow<'_, str> {
    tidy_with(bytes, |word| format!("\"{word}\""))
}

fn tidy_with(bytes: &[u8], replacement: impl Fn(&str) -> String) -> Cow<'_, str> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(without_nan(text, replacement))
}

/// Like [`tidy`], with `null` instead of the names, and without a copy of bytes that are strict JSON.
pub(super) fn tidy_owned(bytes: Vec<u8>) -> String {
    match tidy_with(&bytes, |_| "null".to_owned()) {
        Cow::Owned(tidied) => tidied,
        Cow::Borrowed(_) => String::from_utf8(bytes).unwrap_or_default(),
    }
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

/// A string, or the digits of a number, cut to `bytes_max` bytes before it is decoded or copied; `None` for anything
/// else.
pub(super) fn text(raw: &RawValue, bytes_max: usize) -> Option<String> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => Some(truncated(owned(&literal_head(json, bytes_max))?, bytes_max)),
        Some(b'-' | b'0'..=b'9') => Some(json[..json.len().min(bytes_max)].to_owned()),
        _ => None,
    }
}

/// A string that is at most `bytes_max` bytes long and has no half of a surrogate pair; `None` for anything else.
pub(super) fn exact_text(raw: &RawValue, bytes_max: usize) -> Option<String> {
    let is_short = raw.get().len() <= ESCAPE_BYTES_MAX * bytes_max + 2;
    if is_short { read::<String>(raw.get()).filter(|text| text.len() <= bytes_max) } else { None }
}

/// The start of a string literal, closed again, from which at least `bytes_max` bytes can be decoded.
fn literal_head(json: &str, bytes_max: usize) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    if bytes.len() <= ESCAPE_BYTES_MAX * bytes_max + 2 {
        return Cow::Borrowed(json);
    }
    let mut end = 1;
    while end < ESCAPE_BYTES_MAX * bytes_max {
        end += match (bytes[end], bytes.get(end + 1)) {
            (b'\\', Some(b'u')) => ESCAPE_BYTES_MAX,
            (b'\\', _) => 2,
            _ => 1,
        };
    }
    let end = json.floor_char_boundary(end);
    Cow::Owned(format!("{}\"", &json[..end]))
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

fn without_nan(text: &str, replacement: impl Fn(&str) -> String) -> String {
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
                    tidied.push_str(&replacement(&text[start..end]));
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
    use super::{exact_text, object, read, text, tidy, tidy_owned};
    use proptest::prelude::*;
    use serde_json::{Value, json, value::RawValue};

    #[test]
    fn python_specials_are_replaced_outside_of_strings_only() {
        let special = br#"{"NaN":[NaN, -Infinity,Infinity,1.5e3,-2],"a":"NaN \" -Infinity","b":true}"#;
        let value: Value = read(&tidy(special)).unwrap();
        let named = json!({"NaN":["NaN","-Infinity","Infinity",1.5e3,-2],"a":"NaN \" -Infinity","b":true});
        assert_eq!(value, named);
        let value: Value = read(&tidy_owned(special.to_vec())).unwrap();
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
            assert_eq!(text(raw, 100).as_deref(), Some(wanted), "{json}");
            let is_whole = !wanted.contains('\u{fffd}') && json.starts_with('"');
            assert_eq!(exact_text(raw, 100).is_some(), is_whole, "{json}");
        }
    }

    #[test]
    fn a_long_text_is_cut_before_it_is_decoded() {
        for (part, wanted) in
            [("a", "a".repeat(10)), ("é", "é".repeat(5)), ("\\u00e9", "é".repeat(5)), ("\\n", "\n".repeat(10))]
        {
            let json = format!("\"{}\"", part.repeat(1_000));
            let raw: &RawValue = read(&json).unwrap();
            assert_eq!(text(raw, 10), Some(wanted), "{part}");
            assert_eq!(exact_text(raw, 10), None);
        }
        assert_eq!(text(read("123456").unwrap(), 3).as_deref(), Some("123"));
        assert_eq!(exact_text(read("\"abc\"").unwrap(), 3).as_deref(), Some("abc"));
        assert_eq!(exact_text(read("\"abcd\"").unwrap(), 3), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_no_json() {
        assert_eq!((tidy(&[0xFF; 9]).as_ref(), tidy_owned(vec![0xFF; 9]).as_str()), ("", ""));
        assert_eq!(tidy_owned(b"[1,NaN]".to_vec()), "[1,null]");
        assert_eq!(tidy_owned(b"[1]".to_vec()), "[1]");
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
                text(raw, 3);
                exact_text(raw, 3);
            }
        }

        #[test]
        fn any_string_survives(wanted in ".*") {
            let json = format!("[{},NaN]", serde_json::to_string(&wanted).unwrap());
            let tidied = tidy(json.as_bytes());
            prop_assert_eq!(read::<(String, String)>(&tidied), Some((wanted, "NaN".to_owned())));
        }

        #[test]
        fn any_escape_is_survived(escapes in "(\\\\u[0-9a-fD][0-9a-fA-F]{3}|\\\\\\\\|\\\\n|é|x){0,12}") {
            let json = format!("\"{escapes}\"");
            let raw: &RawValue = read(&json).unwrap();
            prop_assert!((0..10).all(|bytes_max| text(raw, bytes_max).is_some_and(|text| text.len() <= bytes_max)), "{}", json);
        }
    }
}
