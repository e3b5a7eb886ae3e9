//! Recognises a graph that is wrapped in another way than as the member `workflow`: the body of ComfyUI's `/prompt`, a
//! bare graph, a graph as text. It is taken, with a warning, where nothing else can be meant; otherwise the error shows
//! the right body.

use crate::{
    json::{Members, raw_value},
    problem::{Problem, clip},
    task::Warning,
};
use serde_json::value::RawValue;
use std::borrow::Cow;

type Result<T> = std::result::Result<T, Box<Problem>>;

/// Members of the body of ComfyUI's `/prompt` beside the graph that are left out: they belong to the dispatcher.
const OF_PROMPT: [&str; 4] = ["client_id", "prompt_id", "number", "front"];
/// Member of that body that is read as `extraData`.
pub(super) const EXTRA_DATA: &str = "extra_data";
/// Member of that body that is refused: it chooses outputs, and here the graph does.
const TARGETS: &str = "partial_execution_targets";
/// Code of the warning.
const REWRAPPED: &str = "body_rewrapped";
/// The right body, for messages.
const RIGHT: &str = "{\"workflow\": {\"3\": {…}, …}, \"params\": {…}}";
/// Members of a body that are searched for a graph, and how deep.
const SEARCHED_MAX: usize = 50;
const SEARCH_DEPTH: usize = 3;
/// Graphs inside of others that are unwrapped: a text that holds a body of `/prompt`.
const UNWRAPS_MAX: usize = 3;

/// A graph as it was found, with a warning if it was wrapped in another way.
#[derive(Debug, Clone)]
pub(super) struct Found<'a> {
    pub(super) graph: Cow<'a, RawValue>,
    pub(super) warning: Option<Warning>,
}

/// Finds the graph of a body without the member `workflow`. `known` are the members that a body may have.
///
/// # Errors
/// What looks like a graph is ambiguous: the problem shows the right body. `Ok(None)` = nothing looks like one.
pub(super) fn in_body<'a>(text: &'a str, known: &[&str]) -> Result<Option<Found<'a>>> {
    let Ok(whole) = serde_json::from_str::<&RawValue>(text) else { return Ok(None) };
    if let Some(message) = not_an_object(whole) {
        return Err(Box::new(Problem::shape("", "not_an_object", message)));
    }
    let Some(members) = raw_value::borrowed_members(whole) else { return Ok(None) };
    let is_node_like = |value: &RawValue| is_node(value);
    let nodes = members.iter().filter(|(_, value)| is_node_like(value)).count();
    if nodes == members.len() && nodes > 0 || is_editor_graph(whole) {
        let warning = rewrapped("the body is a bare graph: write {\"workflow\": <graph>}");
        return Ok(Some(Found { graph: Cow::Borrowed(whole), warning: Some(warning) }));
    }
    let prompt = members.iter().find(|(name, _)| name == "prompt").map(|(_, value)| *value);
    if let Some(prompt) = prompt.filter(|prompt| is_graph(prompt)) {
        let ours = ["prompt", EXTRA_DATA, TARGETS];
        let foreign = |name: &str| !ours.contains(&name) && !OF_PROMPT.contains(&name) && !known.contains(&name);
        if let Some((name, _)) = members.iter().find(|(name, _)| foreign(name)) {
            let message = format!("`prompt` holds a graph, and `{name}` is not known beside it: write {RIGHT}");
            return Err(Box::new(Problem::shape("/prompt", "missing", message)));
        }
        if members.iter().any(|(name, value)| name == TARGETS && value.get() != "null") {
            return Err(Box::new(targets(TARGETS)));
        }
        let left_out: Vec<&str> =
            members.iter().map(|(name, _)| name.as_ref()).filter(|name| OF_PROMPT.contains(name)).collect();
        let warning =
            rewrapped(&format!("the graph was taken from `prompt`: write it as `workflow`{}", without(&left_out)));
        return Ok(Some(Found { graph: Cow::Borrowed(prompt), warning: Some(warning) }));
    }
    if let Some(graph) = exported(whole) {
        let warning = rewrapped("the graph was taken from `output`, as the editor exports it: write it as `workflow`");
        return Ok(Some(Found { graph: Cow::Borrowed(graph), warning: Some(warning) }));
    }
    if nodes > 0 {
        let message = format!("this looks like a graph with other members beside its nodes: write {RIGHT}");
        return Err(Box::new(Problem::shape("/workflow", "missing", message)));
    }
    if let Some(place) = graph_inside(whole, SEARCH_DEPTH) {
        let message = format!(
            "the graph is at `{}`: write it as `workflow`, {RIGHT}; files go into `params`, {{\"10.image\": {{\"$base64\": \"…\"}}}}",
            clip(&place)
        );
        return Err(Box::new(Problem::shape(format!("/{}", place.replace('.', "/")), "missing", message)));
    }
    Ok(None)
}

