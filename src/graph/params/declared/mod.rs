//! Declared parameters of a published workflow (params.md, form 4a): names with a type, bounds and a default, each
//! applied to one or more inputs. `read` parses declarations, `validate` validates values, `apply` applies them,
//! `check` is for publishing, `schema` makes the JSON Schema.

mod apply;
mod check_against_graph;
mod read;
mod schema;
mod validate_value;

pub use check_against_graph::{Published, publish};
pub use schema::schema;

use serde_json::value::RawValue;
use std::collections::HashSet;

/// The declared parameters of a published workflow, in their original order.
///
/// As JSON `{name: {"target"?: "6.text" | ["6.text",…], "type", "default"?, "min"?, "max"?, "enum"?, "description"?,
/// "required"?}}`. Without `target`, the graph itself declares the name (a placeholder `{{name}}`, a marker node).
#[derive(Debug, Clone, Default)]
pub struct Declared {
    params: Vec<Param>,
}

/// A declared parameter.
#[derive(Debug, Clone)]
struct Param {
    name: String,
    /// Paths (`6.text`) and titles (`@Positive.text`); empty = the graph declares the name.
    targets: Vec<String>,
    kind: Kind,
    default: Option<Box<RawValue>>,
    /// Lower bound of a number, or of the length of a text in characters.
    min: Option<Bound>,
    max: Option<Bound>,
    /// Allowed values; empty = all values that the type and the instances accept.
    choices: Vec<Box<RawValue>>,
    /// The same as canonical JSON.
    canonical_choices: HashSet<String>,
    description: Option<String>,
    is_required: bool,
}

/// Type of the values of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    Enum,
    Image,
    Video,
    Audio,
    File,
}

/// A bound, as written and as compared.
#[derive(Debug, Clone)]
struct Bound {
    text: String,
    value: f64,
    /// The exact value, if it is an integer.
    whole: Option<i128>,
}

impl Declared {
    fn get(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }

    /// Returns the names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.params.iter().map(|param| param.name.as_str())
    }
}

impl Kind {
    const ALL: [(&str, Self); 9] = [
        ("string", Self::String),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("enum", Self::Enum),
        ("image", Self::Image),
        ("video", Self::Video),
        ("audio", Self::Audio),
        ("file", Self::File),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    fn is_file(self) -> bool {
        matches!(self, Self::Image | Self::Video | Self::Audio | Self::File)
    }
}

#[cfg(test)]
mod tests;
