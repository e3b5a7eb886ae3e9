//! Parses JSON into a [`Workflow`] and refuses everything that could harm an instance (protocol §10, §17.8), with a
//! pointer to each problem.

use super::{
    GraphLimits, Workflow, convert,
    json_faults::scan,
    links,
    workflow::{Member, Node},
};
use crate::{
    json::{self, child_pointer, raw_value},
    problem::{Problem, Problems, clip},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// JSON pointer of the workflow in the request.
const BASE: &str = "/workflow";
/// Longest node id, bytes. ComfyUI repeats ids in every progress message; its own have a few digits.
pub(super) const NODE_ID_BYTES_MAX: usize = 200;
/// Maximum number of inputs of one node; the largest known nodes have some hundred.
pub(super) const INPUTS_MAX: usize = 1_000;

impl Workflow {
    /// Parses a graph and checks everything that could harm an instance (protocol §17.8): every node is an object with
    /// a string `class_type` and an object `inputs`, count and depth are bounded, there is no cycle and no duplicate
    /// key. The editor's format is recognised and named in the problem.
    ///
    /// Links to missing nodes are allowed: harmless on an unneeded node, otherwise the instance answers 400 (protocol
    /// §10, §2).
    ///
    /// # Errors
    /// Every problem found, at most 100.
    pub fn parse(json: &RawValue, limits: GraphLimits) -> Result<Self, Vec<Problem>> {
        let workflow = Self::parse_links_later(json, limits)?;
        match workflow.fault() {
            Some(fault) => Err(vec![fault.clone()]),
            None => Ok(workflow),
        }
    }

    /// Does the same as [`Self::parse`], except that a problem of the links is kept, to be reported with all others by
    /// [`super::resolve`].
    pub(super) fn parse_links_later(json: &RawValue, limits: GraphLimits) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        scan(json.get(), BASE, &mut problems);
        let mut problems = problems.check()?;
        let entries = entries(json, limits)?;
        let mut nodes = Vec::with_capacity(entries.len());
        for (id, value) in entries {
            nodes.extend(node(id, value, &mut problems));
        }
        problems.check()?;
        let workflow = Self::assemble(nodes, limits);
        let fault = links::check(&workflow, BASE).err().and_then(|problems| problems.into_iter().next());
        Ok(workflow.with_text(json).with_fault(fault))
    }

    /// Reads the output of [`Workflow::to_json`].
    pub fn from_stored(json: &RawValue) -> Option<Self> {
        let limits = GraphLimits { nodes_max: usize::MAX, depth_max: usize::MAX };
        let mut problems = Problems::default();
        let nodes = raw_value::borrowed_members(json)?
            .into_iter()
            .filter_map(|(id, value)| node(id, value, &mut problems))
            .collect();
        problems.check().ok()?;
        Some(Self::assemble(nodes, limits))
    }
}

fn entries(json: &RawValue, limits: GraphLimits) -> Result<Vec<json::Member<'_>>, Vec<Problem>> {
    let here = BASE.to_owned();
    let Some(entries) = raw_value::borrowed_members(json) else {
        return Err(vec![Problem::shape(here, "workflow_not_object", "workflow must be an object: node id → node")]);
    };
    if entries.is_empty() {
        return Err(vec![Problem::shape(here, "workflow_empty", "workflow has no nodes")]);
    }
    if entries.iter().any(|(key, value)| key == "nodes" && raw_value::is_array(value)) {
        return Err(vec![convert::refusal("")]);
    }
    if entries.len() > limits.nodes_max {
        let message = format!("workflow has {} nodes, at most {} are allowed", entries.len(), limits.nodes_max);
        return Err(vec![Problem::unfit(here, "workflow_too_many_nodes", message)]);
    }
    Ok(entries)
}

/// Parses one node, or records its problems.
fn node(id: Cow<'_, str>, value: &RawValue, problems: &mut Problems) -> Option<Node> {
    let here = || child_pointer(BASE, &id);
    let before = problems.len();
    let mut refuse = |pointer: String, code: &str, message: &str| {
        let message = format!("node {}: {message}", clip(&id));
        problems.push(Problem::shape(pointer, code, message).at_node(&id));
    };
    if id.len() > NODE_ID_BYTES_MAX {
        refuse(here(), "workflow_node_id_too_long", "its id is longer than 200 bytes");
    }
    let Some(entries) = raw_value::borrowed_members(value) else {
        refuse(here(), "workflow_node_not_object", "must be an object with class_type and inputs");
        return None;
    };
    let (mut class, mut inputs, mut title, mut members) = (None, None, None, Vec::with_capacity(entries.len()));
    for (key, value) in entries {
        match key.as_ref() {
            "class_type" => {
                class = raw_value::text(value);
                members.push(Member::Class);
            }
            "inputs" => {
                inputs = raw_value::borrowed_members(value);
                members.push(Member::Inputs);
            }
            _ => {
                if key == "_meta" {
                    // ComfyUI 0.38 reads the title of `_meta` and answers 500 if `_meta` is no object.
                    match raw_value::borrowed_members(value) {
                        Some(meta) => title = title_of(&meta),
                        None => refuse(
                            child_pointer(&here(), "_meta"),
                            "workflow_meta_not_object",
                            "_meta must be an object",
                        ),
                    }
                }
                members.push(Member::Other(key.into_owned(), value.to_owned()));
            }
        }
    }
    if class.as_ref().is_none_or(String::is_empty) {
        let message = no_class(value, title.as_deref());
        refuse(child_pointer(&here(), "class_type"), "workflow_class_type_missing", &message);
    }
    if inputs.as_ref().is_some_and(|inputs| inputs.len() > INPUTS_MAX) {
        refuse(child_pointer(&here(), "inputs"), "workflow_too_many_inputs", "it has more than 1000 inputs");
    }
    if inputs.is_none() {
        // A node without inputs, needed or not, kills the instance's worker thread (protocol §10).
        refuse(
            child_pointer(&here(), "inputs"),
            "workflow_inputs_missing",
            "inputs must be an object, {} when it has none",
        );
    }
    if problems.len() > before {
        return None;
    }
    let inputs = inputs?.into_iter().map(|(name, value)| (name.into_owned(), value.to_owned())).collect();
    Some(Node::new(id.into_owned(), class?, title, inputs, members))
}

/// Says why a node has no class, and what to do.
fn no_class(node: &RawValue, title: Option<&str>) -> String {
    let members = raw_value::borrowed_members(node).unwrap_or_default();
    let find = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
    let title = title.filter(|title| !title.is_empty()).map_or(String::new(), |title| format!(" ({})", clip(title)));
    match (find("class_type"), find("type").and_then(raw_value::text)) {
        (None, Some(_)) if find("inputs").is_some() => format!("it has `type`{title}: write it as `class_type`"),
        (None, _) if find("inputs").is_some() => format!(
            "it has no class_type{title}: the editor leaves it out if the pack of the node is not installed where the graph \
             is exported; install the pack there and export again, write the class, or remove the node"
        ),
        _ => "class_type must be a string".to_owned(),
    }
}

fn title_of(meta: &[json::Member<'_>]) -> Option<String> {
    meta.iter().find(|(key, _)| key == "title").and_then(|(_, value)| raw_value::text(value))
}
