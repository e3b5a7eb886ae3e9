//! The body of `PUT /api/workflows/:name`, judged as a submit would be judged: what can be known before anybody submits it.

use super::{
    ApiState,
    draft::{GRAPH_LIMITS, refused},
    error::{ApiError, Flaw, Result},
    http::json::{self, Members},
    remote,
};
use crate::{
    graph::{self, Declared, Published, Workflow},
    queue::FlowHead,
    task::{FileId, Warning},
};
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// Longest description, characters.
const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// What is to be kept of it.
pub(super) struct Publication {
    /// In the API's format, without space.
    pub(super) graph: Box<RawValue>,
    pub(super) head: FlowHead,
    /// Stored files that it names.
    pub(super) files: BTreeSet<FileId>,
    pub(super) warnings: Vec<Warning>,
}

impl Publication {
    /// Reads and judges a body.
    ///
    /// # Errors
    /// Every flaw of shape; else every problem of graph and declarations; else every URL that nothing is fetched from.
    pub(super) async fn read(state: &ApiState, members: &Members<'_>) -> Result<Self> {
        let (graph, head) = content(members)?;
        let known = state.knowledge.now().await;
        let read = (Workflow::read(&graph, GRAPH_LIMITS, &known.pool), Declared::read(&head.params));
        let ((workflow, converted), declared) = match read {
            (Ok(workflow), Ok(declared)) => (workflow, declared),
            (workflow, declared) => {
                let problems = workflow.err().into_iter().chain(declared.err()).flatten();
                return Err(refused(problems.collect()));
            }
        };
        let Published { files, remote, warnings } =
            graph::publish(&workflow, &declared, &known.pool).map_err(refused)?;
        // They are fetched for each submit: those that never would be are refused now.
        remote::check(&state.fetcher, remote).map_err(refused)?;
        let graph = if converted.is_empty() { graph } else { raw(compact(workflow.to_json().get()))? };
        let files = files.into_iter().map(|input| input.file_id).collect();
        Ok(Self { graph, head, files, warnings: converted.into_iter().chain(warnings).collect() })
    }
}

/// Graph and head of a body, every flaw of shape at once.
fn content(members: &Members<'_>) -> Result<(Box<RawValue>, FlowHead)> {
    let mut flaws = Vec::new();
    let object = |name: &'static str, flaws: &mut Vec<Flaw>| {
        let value = members.get(name);
        if value.is_some_and(|value| !json::is_object(value)) {
            flaws.push(Flaw::shape(&format!("/{name}"), "not_an_object", &format!("`{name}` must be an object")));
        }
        value
    };
    let (workflow, params) = (object("workflow", &mut flaws), object("params", &mut flaws));
    if workflow.is_none() {
        let message = "what is published is a `workflow`: ComfyUI's \"Export (API)\"";
        flaws.push(Flaw::shape("/workflow", "missing", message));
    }
    let description = members.get("description").map(json::text);
    if description
        .as_ref()
        .is_some_and(|text| text.as_ref().is_none_or(|text| text.chars().count() > DESCRIPTION_CHARS_MAX))
    {
        let message = format!("`description` must be a text of at most {DESCRIPTION_CHARS_MAX} characters");
        flaws.push(Flaw::shape("/description", "not_a_text", &message));
    }
    if members.get("version").is_some_and(|version| json::integer(version).is_none_or(|it| u64::try_from(it).is_err()))
    {
        flaws.push(Flaw::shape("/version", "not_an_integer", "`version` must be a whole number, not negative"));
    }
    let (Some(workflow), true) = (workflow, flaws.is_empty()) else { return Err(ApiError::InvalidRequest(flaws)) };
    let params = params.map_or_else(|| "{}".to_owned(), |params| compact(params.get()));
    Ok((raw(compact(workflow.get()))?, FlowHead { description: description.flatten(), params: raw(params)? }))
}

fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|_| ApiError::Internal)
}

/// Without the space between its parts: the same content is the same text, however it was laid out.
fn compact(json: &str) -> String {
    let (mut text, mut is_string, mut is_escaped) = (String::with_capacity(json.len()), false, false);
    for letter in json.chars() {
        if is_string || !letter.is_ascii_whitespace() {
            text.push(letter);
        }
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_string => is_escaped = true,
            '"' => is_string = !is_string,
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[test]
    fn only_space_between_the_parts_goes() {
        let laid_out = "{ \"a b\" :\n [1.10,\t\"x \\\" y \\\\\" , 1e-7 ] }";
        assert_eq!(compact(laid_out), "{\"a b\":[1.10,\"x \\\" y \\\\\",1e-7]}");
    }
}