/// Whether a body is what the editor's `graphToPrompt` returns: `{"output": graph, "workflow": editor's graph}`.
pub(super) fn is_exported(text: &str) -> bool {
    crate::json::member(text, "output").is_some()
        && serde_json::from_str::<&RawValue>(text).is_ok_and(|whole| exported(whole).is_some())
}

/// Returns the graph of what `graphToPrompt` returns.
fn exported(whole: &RawValue) -> Option<&RawValue> {
    let members = raw_value::borrowed_members(whole)?;
    let find = |name: &str| members.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
    let (graph, editor) = (find("output")?, find("workflow")?);
    (members.len() == 2 && is_graph(graph) && is_editor_graph(editor)).then_some(graph)
}

/// Returns the place of a graph in an object or a list: `input.workflow`, `prompt.2`.
fn graph_inside(value: &RawValue, depth: usize) -> Option<String> {
    let entries: Vec<(String, &RawValue)> = match raw_value::members(value) {
        Some(members) => members,
        None => {
            let list = raw_value::elements(value)?.into_iter().enumerate();
            list.map(|(at, value)| (at.to_string(), value)).collect()
        }
    };
    entries.into_iter().take(SEARCHED_MAX).find_map(|(name, value)| {
        let is_named = || ["workflow", "prompt", "graph"].iter().any(|word| name.contains(word));
        if is_graph(value) || (is_named() && is_wrapped(value)) {
            return Some(name);
        }
        let inner = if depth > 1 { graph_inside(value, depth - 1) } else { None };
        inner.map(|inner| format!("{name}.{inner}"))
    })
}

/// Finds the graph in the member `workflow`. A text is left as it is unless it holds JSON: it names a published workflow.
///
/// # Errors
/// What is inside is ambiguous: the problem shows the right body.
pub(super) fn in_member(workflow: &RawValue) -> Result<Found<'_>> {
    let (mut graph, mut notes) = (Cow::Borrowed(workflow), Vec::new());
    for _ in 0..UNWRAPS_MAX {
        let Some((inner, note)) = unwrap(&graph)? else { break };
        notes.push(note);
        graph = Cow::Owned(inner);
    }
    let warning = (!notes.is_empty()).then(|| rewrapped(&notes.join("; ")));
    Ok(Found { graph, warning })
}

/// Takes one wrapping away, if there is one.
fn unwrap(value: &RawValue) -> Result<Option<(Box<RawValue>, String)>> {
    if let Some(text) = raw_value::text(value).filter(|text| text.trim_start().starts_with('{')) {
        return match RawValue::from_string(text) {
            Ok(inner) => Ok(Some((inner, "`workflow` is a graph as text: write it as an object".to_owned()))),
            Err(error) => {
                let text = raw_value::text(value).unwrap_or_default();
                let why = crate::json::explain(&text, &error);
                let message = format!("`workflow` is a text that looks like a graph and is not valid JSON: {why}");
                Err(Box::new(Problem::shape("/workflow", "workflow_not_json", message)))
            }
        };
    }
    let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(value.get()) else { return Ok(None) };
    // A node may have any id, even `prompt`.
    if members.iter().any(|(_, value)| is_node(value)) || is_editor_graph(value) {
        return Ok(None);
    }
    if let Some(graph) = exported(value) {
        let note = "the graph was taken from `workflow.output`, as the editor exports it: write it as `workflow`";
        return Ok(Some((graph.to_owned(), note.to_owned())));
    }
    for name in ["prompt", "workflow"] {
        let Some((_, inner)) = members.iter().find(|(other, value)| other == name && is_wrapped(value)) else {
            continue;
        };
        let beside: Vec<&str> =
            members.iter().map(|(other, _)| other.as_ref()).filter(|other| *other != name).collect();
        let is_left_out = |other: &&str| {
            OF_PROMPT.contains(other)
                || members.iter().any(|(found, value)| found == other && matches!(value.get(), "{}" | "null" | "[]"))
        };
        if let Some(other) = beside.iter().find(|other| !is_left_out(other)) {
            if *other == TARGETS {
                return Err(Box::new(targets(&format!("workflow/{TARGETS}"))));
            }
            if *other == EXTRA_DATA {
                let message = "`workflow` holds a whole body of /prompt: write its `extra_data` as `extraData` beside \
                               `workflow`, {\"workflow\": {\"3\": {…}, …}, \"extraData\": {…}}";
                return Err(Box::new(Problem::shape("/workflow/extra_data", "workflow_wrapped", message)));
            }
            let message =
                format!("`workflow` holds a whole body with `{other}`: write its members beside `workflow`, {RIGHT}");
            return Err(Box::new(Problem::shape("/workflow", "workflow_wrapped", message)));
        }
        let note = format!("the graph was taken from `workflow.{name}`: write it as `workflow`{}", without(&beside));
        return Ok(Some(((*inner).to_owned(), note)));
    }
    Ok(None)
}

