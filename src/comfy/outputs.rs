//! Outputs of a prompt: every file and every value under any ui key (protocol §8, §18).
//!
//! Invariant: all of it comes from an instance, and is read item by item. File names are data for a query string, never
//! part of a path; a name that no request can be made from is a fault of the prompt, which counts if nothing else is there.

mod collector;
mod values;

use super::{NodeOutput, limits, python_json, validation_error::natural_order};
use crate::{
    json::{each_member, member},
    task::{Failure, OutputWarning},
};
use collector::Collector;
use serde_json::value::RawValue;
use std::{collections::HashMap, ops::ControlFlow};

/// The outputs of a prompt.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Files and values, in the order of the graph's nodes.
    pub(super) outputs: Vec<NodeOutput>,
    /// Warnings about files and values that were left out, with the reasons.
    pub(super) warnings: Vec<OutputWarning>,
    /// The reason for which not all files can be fetched: an unusable name, or too many.
    pub(super) fault: Option<Failure>,
}

/// Collects the outputs in the order of `graph`'s nodes. Outputs of an expanded node are listed under the node that the
/// user wrote. `outputs` is `{node_id:{ui key:value}}`; `meta` is `{node_id:{"display_node":id}}`, or missing.
pub(super) fn collect(outputs: &str, meta: Option<&str>, graph: &[String]) -> Collected {
    let positions: HashMap<&str, usize> =
        graph.iter().enumerate().map(|(position, node_id)| (node_id.as_str(), position)).collect();
    let display_ids = display_ids(meta, &positions);
    let mut nodes: Vec<(String, String, &RawValue)> = Vec::new();
    // `null` stands for no outputs.
    let _read = each_member(outputs, |node_id, ui| {
        let node_id = short_id(&node_id);
        nodes.push((display_id(node_id, &display_ids, &positions), node_id.to_owned(), ui));
        if nodes.len() < limits::NODES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let position = |display_id: &str| positions.get(display_id).copied().unwrap_or(usize::MAX);
    nodes.sort_by(|(display, node_id, _), (other_display, other_id, _)| {
        let by_position = position(display).cmp(&position(other_display));
        by_position.then_with(|| natural_order(display, other_display)).then_with(|| natural_order(node_id, other_id))
    });
    let mut collector = Collector::new(usize::MAX);
    for (display_id, _, ui) in nodes {
        collector.add_node(&display_id, ui);
    }
    Collected { outputs: collector.outputs, warnings: collector.warnings, fault: collector.fault }
}

/// Collects the outputs of one node while the prompt is running, up to `LIVE_BYTES_MAX`. `ui` is `{ui key:value}` or
/// null.
pub(super) fn of_node(display_id: &str, ui: &RawValue) -> Vec<NodeOutput> {
    let mut collector = Collector::new(limits::LIVE_BYTES_MAX);
    collector.add_node(display_id, ui);
    collector.outputs
}

/// The display ids of nodes that are not of the graph, where they are.
fn display_ids(meta: Option<&str>, positions: &HashMap<&str, usize>) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let _read = meta.map(|meta| {
        each_member(meta, |node_id, raw| {
            let id =
                member(raw.get(), "display_node").and_then(|raw| python_json::text(raw, limits::NODE_ID_BYTES_MAX));
            if let Some(id) = id.filter(|id| positions.contains_key(id.as_str())) {
                found.insert(short_id(&node_id).to_owned(), id);
            }
            if found.len() < limits::NODES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    });
    found
}

fn display_id(node_id: &str, display_ids: &HashMap<String, String>, positions: &HashMap<&str, usize>) -> String {
    let from_meta = || display_ids.get(node_id).map(String::as_str);
    let of_graph = |id: &str| positions.contains_key(id);
    let own = Some(node_id).filter(|id| of_graph(id));
    own.or_else(from_meta).or_else(|| ancestor(node_id, of_graph)).unwrap_or(node_id).to_owned()
}

/// Returns the node of the graph that was expanded into `node_id`: `1` for `1.0.0.1` (protocol §5). Each prefix is
/// looked up, so only the start of a long id is.
pub(super) fn ancestor(node_id: &str, is_of_graph: impl Fn(&str) -> bool) -> Option<&str> {
    let mut name = short_id(node_id);
    loop {
        if is_of_graph(name) {
            return Some(name);
        }
        name = &name[..name.rfind('.')?];
    }
}

/// The part of a node id that is looked at.
pub(super) fn short_id(node_id: &str) -> &str {
    &node_id[..node_id.floor_char_boundary(limits::NODE_ID_BYTES_MAX)]
}

#[cfg(test)]
mod tests;
