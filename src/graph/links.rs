//! Checks for cycles and long chains of links, over the whole graph: ComfyUI also walks unneeded nodes, recursively.

use super::Workflow;
use crate::{
    json::{child_pointer, raw_value},
    problem::{Problem, clip},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Number of node ids listed in the message about a cycle.
const CYCLE_SHOWN: usize = 10;

/// Refuses a cycle and a chain longer than the graph's limit. `base` is the pointer of the problems: `/workflow` or
/// `/params`.
pub(super) fn check(workflow: &Workflow, base: &str) -> Result<(), Vec<Problem>> {
    let sources = sources(workflow);
    let mut users = vec![Vec::new(); sources.len()];
    for (node, list) in sources.iter().enumerate() {
        for &source in list {
            users[source].push(node);
        }
    }
    let mut missing: Vec<usize> = sources.iter().map(Vec::len).collect();
    let mut depth = vec![1; sources.len()];
    let mut ready: Vec<usize> = (0..sources.len()).filter(|&node| missing[node] == 0).collect();
    let mut settled = 0;
    while let Some(node) = ready.pop() {
        settled += 1;
        for &user in &users[node] {
            depth[user] = depth[user].max(depth[node] + 1);
            missing[user] -= 1;
            if missing[user] == 0 {
                ready.push(user);
            }
        }
    }
    if settled < sources.len() {
        return Err(vec![cycle(workflow, base, &sources, &missing)]);
    }
    let depth_max = workflow.limits().depth_max;
    let Some(node) = depth.iter().position(|&length| length > depth_max) else { return Ok(()) };
    let id = &workflow.node(node).id;
    let message = format!("node {}: chain of more than {depth_max} linked nodes", clip(id));
    Err(vec![Problem::unfit(place(base, id), "workflow_too_deep", message).at_node(id)])
}

/// Returns, for each node, the nodes that its inputs are linked to.
pub(super) fn sources(workflow: &Workflow) -> Vec<Vec<usize>> {
    let of_input = |value: &_| borrowed_link_target(value).and_then(|target| workflow.place_of(&target));
    workflow.nodes().map(|node| node.inputs.iter().filter_map(|(_, value)| of_input(value)).collect()).collect()
}

fn cycle(workflow: &Workflow, base: &str, sources: &[Vec<usize>], missing: &[usize]) -> Problem {
    let is_left = |node: usize| missing[node] > 0;
    let mut seen = vec![false; sources.len()];
    let mut path = Vec::new();
    let mut here = (0..sources.len()).find(|&node| is_left(node));
    // Every remaining node has a remaining source, so this walk must return to a visited node.
    while let Some(node) = here.filter(|&node| !seen[node]) {
        seen[node] = true;
        path.push(node);
        here = sources[node].iter().copied().find(|&source| is_left(source));
    }
    let start = here.unwrap_or_default();
    let on_cycle = path.iter().copied().skip_while(|&node| node != start).take(CYCLE_SHOWN);
    let ids: Vec<String> = on_cycle.chain([start]).map(|node| clip(&workflow.node(node).id)).collect();
    let id = &workflow.node(start).id;
    let message = format!("links form a cycle: {}", ids.join(" ← "));
    Problem::unfit(place(base, id), "workflow_cycle", message).at_node(id)
}

fn place(base: &str, id: &str) -> String {
    if base == "/workflow" { child_pointer(base, id) } else { base.to_owned() }
}

/// Returns the node that a link leads to, as a text of its own.
pub(super) fn link_target(raw: &RawValue) -> Option<String> {
    borrowed_link_target(raw).map(Cow::into_owned)
}

/// Returns the node that a link leads to. ComfyUI takes a list of a string and an int, float or bool for a link
/// (`comfy_execution/graph_utils.py`, `is_link`).
pub(super) fn borrowed_link_target(raw: &RawValue) -> Option<Cow<'_, str>> {
    if !raw_value::is_array(raw) {
        return None;
    }
    if let Some(target) = plain_link_target(raw.get()) {
        return Some(Cow::Borrowed(target));
    }
    let elements = raw_value::elements(raw)?;
    let [target, slot] = elements.as_slice() else { return None };
    let is_slot = matches!(slot.get().as_bytes().first(), Some(b'0'..=b'9' | b'-' | b't' | b'f'));
    if is_slot { raw_value::text(target).map(Cow::Owned) } else { None }
}

