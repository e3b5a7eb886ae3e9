//! Body of `PUT /api/workflows/:name`. Every problem of its members is reported at once.

use super::wrapping::{self, Found};
use crate::{
    api::{
        error::{ApiError, Result},
        http::strict_json::Members,
    },
    json::raw_value,
    problem::Problem,
    submit::Publication,
    task::Warning,
};

const KNOWN: [&str; 4] = ["workflow", "description", "params", "version"];
/// Longest description, characters.
const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// Members of the body.
#[derive(Debug)]
pub(crate) struct PublicationBody<'a> {
    members: Members<'a>,
    /// The graph, or the reason why there is none.
    found: std::result::Result<Option<Found<'a>>, Box<Problem>>,
}

impl<'a> PublicationBody<'a> {
    /// Reads a text that `json::check_submission` has passed.
    ///
    /// # Errors
    /// Text that is no object; unknown members.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let lacks_graph = crate::json::member(text, "workflow").is_none() || wrapping::is_exported(text);
        let wrapped = if lacks_graph { wrapping::in_body(text, &KNOWN) } else { Ok(None) };
        if let Some(found) = wrapped.map_err(|problem| ApiError::InvalidRequest(vec![*problem]))? {
            return Ok(Self { members: Members::parse("{}")?, found: Ok(Some(found)) });
        }
        let members = Members::parse(text)?;
        members.only(&KNOWN)?;
        let found = members.get("workflow").map(wrapping::in_member).transpose();
        Ok(Self { members, found })
    }

    /// Returns the version that the body expects to replace.
    pub(crate) fn version(&self) -> Option<u64> {
        self.members.get("version").and_then(raw_value::integer).and_then(|version| u64::try_from(version).ok())
    }

    /// Returns the publication, which replaces the version `expected`.
    ///
    /// # Errors
    /// Every problem of the members.
    pub(crate) fn publication(&self, expected: Option<u64>) -> Result<Publication<'_>> {
        let members = &self.members;
        let mut flaws = Vec::new();
        let object = |name: &'static str, flaws: &mut Vec<Problem>| {
            let value = members.get(name);
            if value.is_some_and(|value| !raw_value::is_object(value)) {
                flaws.push(Problem::shape(format!("/{name}"), "not_an_object", format!("`{name}` must be an object")));
            }
            value
        };
        let params = object("params", &mut flaws);
        let workflow = match &self.found {
            Ok(found) => found.as_ref(),
            Err(problem) => {
                flaws.push((**problem).clone());
                None
            }
        };
        if workflow.is_some_and(|found| !raw_value::is_object(&found.graph)) {
            flaws.push(Problem::shape("/workflow", "not_an_object", "`workflow` must be an object"));
        }
        if matches!(self.found, Ok(None)) {
            let message = "what is published is a `workflow`: ComfyUI's \"Export (API)\"";
            flaws.push(Problem::shape("/workflow", "missing", message));
        }
        let description = members.get("description").map(raw_value::text);
        if description
            .as_ref()
            .is_some_and(|text| text.as_ref().is_none_or(|text| text.chars().count() > DESCRIPTION_CHARS_MAX))
        {
            let message = format!("`description` must be a text of at most {DESCRIPTION_CHARS_MAX} characters");
            flaws.push(Problem::shape("/description", "not_a_text", &message));
        }
        if members
            .get("version")
            .is_some_and(|version| raw_value::integer(version).is_none_or(|it| u64::try_from(it).is_err()))
        {
            flaws.push(Problem::shape("/version", "not_an_integer", "`version` must be a whole number, not negative"));
        }
        let (Some(workflow), true) = (workflow, flaws.is_empty()) else { return Err(ApiError::InvalidRequest(flaws)) };
        Ok(Publication { graph: &workflow.graph, params, description: description.flatten(), expected, host: None })
    }

    /// Returns the warning about a graph in another wrapping.
    pub(crate) fn warning(&self) -> Option<Warning> {
        self.found.as_ref().ok()?.as_ref()?.warning.clone()
    }
}