/// Returns what is wrong with a body that holds a graph and is no object: a text, or a list.
fn not_an_object(whole: &RawValue) -> Option<String> {
    if let Some(text) = raw_value::text(whole).filter(|text| text.trim_start().starts_with('{')) {
        let is_json = serde_json::from_str::<&RawValue>(&text).is_ok();
        let what = if is_json { "JSON as text" } else { "a text that looks like JSON" };
        return Some(format!("the body is {what}: send the object itself, encoded once, {RIGHT}"));
    }
    let first = raw_value::elements(whole)?.into_iter().next()?;
    let is_body = || {
        let members = raw_value::borrowed_members(first).unwrap_or_default();
        members.iter().any(|(name, _)| matches!(name.as_ref(), "workflow" | "prompt"))
    };
    let is_meant = is_graph(first) || is_node(first) || is_body();
    is_meant.then(|| format!("the body is a list: send one request for each graph, {RIGHT}"))
}

fn targets(pointer: &str) -> Problem {
    let message = format!(
        "`{TARGETS}` is not taken: remove the output nodes that are not wanted from the graph, or leave it out to get all outputs"
    );
    Problem::shape(format!("/{pointer}"), "unsupported", message)
}

fn is_wrapped(value: &RawValue) -> bool {
    is_graph(value) || raw_value::text(value).is_some_and(|text| text.trim_start().starts_with('{'))
}

/// Whether a value is a graph: in the editor's format, or an object of nodes.
fn is_graph(value: &RawValue) -> bool {
    is_editor_graph(value)
        || raw_value::borrowed_members(value).is_some_and(|members| members.iter().any(|(_, value)| is_node(value)))
}

fn is_node(value: &RawValue) -> bool {
    let members = raw_value::borrowed_members(value).unwrap_or_default();
    members.iter().any(|(name, value)| name == "class_type" && value.get().starts_with('"'))
}

fn is_editor_graph(value: &RawValue) -> bool {
    let members = raw_value::borrowed_members(value).unwrap_or_default();
    ["nodes", "links"]
        .iter()
        .all(|wanted| members.iter().any(|(name, value)| name == wanted && raw_value::is_array(value)))
}

fn without(left_out: &[&str]) -> String {
    if left_out.is_empty() { String::new() } else { format!("; {} left out", left_out.join(", ")) }
}

fn rewrapped(message: &str) -> Warning {
    Warning { code: REWRAPPED.to_owned(), message: message.to_owned(), param: None }
}

#[cfg(test)]
mod tests {
    use super::{in_body, in_member};
    use serde_json::value::RawValue;

