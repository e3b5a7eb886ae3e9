//! What a published workflow takes (params.md, form 4a): names with a type, bounds and a default, each sent to one or more
//! inputs. `read` takes a declaration apart, `judge` holds values against it, `place` sends them on, `check` is for publishing,
//! `schema` tells it to machines.

mod check;
mod judge;
mod place;
mod read;
mod schema;

pub use check::{Published, publish};
pub use schema::schema;

use serde_json::value::RawValue;

/// The declared parameters of a published workflow, in the order written.
///
/// As JSON `{name: {"target"?: "6.text" | ["6.text",…], "type", "default"?, "min"?, "max"?, "enum"?, "description"?,
/// "required"?}}`. Without `target` the graph itself has the name (a placeholder `{{name}}`, a marker node).
#[derive(Debug, Clone, Default)]
pub struct Declared {
    params: Vec<Param>,
}

/// One of them.
#[derive(Debug, Clone)]
struct Param {
    name: String,
    /// Paths (`6.text`) and titles (`@Positive.text`); empty = its own name.
    targets: Vec<String>,
    kind: Kind,
    default: Option<Box<RawValue>>,
    /// Of a number, or of the characters of a text.
    min: Option<Bound>,
    max: Option<Bound>,
    /// Empty = whatever the type and the instances take.
    choices: Vec<Box<RawValue>>,
    description: Option<String>,
    is_required: bool,
}

/// What a value must be.
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

/// A limit as it was written, and as it is compared.
#[derive(Debug, Clone)]
struct Bound {
    text: String,
    value: f64,
    /// Exact, where it is whole.
    whole: Option<i128>,
}

impl Declared {
    fn get(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }

    /// The names, in order.
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
