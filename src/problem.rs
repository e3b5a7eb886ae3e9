//! A problem with a request: JSON pointer, code and message. Lists of problems are bounded in number, and names in them in
//! size, because both come from clients.

use crate::text;
use serde::Serialize;

/// Maximum number of problems reported for one request.
pub(crate) const PROBLEMS_MAX: usize = 100;
/// Longest name of a client kept in a message, bytes.
const NAME_BYTES_MAX: usize = 200;
/// Maximum number of names suggested for a misspelt one.
const CANDIDATES_MAX: usize = 5;
/// Maximum number of problems of one request that get suggestions: each search compares thousands of names.
pub(crate) const SEARCHES_MAX: usize = 5;
/// Maximum number of names compared in one search.
const NAMES_MAX: usize = 5_000;
/// Longest name that gets suggestions, characters.
const NAME_CHARS_MAX: usize = 64;

/// A problem with a request: an entry of `error.details`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// JSON pointer into the request body, e.g. `/params/6.text` or `/workflow/3/inputs`.
    pub pointer: String,
    /// Stable code for programs, e.g. `param_no_such_node`.
    pub code: String,
    /// Message for people that says what to do.
    pub message: String,
    /// The parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// The node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// The input of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The values that would fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The given value, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<String>,
    /// Similar names that exist.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// Whether something is missing or of the wrong type (status 400), rather than well-formed but unfit (422).
    #[serde(skip)]
    pub is_shape: bool,
}

impl Problem {
    /// Something missing or of the wrong shape or type: status 400.
    pub fn shape(pointer: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Self { is_shape: true, ..Self::unfit(pointer, code, message) }
    }

    /// Something well-formed that does not fit: status 422.
    pub fn unfit(pointer: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
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
    pub(crate) fn of_param(mut self, param: &str) -> Self {
        self.param = Some(clip(param));
        self
    }

    /// Names the node.
    pub(crate) fn at_node(mut self, node_id: &str) -> Self {
        self.node_id = Some(clip(node_id));
        self
    }

    /// Names the input.
    pub(crate) fn at_input(mut self, input: &str) -> Self {
        self.input = Some(clip(input));
        self
    }

    /// Adds the expected and the given value.
    pub(crate) fn expecting(mut self, expected: String, got: &str) -> Self {
        (self.expected, self.got) = (Some(expected), Some(clip(got)));
        self
    }

    /// Adds similar names.
    pub(crate) fn with_candidates(mut self, candidates: Vec<String>) -> Self {
        self.candidates = candidates.iter().map(|name| clip(name)).collect();
        self
    }
}

/// The problems of one request. Of those beyond [`PROBLEMS_MAX`] only the number is kept.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    /// Number of problems that are not in the list.
    omitted: usize,
}

impl Problems {
    /// Adds a problem.
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.is_full() {
            self.omitted += 1;
        } else {
            self.list.push(problem);
        }
    }

    /// Adds a [`Problem::shape`].
    pub(crate) fn shape(&mut self, pointer: &str, code: &str, message: &str) {
        self.push(Problem::shape(pointer, code, message));
    }

    /// Adds a [`Problem::unfit`].
    pub(crate) fn unfit(&mut self, pointer: &str, code: &str, message: &str) {
        self.push(Problem::unfit(pointer, code, message));
    }

    /// Adds a problem unless it is in the list. Suggestions make no difference: only the first problems have some.
    pub(crate) fn push_new(&mut self, problem: Problem) {
        let is_same = |known: &Problem| {
            known.pointer == problem.pointer
                && known.code == problem.code
                && known.message == problem.message
                && known.node_id == problem.node_id
                && known.input == problem.input
        };
        if !self.list.iter().any(is_same) {
            self.push(problem);
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether more problems would be dropped.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= PROBLEMS_MAX
    }

    /// Returns the number of problems, those included that are not in the list.
    pub(crate) fn len(&self) -> usize {
        self.list.len() + self.omitted
    }

    /// Returns the list again if it is empty.
    ///
    /// # Errors
    /// The problems, if there are any.
    pub(crate) fn check(self) -> Result<Self, Vec<Problem>> {
        if self.list.is_empty() { Ok(self) } else { Err(self.into_vec()) }
    }

    /// Returns the list. If there are more problems, its last entry says how many.
    pub(crate) fn into_vec(self) -> Vec<Problem> {
        let Self { mut list, omitted } = self;
        if omitted > 0
            && let Some(last) = list.last_mut()
        {
            let message = format!("and {} more problems, which are not listed", omitted + 1);
            *last = Problem { is_shape: last.is_shape, ..Problem::unfit("", "more_problems", message) };
        }
        list
    }
}

/// Returns a client's name, cut to what a message can hold.
pub(crate) fn clip(name: &str) -> String {
    text::ellipsis(name, NAME_BYTES_MAX).into_owned()
}

/// Returns the names most similar to `wanted`, the most similar first and at most five. Upper and lower case are the same,
/// and at most a third of the characters may differ (at least two).
pub(crate) fn suggest<N: AsRef<str>>(wanted: &str, names: impl IntoIterator<Item = N>) -> Vec<String> {
    let wanted_chars = wanted.chars().take(NAME_CHARS_MAX + 1).count();
    if wanted_chars > NAME_CHARS_MAX {
        return Vec::new();
    }
    let wanted = wanted.to_lowercase();
    let distance_max = (wanted_chars / 3).max(2);
    let mut found: Vec<(usize, String)> = Vec::new();
    for name in names.into_iter().take(NAMES_MAX) {
        let name = name.as_ref();
        let chars = name.chars().take(NAME_CHARS_MAX + 1).count();
        if chars > NAME_CHARS_MAX || chars.abs_diff(wanted_chars) > distance_max {
            continue;
        }
        let distance = strsim::levenshtein(&wanted, &name.to_lowercase());
        // A name of which every character differs has nothing in common.
        if distance <= distance_max && distance < chars {
            found.push((distance, name.to_owned()));
        }
    }
    found.sort_by_key(|(distance, _)| *distance);
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().take(CANDIDATES_MAX).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::{Problem, Problems, clip, suggest};

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(clip("short"), "short");
        let cut = clip(&"é".repeat(1_000));
        assert!(cut.len() <= 204 && cut.ends_with('…'), "{cut}");
    }

    #[test]
    fn a_list_of_problems_is_bounded() {
        let mut problems = Problems::default();
        for number in 0..1_000 {
            problems.push(Problem::unfit("", "x", number.to_string()));
        }
        assert_eq!(problems.check().map_err(|list| list.len()).err(), Some(100));
    }

    #[test]
    fn the_most_similar_names_come_first_and_others_never() {
        let all = ["6.text", "7.text", "6.clip", "3.sampler_name", "16.texts"];
        assert_eq!(suggest("6.txt", all), ["6.text", "7.text"]);
        assert_eq!(suggest("3.sampler", all), Vec::<String>::new());
        assert_eq!(suggest("3.SamplerName", all), ["3.sampler_name"]);
        assert!(suggest(&"x".repeat(1_000_000), all).is_empty());
    }

    #[test]
    fn similarity_ignores_case() {
        let known = ["workflow", "params", "maxAttempts", "startBy"];
        assert_eq!(suggest("wrokflow", known), ["workflow"]);
        assert_eq!(suggest("param", known), ["params"]);
        assert_eq!(suggest("max_attempts", known), ["maxAttempts"]);
        assert_eq!(suggest("STARTBY", known), ["startBy"]);
        assert!(suggest("client_id", known).is_empty());
        assert!(suggest("", known).is_empty());
        assert!(suggest("", ["a", "ab"]).is_empty());
    }
}
