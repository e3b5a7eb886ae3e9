//! JSON at the door: what serde_json lets through but must not come in, and the top level of a body member by member.
//!
//! `RawValue` keeps bytes and therefore counts no depth, takes lone surrogates and numbers that no machine holds (safety §3.4).

use crate::{
    api::{
        error::{ApiError, Flaw, Result},
        near::near,
    },
    settings::limits::JSON_DEPTH_MAX,
};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Longest number, bytes: more digits are no number that a workflow needs.
const NUMBER_BYTES_MAX: usize = 1_000;
/// Shorter numbers without an exponent are finite.
const NUMBER_BYTES_FINITE: usize = 300;
/// Members of a body's top level.
const MEMBERS_MAX: usize = 64;

/// Checks encoding, depth, escapes and numbers of a whole body in one pass. The grammar is left to the parser.
pub(crate) fn check(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes).map_err(|_| fault("the body is not UTF-8"))?;
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = skip_string(bytes, at + 1)?,
            b'-' | b'0'..=b'9' => at = skip_number(text, at)?,
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(fault(&format!("the body nests deeper than {JSON_DEPTH_MAX}")));
                }
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            _ => at += 1,
        }
    }
    Ok(text)
}

/// Gives the place after the closing quote (or the end, which the parser will complain about).
fn skip_string(bytes: &[u8], mut at: usize) -> Result<usize> {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => at = skip_escape(bytes, at)?,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Ok(at)
}

/// `at` is at the backslash of `\uXXXX`. Half of a surrogate pair is no character.
fn skip_escape(bytes: &[u8], at: usize) -> Result<usize> {
    match escaped_unit(bytes, at) {
        Some(0xDC00..=0xDFFF) => Err(fault("the body has a lone surrogate")),
        Some(0xD800..=0xDBFF) => match escaped_unit(bytes, at + 6) {
            Some(0xDC00..=0xDFFF) => Ok(at + 12),
            _ => Err(fault("the body has a lone surrogate")),
        },
        Some(_) => Ok(at + 6),
        None => Err(fault("the body has a broken escape")),
    }
}

fn escaped_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit: u16, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(value).ok()?)
    })
}

fn skip_number(text: &str, start: usize) -> Result<usize> {
    let rest = &text.as_bytes()[start..];
    let is_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let length = rest.iter().position(|byte| !is_number(byte)).unwrap_or(rest.len());
    if length > NUMBER_BYTES_MAX {
        return Err(fault(&format!("a number is longer than {NUMBER_BYTES_MAX} digits")));
    }
    let number = &text[start..start + length];
    let may_overflow = length > NUMBER_BYTES_FINITE || number.contains(['e', 'E']);
    if may_overflow && number.parse::<f64>().is_ok_and(f64::is_infinite) {
        return Err(fault("a number is too large"));
    }
    Ok(start + length)
}

fn fault(message: &str) -> ApiError {
    ApiError::InvalidJson(message.to_owned())
}

/// The top level of a body: each member's name and its bytes as they came, names unique.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    list: Vec<(String, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Parses a text that [`check`] has passed.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let members: Self = serde_json::from_str(text).map_err(|error| explain(text, &error))?;
        for (at, (name, _)) in members.list.iter().enumerate() {
            if members.list[..at].iter().any(|(other, _)| other == name) {
                return Err(fault(&format!("`{}` is there twice", short(name))));
            }
        }
        Ok(members)
    }

    /// The bytes of a member.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.list.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// All of them, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.list.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Refuses members that nobody reads: a misspelt name must not look as if it had worked.
    pub(crate) fn only(&self, known: &[&'static str]) -> Result<()> {
        let unknown = self.list.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let flaws: Vec<Flaw> = unknown.map(|(name, _)| unknown_field(short(name), known)).collect();
        if flaws.is_empty() { Ok(()) } else { Err(ApiError::UnknownField(flaws)) }
    }
}

fn unknown_field(name: &str, known: &[&'static str]) -> Flaw {
    let candidates = near(name, known);
    let message = match candidates.as_slice() {
        [] => format!("`{name}` is not known here; known are {}", known.join(", ")),
        some => format!("`{name}` is not known here; did you mean {}?", some.join(" or ")),
    };
    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    Flaw { candidates, ..Flaw::shape(&pointer, "unknown_field", &message) }
}

/// At most 64 bytes of a client's name, for messages.
fn short(name: &str) -> &str {
    let end = (0..=name.len().min(64)).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    &name[..end]
}

fn explain(text: &str, error: &serde_json::Error) -> ApiError {
    if error.is_syntax() || error.is_eof() {
        return fault(&format!("the body is not valid JSON: {error}"));
    }
    if text.trim_start().starts_with('{') {
        return fault(&format!("the body has more than {MEMBERS_MAX} members"));
    }
    ApiError::shape("", "not_an_object", "the body must be a JSON object")
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::with_capacity(8);
                while let Some(member) = map.next_entry()? {
                    if list.len() == MEMBERS_MAX {
                        return Err(A::Error::custom("too many members"));
                    }
                    list.push(member);
                }
                Ok(Members { list })
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// A member's value as a text.
pub(crate) fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// A member's value as a boolean, strictly.
pub(crate) fn boolean(value: &RawValue) -> Option<bool> {
    match value.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A member's value as a whole number without fraction or exponent.
pub(crate) fn integer(value: &RawValue) -> Option<i128> {
    value.get().parse().ok()
}

/// Whether a member's value is an object.
pub(crate) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

#[cfg(test)]
mod tests;