/// A list in an input, as ComfyUI's validation reads it (`execution.py`, `validate_inputs`): every list is a link there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link<'v> {
    /// A link to an output.
    To { target: Cow<'v, str>, slot: i128 },
    /// A list of two, of which the first is this number instead of a text.
    NumberedNode(&'v str),
    /// A list of two, of which the second is no whole number.
    BadSlot,
    /// Another list.
    None,
}

impl<'v> Link<'v> {
    /// Reads a list.
    pub(super) fn read(raw: &'v RawValue) -> Self {
        if let Some(target) = plain_link_target(raw.get()) {
            let slot = raw.get().rsplit(',').next().unwrap_or_default().trim_end_matches(']').trim();
            return slot.parse().map_or(Self::BadSlot, |slot| Self::To { target: Cow::Borrowed(target), slot });
        }
        let elements = raw_value::elements(raw).unwrap_or_default();
        let [target, slot] = elements.as_slice() else { return Self::None };
        let slot = match slot.get() {
            "true" => Some(1),
            "false" => Some(0),
            number => number.parse().ok(),
        };
        match (raw_value::text(target), slot) {
            (Some(target), Some(slot)) => Self::To { target: Cow::Owned(target), slot },
            (Some(_), None) => Self::BadSlot,
            (None, _) if target.get().starts_with(|first: char| first.is_ascii_digit()) => {
                Self::NumberedNode(target.get())
            }
            (None, _) => Self::None,
        }
    }
}

/// The target of a link in its usual spelling, `["4",0]`: read without a parser.
fn plain_link_target(json: &str) -> Option<&str> {
    let (target, slot) = json.strip_prefix("[\"")?.strip_suffix(']')?.split_once('"')?;
    let slot = slot.strip_prefix(',')?.trim_ascii();
    let is_plain = !target.contains('\\') && !slot.is_empty() && slot.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then_some(target)
}

/// Whether a text starts like the URL of a file on the web.
pub(super) fn is_url(text: &str) -> bool {
    let starts = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    starts("http://") || starts("https://")
}

#[cfg(test)]
mod tests {
    use super::{Cow, Link, link_target};
    use serde_json::value::RawValue;

    #[test]
    fn a_link_is_what_comfyui_takes_for_one() {
        let raw = |json: &'static str| serde_json::from_str::<&RawValue>(json).unwrap();
        for link in [r#"["4",0]"#, r#"[ "4" , 1.5 ]"#, r#"["4",true]"#, r#"["\u0034",-1]"#] {
            assert_eq!(link_target(raw(link)).as_deref(), Some("4"), "{link}");
        }
        for other in [r#"["4"]"#, r#"["4",0,1]"#, r#"[4,0]"#, r#"["4","0"]"#, r#"["4",null]"#, "[]", "4", r#"{"4":0}"#]
        {
            assert_eq!(link_target(raw(other)), None, "{other}");
        }
    }

    #[test]
    fn every_list_is_a_link_or_says_what_is_wrong_with_it() {
        let raw = |json: &'static str| serde_json::from_str::<&RawValue>(json).unwrap();
        let to = |target: &'static str, slot| Link::To { target: Cow::Borrowed(target), slot };
        for (json, link) in [
            (r#"["4",0]"#, to("4", 0)),
            (r#"[ "4" , -1 ]"#, to("4", -1)),
            (r#"["\u0034", 12]"#, to("4", 12)),
            (r#"["4",true]"#, to("4", 1)),
            // Bug report 32.
            ("[1,0]", Link::NumberedNode("1")),
            (r#"["4","0"]"#, Link::BadSlot),
            (r#"["4",0.0]"#, Link::BadSlot),
            (r#"["4"]"#, Link::None),
            (r#"["4",0,1]"#, Link::None),
            ("[null,0]", Link::None),
            ("[]", Link::None),
        ] {
            assert_eq!(Link::read(raw(json)), link, "{json}");
        }
    }
}
