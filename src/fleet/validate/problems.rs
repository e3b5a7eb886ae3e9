//! The list of everything wrong with a config.

use serde::Serialize;
use serde_json::{Map, Value};

/// More problems than this are not listed one by one.
pub(super) const LISTED_MAX: usize = 100;

/// One thing wrong: `{"pointer":"/servers/0/ports/1","code":"…","message":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// JSON pointer into the body.
    pub pointer: String,
    /// Stable machine word.
    pub code: String,
    /// What to do.
    pub message: String,
    /// Wrong shape or type (the answer is 400) rather than a value that does not fit (422).
    #[serde(skip)]
    pub is_shape: bool,
}

/// Problems so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Something of the wrong shape or type.
    pub(super) fn shape(&mut self, pointer: &str, code: &str, message: &str) {
        self.add(pointer, code, message, true);
    }

    /// Something well-formed that does not fit.
    pub(super) fn unfit(&mut self, pointer: &str, code: &str, message: &str) {
        self.add(pointer, code, message, false);
    }

    /// Members that nobody reads: a misspelt name must not look as if it had worked.
    pub(super) fn unknown_members(&mut self, pointer: &str, members: &Map<String, Value>, known: &[&str]) {
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            let shown: String = name.chars().take(64).collect();
            let message = format!("`{shown}` is not known here; known are {}", known.join(", "));
            self.shape(&format!("{pointer}/{}", escape(&shown)), "unknown_field", &message);
        }
    }

    /// `value`, unless something is wrong.
    pub(super) fn none_or<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.list.is_empty() { Ok(value) } else { Err(self.into_list()) }
    }

    /// Everything wrong.
    pub(super) fn into_list(self) -> Vec<Problem> {
        self.list
    }

    fn add(&mut self, pointer: &str, code: &str, message: &str, is_shape: bool) {
        if self.list.len() < LISTED_MAX {
            let (pointer, code, message) = (pointer.to_owned(), code.to_owned(), message.to_owned());
            self.list.push(Problem { pointer, code, message, is_shape });
        }
    }
}

/// One reference token of a JSON pointer (RFC 6901 §3).
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
