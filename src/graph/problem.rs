//! What is wrong with a request's graph or params, with a pointer to the place; bounded in number and size, because the
//! texts come from outside.

use serde::Serialize;

/// Problems told of one request; more than these help nobody.
const PROBLEMS_MAX: usize = 100;
/// Bytes of a foreign name kept in a message or a pointer.
const NAME_SHOWN_BYTES: usize = 200;

/// One thing wrong: an entry of `error.details`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// JSON pointer into the request body, e.g. `/params/6.text` or `/workflow/3/inputs`.
    pub pointer: String,
    /// Stable machine word, e.g. `param_no_such_node`.
    pub code: String,
    /// One sentence that says what to do.
    pub message: String,
    /// Which parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// Which node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Which input of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What would fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What came, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<String>,
    /// Near names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// Wrong shape (400) rather than well-formed but unfit (422).
    #[serde(skip)]
    pub is_shape: bool,
}

impl Problem {
    /// Something of the wrong shape or type: 400.
    pub(super) fn shape(pointer: String, code: &str, message: impl Into<String>) -> Self {
        Self { is_shape: true, ..Self::unfit(pointer, code, message) }
    }

    /// Something well-formed that does not fit: 422.
    pub fn unfit(pointer: String, code: &str, message: impl Into<String>) -> Self {
        Self {
            pointer,
            code: code.to_owned(),
            message: message.into(),
            param: None,
            node_id: None,
            input: None,
            expected: None,
            got: None,
            candidates: Vec::new(),
            is_shape: false,
        }
    }

    /// Names the parameter.
    pub(super) fn of_param(mut self, param: &str) -> Self {
        self.param = Some(clip(param));
        self
    }

    /// Names the node.
    pub(super) fn at_node(mut self, node_id: &str) -> Self {
        self.node_id = Some(clip(node_id));
        self
    }

    /// Names the input.
    pub(super) fn at_input(mut self, input: &str) -> Self {
        self.input = Some(clip(input));
        self
    }

    /// Tells what would fit and what came.
    pub(super) fn expecting(mut self, expected: String, got: &str) -> Self {
        (self.expected, self.got) = (Some(expected), Some(clip(got)));
        self
    }

    /// Adds near names.
    pub(super) fn with_candidates(mut self, candidates: Vec<String>) -> Self {
        self.candidates = candidates.iter().map(|name| clip(name)).collect();
        self
    }
}

/// The problems found so far; those beyond `PROBLEMS_MAX` are dropped.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub(super) fn push(&mut self, problem: Problem) {
        if !self.is_full() {
            self.0.push(problem);
        }
    }

    /// Whether looking further is pointless.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= PROBLEMS_MAX
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Fails when there is one.
    pub(super) fn check(self) -> Result<Self, Vec<Problem>> {
        if self.0.is_empty() { Ok(self) } else { Err(self.0) }
    }
}

/// A JSON pointer (RFC 6901) one step further: `~` and `/` of the segment are escaped.
pub(super) fn step(base: &str, segment: &str) -> String {
    format!("{base}/{}", clip(segment).replace('~', "~0").replace('/', "~1"))
}

/// A foreign name, cut to what a message can hold.
pub(super) fn clip(name: &str) -> String {
    if name.len() <= NAME_SHOWN_BYTES {
        return name.to_owned();
    }
    let mut end = NAME_SHOWN_BYTES;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::{Problem, Problems, clip, step};

    #[test]
    fn a_pointer_escapes_what_rfc_6901_reserves() {
        assert_eq!(step("/params", "a/b~c"), "/params/a~1b~0c");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(clip("short"), "short");
        let cut = clip(&"é".repeat(1_000));
        assert!(cut.len() <= 204 && cut.ends_with('…'), "{cut}");
    }

    #[test]
    fn no_more_problems_are_kept_than_help() {
        let mut problems = Problems::default();
        for number in 0..1_000 {
            problems.push(Problem::unfit(String::new(), "x", number.to_string()));
        }
        assert_eq!(problems.check().map_err(|list| list.len()).err(), Some(100));
    }
}
