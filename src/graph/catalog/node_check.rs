//! Check of one node against the declaration of its class by one instance: missing inputs, links, literals.

use super::{Catalog, Class, Growing, Input, Kind, Mismatch, Variant, leftover};
use crate::{
    graph::{Workflow, links::Link, params::is_seed_name, workflow::Node},
    json::raw_value,
    problem::clip,
};
use serde_json::value::RawValue;

/// A reason for which an instance refuses a node.
#[derive(Debug)]
pub(in crate::graph) struct Issue {
    /// The input.
    pub(in crate::graph) input: String,
    pub(in crate::graph) code: &'static str,
    /// Message without the node: `is required`, `is linked to node 9, which does not exist`.
    pub(in crate::graph) message: String,
    /// Advice behind the message, beginning with `; `, or an empty text.
    pub(in crate::graph) cure: &'static str,
    /// Description of valid values.
    pub(in crate::graph) expected: Option<String>,
    /// Whether another instance may offer the value.
    pub(in crate::graph) is_choice: bool,
}

impl Issue {
    fn new(input: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { input: input.to_owned(), code, message: message.into(), cure: "", expected: None, is_choice: false }
    }
}

impl Catalog {
    /// Returns every reason for which an instance with this catalog refuses the node itself. None if it lacks the class.
    pub(in crate::graph) fn issues(&self, workflow: &Workflow, node: &Node) -> Vec<Issue> {
        let Some(class) = self.class(&node.class) else { return Vec::new() };
        let mut issues = Vec::new();
        let mut given = 0;
        for (name, declared) in &class.inputs {
            match node.input(name) {
                Some(value) => {
                    given += 1;
                    issues.extend(self.issue(workflow, name, declared, value));
                }
                None if declared.must_be_given() => issues.push(missing(class, node, name, declared)),
                None => {}
            }
            missing_below(class, node, name, &declared.kind, &mut issues);
        }
        // The others are inputs that dynamic ones bring, or unknown.
        if given < node.inputs.len() {
            let chosen = |input: &str| node.input(input).and_then(raw_value::text);
            for (name, value) in node.inputs.iter().filter(|(name, _)| !class.inputs.contains_key(name)) {
                issues.extend(match class.input_beside(name, &chosen) {
                    Some(declared) => self.issue(workflow, name, declared, value),
                    None => class.beyond(name).or_else(|| dangling(workflow, name, value)),
                });
            }
        }
        issues
    }

    fn issue(&self, workflow: &Workflow, name: &str, declared: &Input, value: &RawValue) -> Option<Issue> {
        if !raw_value::is_array(value) {
            return declared.refuses(value).map(|mismatch| literal(name, declared, mismatch, value));
        }
        let (target, slot) = match Link::read(value) {
            Link::To { target, slot } => (target, slot),
            Link::NumberedNode(id) => {
                let message = format!("is the link {}: a link's node id is a text, [\"{id}\", …]", clip(value.get()));
                return Some(Issue::new(name, "link_bad_node_id", message));
            }
            Link::BadSlot => {
                let message =
                    format!("is the link {}: the second element is the number of an output", clip(value.get()));
                return Some(Issue::new(name, "link_bad_slot", message));
            }
            Link::None => {
                let message = format!(
                    "is the list {}: a link is [\"<node id>\", <output>]; a list as a value is {{\"__value__\": […]}}",
                    clip(value.get())
                );
                return Some(Issue::new(name, "link_bad_shape", message));
            }
        };
        let Some(place) = workflow.place_of(&target) else {
            let message = format!("is linked to node {}, which does not exist", clip(&target));
            return Some(Issue::new(name, "link_dangling", message));
        };
        let source = workflow.node(place);
        let of = self.class(&source.class)?;
        let shown = || format!("node {} ({})", clip(&source.id), clip(&source.class));
        match of.output_at(slot) {
            Ok(Some(received)) if !declared.takes_type(received) => {
                let wanted = clip(declared.type_name());
                let message = format!("takes {wanted}, not the {} of {}", clip(received), shown());
                Some(Issue { expected: Some(wanted), ..Issue::new(name, "link_wrong_type", message) })
            }
            Ok(_) => None,
            Err(count) => {
                let message = format!("is linked to output {slot} of {}, which has {count}, counted from 0", shown());
                Some(Issue::new(name, "link_bad_slot", message))
            }
        }
    }
}

