//! JSON as Python writes it: `NaN`, `Infinity`, lone surrogates, numbers where texts are meant (protocol §4, §17.15).
//!
//! Invariant: nothing here recurses by the depth of the input; nothing here panics.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// An object, unread: its keys in the order of the text, doubles included.
pub(super) struct Pairs<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

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

/// At most `bytes_max` bytes of `text`, cut between characters.
pub(super) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let mut end = bytes_max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
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

/// One past the quote that ends the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
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

/// JSON whose half surrogate escapes (file names with undecodable bytes) are U+FFFD.
fn without_lone_surrogates(json: &str) -> String {
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let taken = match surrogate(escape) {
            Some(0xD800..=0xDBFF) if matches!(escape.get(6..).and_then(surrogate), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                mended.push_str("\\ufffd");
                rest = &escape[6..];
                continue;
            }
            _ => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&escape[..taken]);
        rest = &escape[taken..];
    }
    mended.push_str(rest);
    mended
}

/// The code unit of a `\uXXXX` at the start of `escape`.
fn surrogate(escape: &str) -> Option<u32> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{cut, object, read, text, tidy};
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

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aé".to_owned(), 2), "a");
        assert_eq!(cut("aé".to_owned(), 3), "aé");
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