    const GRAPH: &str = r#"{"3":{"class_type":"A","inputs":{"x":1.0}}}"#;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    /// Bug report 22.
    #[test]
    fn a_graph_is_found_in_every_wrapping_that_leaves_no_doubt() {
        let editor = r#"{"nodes":[],"links":[],"version":0.4}"#;
        for (body, graph) in [
            (GRAPH.to_owned(), GRAPH),
            (editor.to_owned(), editor),
            (format!(r#"{{"prompt":{GRAPH}}}"#), GRAPH),
            (format!(r#"{{"client_id":"x","prompt":{GRAPH},"extra_data":{{}},"params":{{}}}}"#), GRAPH),
        ] {
            let found = in_body(&body, &["params"]).unwrap().unwrap();
            assert_eq!((found.graph.get(), found.warning.unwrap().code.as_str()), (graph, "body_rewrapped"), "{body}");
        }
        let text = serde_json::to_string(GRAPH).unwrap();
        let body = format!(r#"{{"prompt":{GRAPH},"client_id":"x"}}"#);
        for workflow in [
            text.clone(),
            body.clone(),
            serde_json::to_string(&body).unwrap(),
            format!(r#"{{"workflow":{GRAPH},"params":{{}}}}"#),
            format!(r#"{{"prompt":{text}}}"#),
        ] {
            let found = in_member(raw(&workflow)).unwrap();
            assert!(found.graph.get() == GRAPH && found.warning.is_some(), "{workflow}");
        }
        for plain in
            [GRAPH, editor, r#""published@3""#, "{}", "[1]", "7", r#"{"prompt":{"class_type":"A","inputs":{}}}"#]
        {
            let found = in_member(raw(plain)).unwrap();
            assert!(found.graph.get() == plain && found.warning.is_none(), "{plain}");
        }
    }

    #[test]
    fn a_doubtful_body_is_refused_with_the_right_one() {
        for body in [
            format!(r#"{{"prompt":{GRAPH},"steps":4}}"#),
            r#"{"3":{"class_type":"A","inputs":{}},"params":{"3.x":1}}"#.to_owned(),
        ] {
            let problem = in_body(&body, &["params"]).unwrap_err();
            assert!(problem.message.contains(r#"{"workflow": {"3""#), "{}", problem.message);
        }
        let problem = in_member(raw(&format!(r#"{{"workflow":{GRAPH},"params":{{"3.x":1}}}}"#))).unwrap_err();
        assert!(problem.message.contains("`params`"), "{}", problem.message);
        let problem = in_member(raw(r#""{\"3\": True}""#)).unwrap_err();
        assert!(problem.message.contains("True is Python"), "{}", problem.message);
        for other in ["{}", "[]", "[7]", r#""a cat""#, r#"{"workflo":{}}"#, r#"{"prompt":"a cat"}"#, "7"] {
            assert!(in_body(other, &["params"]).unwrap().is_none(), "{other}");
        }
    }

    /// Bug report 22.
    #[test]
    fn a_body_that_is_a_text_or_a_list_shows_the_right_one() {
        let text = serde_json::to_string(&format!(r#"{{"workflow":{GRAPH}}}"#)).unwrap();
        let bare = serde_json::to_string(GRAPH).unwrap();
        for body in [
            text,
            bare,
            format!("[{GRAPH}]"),
            format!(r#"[{{"workflow":{GRAPH}}}]"#),
            format!(r#"[{{"prompt":{GRAPH}}}]"#),
        ] {
            let problem = in_body(&body, &["params"]).unwrap_err();
            assert_eq!((problem.pointer.as_str(), problem.code.as_str()), ("", "not_an_object"), "{body}");
            assert!(problem.message.contains(r#"{"workflow": {"3""#), "{}", problem.message);
        }
    }

    /// Finding 9.
    #[test]
    fn a_graph_that_is_deeper_inside_is_shown_its_place() {
        let editor = r#"{"nodes":[],"links":[],"version":0.4}"#;
        let text = serde_json::to_string(GRAPH).unwrap();
        for (body, place) in [
            (
                format!(r#"{{"input":{{"workflow":{GRAPH},"images":[{{"name":"a.png","image":"iVBO"}}]}}}}"#),
                "input.workflow",
            ),
            (format!(r#"{{"workflow_json":{GRAPH}}}"#), "workflow_json"),
            (format!(r#"{{"workflow_json":{text}}}"#), "workflow_json"),
            (format!(r#"{{"data":{GRAPH}}}"#), "data"),
            (format!(r#"{{"data":{{"prompt":{GRAPH}}}}}"#), "data.prompt"),
            (format!(r#"{{"prompt":[0,"id",{GRAPH},{{}},["3"]]}}"#), "prompt.2"),
            (format!(r#"{{"graph":{editor},"params":{{}}}}"#), "graph"),
        ] {
            let problem = in_body(&body, &["params"]).unwrap_err();
            assert_eq!(problem.pointer, format!("/{}", place.replace('.', "/")), "{body}");
            assert!(
                problem.message.contains(&format!("`{place}`")) && problem.message.contains(r#"{"workflow": {"3""#),
                "{body}"
            );
        }
        let export = format!(r#"{{"output":{GRAPH},"workflow":{editor}}}"#);
        assert!(super::is_exported(&export) && !super::is_exported(&format!(r#"{{"workflow":{GRAPH}}}"#)));
        assert_eq!(in_body(&export, &["params"]).unwrap().unwrap().graph.get(), GRAPH);
        assert_eq!(in_member(raw(&export)).unwrap().graph.get(), GRAPH);
    }

    /// Bug report 22: outputs that were left out must not run all the same, and keys must not get lost.
    #[test]
    fn what_a_body_of_prompt_asks_for_is_not_lost() {
        let targets = format!(r#"{{"prompt":{GRAPH},"partial_execution_targets":["3"]}}"#);
        let problem = in_body(&targets, &[]).unwrap_err();
        assert_eq!((problem.pointer.as_str(), problem.code.as_str()), ("/partial_execution_targets", "unsupported"));
        assert_eq!(in_member(raw(&targets)).unwrap_err().code, "unsupported");
        let all = format!(r#"{{"prompt":{GRAPH},"partial_execution_targets":null,"extra_data":{{"x":1}}}}"#);
        let found = in_body(&all, &[]).unwrap().unwrap();
        assert!(!found.warning.unwrap().message.contains("left out"));
        let inner = format!(r#"{{"prompt":{GRAPH},"extra_data":{{"api_key_comfy_org":"comfyui-0000"}}}}"#);
        let problem = in_member(raw(&inner)).unwrap_err();
        assert!(problem.message.contains("extraData") && !problem.message.contains("0000"), "{}", problem.message);
    }
}