/// Returns the issue of an input that the class does not declare: ComfyUI does not validate it, but follows its link, and
/// one that leads nowhere ends its worker.
fn dangling(workflow: &Workflow, name: &str, value: &RawValue) -> Option<Issue> {
    let Link::To { target, .. } = Link::read(value) else { return None };
    let message = || format!("is linked to node {}, which does not exist", clip(&target));
    workflow.place_of(&target).is_none().then(|| Issue::new(name, "link_dangling", message()))
}

impl Class {
    /// Returns the issue of an input that has the name of a growing group's socket and is none: an instance hands it to
    /// the node, which fails.
    fn beyond(&self, name: &str) -> Option<Issue> {
        let (group, _) = name.split_once('.')?;
        let Kind::Growing(growing) = &self.inputs.get(group)?.kind else { return None };
        let names = &growing.names;
        let (first, last) = (names.first()?, names.last()?);
        let message = format!(
            "is no input of its class: `{}` takes {} at most, `{}.{}` to `{}.{}`",
            clip(group),
            names.len(),
            clip(group),
            clip(first),
            clip(group),
            clip(last)
        );
        Some(Issue::new(name, "input_unknown", message))
    }
}

impl Input {
    /// Whether a node without it fails. The inputs of a growing group are looked at one by one.
    fn must_be_given(&self) -> bool {
        self.is_required && (!self.is_dynamic_type() || matches!(self.kind, Kind::Dynamic(_)))
    }
}

/// Adds the inputs that a dynamic one requires and the node lacks.
fn missing_below(class: &Class, node: &Node, name: &str, kind: &Kind, issues: &mut Vec<Issue>) {
    match kind {
        Kind::Dynamic(variants) => missing_children(class, node, name, variants, issues),
        Kind::Growing(growing) => missing_sockets(node, name, growing, issues),
        Kind::Int { .. } | Kind::Float { .. } | Kind::Boolean | Kind::Text | Kind::Choice(_) | Kind::Open => {}
    }
}

/// Adds the first sockets of a growing group, which ComfyUI requires by name: a later one is none of them.
fn missing_sockets(node: &Node, group: &str, growing: &Growing, issues: &mut Vec<Issue>) {
    // What is inside such an object is reported as a whole.
    if node.input(group).is_some_and(raw_value::is_object) {
        return;
    }
    for socket in growing.names.iter().take(growing.min) {
        let name = format!("{group}.{socket}");
        if node.input(&name).is_none() {
            let hint = if node.input(socket).is_some() {
                format!("; it has `{}`: write `{}`", clip(socket), clip(&name))
            } else {
                String::new()
            };
            let message = format!("is required and missing{hint}");
            let expected = Some(clip(growing.socket.type_name()));
            issues.push(Issue { expected, ..Issue::new(&name, "input_missing", message) });
        }
    }
}

/// Adds the required inputs that the choice of a dynamic combo brings and the node lacks.
fn missing_children(class: &Class, node: &Node, name: &str, variants: &[Variant], issues: &mut Vec<Issue>) {
    let Some(chosen) = node.input(name).and_then(raw_value::text) else { return };
    let Some(variant) = variants.iter().find(|variant| variant.key == chosen) else { return };
    for (child, declared) in &variant.inputs {
        let name = format!("{name}.{child}");
        if declared.must_be_given() && node.input(&name).is_none() {
            issues.push(missing(class, node, &name, declared));
        }
        missing_below(class, node, &name, &declared.kind, issues);
    }
}

fn missing(class: &Class, node: &Node, name: &str, declared: &Input) -> Issue {
    let undeclared = node.inputs.iter().map(|(given, _)| given).filter(|given| class.input(given).is_none());
    let near = crate::problem::suggest(name, undeclared.take(20));
    let hint = near.first().map_or(String::new(), |near| format!("; it has `{}`, which is unknown", clip(near)));
    let message = format!("is required and missing{hint}");
    Issue { expected: Some(clip(declared.type_name())), ..Issue::new(name, "input_missing", message) }
}

fn literal(name: &str, declared: &Input, mismatch: Mismatch, value: &RawValue) -> Issue {
    let Mismatch { code, expected, is_choice } = mismatch;
    let cure = leftover::cure(value, declared.is_seed || is_seed_name(name));
    let got = clip(value.get());
    let message =
        if is_choice { format!("is {got}, which no instance offers") } else { format!("takes {expected}, not {got}") };
    Issue { expected: Some(expected), is_choice, cure, ..Issue::new(name, code, message) }
}
