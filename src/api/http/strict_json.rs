//! Checks of JSON bodies that serde_json does not make, and access to the top level of a body by member.
//!
//! `RawValue` keeps the bytes of a value unparsed: it limits no nesting, and accepts duplicate keys, lone surrogates and
//! numbers beyond any float (safety §3.4).

use crate::{
    api::error::{ApiError, Result},
    json::{self, DEPTH_MAX, Fault, FaultKind, Member, NUMBER_BYTES_MAX, child_pointer, first_fault},
    problem::{Problem, clip, suggest},
};
use serde_json::value::RawValue;

/// Members of the top level of a body.
const MEMBERS_MAX: usize = 64;

/// Checks a whole body in one pass: encoding, nesting, duplicate keys, escapes, numbers. The grammar is left to the parser.
///
/// # Errors
/// [`ApiError::DuplicateKey`] with a pointer; [`ApiError::InvalidJson`] for anything else.
pub(crate) fn check(bytes: &[u8]) -> Result<&str> {
    check_but(bytes, &[])
}

/// Like [`check`], for a body with a graph and params: their duplicate keys are left to [`crate::graph`], which reports
/// every problem at once.
pub(crate) fn check_submission(bytes: &[u8]) -> Result<&str> {
    check_but(bytes, &["workflow", "params"])
}

fn check_but<'a>(bytes: &'a [u8], exempt: &[&str]) -> Result<&'a str> {
    let text = std::str::from_utf8(bytes).map_err(|_| fault("the body is not UTF-8"))?;
    let Some(Fault { kind, pointer }) = first_fault(text, exempt) else { return Ok(text) };
    Err(match kind {
        FaultKind::DuplicateKey => {
            let message = format!("duplicate key at `{pointer}`");
            ApiError::DuplicateKey(Box::new(Problem::shape(pointer, "duplicate_key", message)))
        }
        FaultKind::TooDeep => fault(&format!("the body nests deeper than {DEPTH_MAX} levels")),
        FaultKind::LoneSurrogate => fault("the body has a lone surrogate"),
        FaultKind::NumberTooLong => fault(&format!("a number is longer than {NUMBER_BYTES_MAX} digits")),
        FaultKind::NumberInfinite => fault("a number is too large"),
    })
}

fn fault(message: &str) -> ApiError {
    ApiError::InvalidJson(message.to_owned())
}

/// The top level of a body: names and raw values of its members, names unique.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    list: Vec<Member<'a>>,
}

impl<'a> Members<'a> {
    /// Parses a text that [`check`] has passed.
    ///
    /// # Errors
    /// The text is invalid JSON or no object, or has too many members or a duplicate key.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let list = serde_json::from_str::<json::Members<'_>>(text).map_err(|error| explain(text, &error))?.0;
        if list.len() > MEMBERS_MAX {
            return Err(fault(&format!("the body has more than {MEMBERS_MAX} members")));
        }
        for (at, (name, _)) in list.iter().enumerate() {
            if list[..at].iter().any(|(other, _)| other == name) {
                return Err(fault(&format!("duplicate key `{}`", clip(name))));
            }
        }
        Ok(Self { list })
    }

    /// Returns the raw value of a member.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.list.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// Returns the members in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.list.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// Refuses unknown members, so that a misspelt name is not silently ignored.
    pub(crate) fn only(&self, known: &[&'static str]) -> Result<()> {
        let unknown = self.list.iter().filter(|(name, _)| !known.contains(&name.as_ref()));
        let problems: Vec<Problem> = unknown.map(|(name, _)| unknown_field(name, known)).collect();
        if problems.is_empty() { Ok(()) } else { Err(ApiError::UnknownField(problems)) }
    }
}

fn unknown_field(name: &str, known: &[&'static str]) -> Problem {
    let (shown, candidates) = (clip(name), suggest(name, known));
    let message = match candidates.as_slice() {
        [] => format!("`{shown}` is not known here; known are {}", known.join(", ")),
        some => format!("`{shown}` is not known here; did you mean {}?", some.join(" or ")),
    };
    Problem::shape(child_pointer("", name), "unknown_field", message).with_candidates(candidates)
}

fn explain(text: &str, error: &serde_json::Error) -> ApiError {
    if error.is_syntax() || error.is_eof() {
        return fault(&format!("the body is not valid JSON: {}", json::explain(text, error)));
    }
    ApiError::shape("", "not_an_object", "the body must be a JSON object")
}

#[cfg(test)]
mod tests;
