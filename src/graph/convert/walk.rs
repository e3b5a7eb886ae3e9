//! Following links to what really makes a value: through reroutes, bypassed nodes, into subgraphs and out of them.

use super::{
    Fault,
    ui::{Document, Graph, INPUT_NODE, Mode, Node, Slot, Values},
};
use crate::graph::problem::clip;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Subgraphs inside one another.
const NESTING_MAX: usize = 20;
/// Steps from one input to its source; more is a circle.
const HOPS_MAX: usize = 500;
/// Steps for all inputs together.
const HOPS_TOTAL_MAX: usize = 500_000;

/// A node inside an instance of a graph.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    scope: usize,
    node: usize,
}

/// The workflow and every instance of a subgraph in it.
pub(super) struct Plan<'a, 'd> {
    document: &'d Document<'a>,
    scopes: Vec<Scope<'a, 'd>>,
    /// Nodes that run.
    steps: Vec<Step>,
}

struct Scope<'a, 'd> {
    graph: &'d Graph<'a>,
    /// `55:12:`
    prefix: String,
    /// The node that it stands for.
    outer: Option<Step>,
    /// The scopes of its nodes that stand for subgraphs.
    inner: HashMap<usize, usize>,
    depth: usize,
}

/// Where an input's value comes from.
pub(super) enum Found<'a> {
    /// Nowhere: what its widget holds counts.
    Nothing,
    /// A muted node: the input is left out.
    Muted,
    /// A value that was typed in elsewhere.
    Value(&'a RawValue),
    /// A node that runs.
    Output { id: String, slot: usize },
}

/// Nodes that only the editor has.
fn is_virtual(node: &Node<'_>) -> bool {
    matches!(node.class.as_str(), "Reroute" | "PrimitiveNode" | "Note" | "MarkdownNote")
}

fn is_live(node: &Node<'_>) -> bool {
    node.mode == Mode::Runs && !is_virtual(node)
}

impl<'a, 'd> Plan<'a, 'd> {
    pub(super) fn new(document: &'d Document<'a>, nodes_max: usize) -> Result<Self, Fault> {
        let root = Scope { graph: &document.root, prefix: String::new(), outer: None, inner: HashMap::new(), depth: 0 };
        let mut plan = Self { document, scopes: vec![root], steps: Vec::new() };
        let mut left = vec![(0, 0)];
        while let Some((scope, node)) = left.pop() {
            let graph = plan.scopes[scope].graph;
            let Some(here) = graph.nodes.get(node) else { continue };
            left.push((scope, node + 1));
            if here.mode != Mode::Runs || is_virtual(here) {
                // The editor switches off what is inside, too. Where it runs all the same, its versions do not agree.
                if document.subgraphs.get(&here.class).is_some_and(|inner| inner.nodes.iter().any(is_live)) {
                    return Err(format!("node {}: its subgraph is off, but not what is in it", clip(&here.id)));
                }
                continue;
            }
            if let Some(inner) = document.subgraphs.get(&here.class) {
                left.push((plan.enter(scope, node, inner)?, 0));
            } else {
                plan.steps.push(Step { scope, node });
            }
            if plan.steps.len().max(plan.scopes.len()) > nodes_max {
                return Err(format!("it has more than {nodes_max} nodes"));
            }
        }
        Ok(plan)
    }

    fn enter(&mut self, scope: usize, node: usize, graph: &'d Graph<'a>) -> Result<usize, Fault> {
        let (outer, inner) = (&self.scopes[scope], self.scopes.len());
        let id = &outer.graph.nodes[node].id;
        if outer.depth >= NESTING_MAX {
            return Err(format!("node {}: more than {NESTING_MAX} subgraphs inside one another", clip(id)));
        }
        let prefix = format!("{}{id}:", outer.prefix);
        let depth = outer.depth + 1;
        self.scopes.push(Scope { graph, prefix, outer: Some(Step { scope, node }), inner: HashMap::new(), depth });
        self.scopes[scope].inner.insert(node, inner);
        Ok(inner)
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = Step> {
        self.steps.iter().copied()
    }

    pub(super) fn node_of(&self, step: Step) -> &'d Node<'a> {
        &self.scopes[step.scope].graph.nodes[step.node]
    }

    pub(super) fn id_of(&self, step: Step) -> String {
        format!("{}{}", self.scopes[step.scope].prefix, self.node_of(step).id)
    }
}

pub(super) struct Walk<'a, 'p> {
    plan: &'p Plan<'a, 'a>,
    hops: usize,
    pub(super) has_replacements: bool,
}

/// Where a walk stands.
enum At<'a> {
    /// At an input: the type that is wanted, where that is not the input's own.
    Input(Step, usize, Option<&'a str>),
    /// At an output, with the type that is wanted.
    Output(Step, usize, &'a str),
}

impl<'a, 'p> Walk<'a, 'p> {
    pub(super) fn new(plan: &'p Plan<'a, 'a>) -> Self {
        Self { plan, hops: 0, has_replacements: false }
    }

    /// What the input of a node that runs is linked to in the end.
    pub(super) fn find(&mut self, step: Step, input: usize) -> Result<Found<'a>, Fault> {
        let mut at = At::Input(step, input, None);
        for hop in 0..HOPS_MAX {
            self.hops += 1;
            if self.hops > HOPS_TOTAL_MAX {
                return Err("the links are too long altogether".to_owned());
            }
            let next = match at {
                At::Input(step, input, wanted) => self.before_input(step, input, wanted)?,
                At::Output(step, slot, wanted) => self.behind_output(step, slot, wanted, hop == 1)?,
            };
            match next {
                Ok(found) => return Ok(found),
                Err(further) => at = further,
            }
        }
        Err(format!("its links go in a circle, or over more than {HOPS_MAX} reroutes"))
    }

    fn before_input(
        &self,
        step: Step,
        input: usize,
        wanted: Option<&'a str>,
    ) -> Result<Result<Found<'a>, At<'a>>, Fault> {
        let scope = &self.plan.scopes[step.scope];
        let node = self.plan.node_of(step);
        let Some(Slot { link: Some(id), kind, .. }) = node.inputs.get(input) else { return Ok(Ok(Found::Nothing)) };
        let Some(link) = scope.graph.links.get(id) else {
            return Err(format!("the link {} to node {} is not among the links", clip(id), clip(&node.id)));
        };
        if let (INPUT_NODE, Some(outer)) = (link.origin.as_str(), scope.outer) {
            return self.out_of(outer, link.slot);
        }
        let Some(&origin) = scope.graph.places.get(&link.origin) else {
            return Err(format!("the link {} comes from node {}, which is not there", clip(id), clip(&link.origin)));
        };
        Ok(Err(At::Output(Step { scope: step.scope, node: origin }, link.slot, wanted.unwrap_or(kind))))
    }

    /// What goes into an instance of a subgraph.
    fn out_of(&self, outer: Step, slot: usize) -> Result<Result<Found<'a>, At<'a>>, Fault> {
        let node = self.plan.node_of(outer);
        let graph = self.plan.document.subgraphs.get(&node.class);
        let Some(name) = graph.and_then(|graph| graph.inputs.get(slot)) else {
            return Err(format!("its subgraph has no input {slot}"));
        };
        match node.slot(name) {
            Some((at, Slot { link: Some(_), .. })) => Ok(Err(At::Input(outer, at, None))),
            _ => Ok(Ok(self.promoted(node, name)?.map_or(Found::Nothing, Found::Value))),
        }
    }

    /// What was typed into a subgraph's own node: a value for each of its inputs that are widgets inside.
    fn promoted(&self, node: &'a Node<'a>, name: &str) -> Result<Option<&'a RawValue>, Fault> {
        let values = match &node.values {
            Values::List(values) if values.is_empty() => return Ok(None),
            Values::List(values) => values,
            Values::Named(values) => return Ok(values.iter().find(|(key, _)| key == name).map(|&(_, value)| value)),
        };
        let Some(graph) = self.plan.document.subgraphs.get(&node.class) else { return Ok(None) };
        let is_widget = |slot: usize| {
            let comes_from =
                |id: &String| graph.links.get(id).is_some_and(|link| link.origin == INPUT_NODE && link.slot == slot);
            let mut slots = graph.nodes.iter().flat_map(|node| &node.inputs);
            slots.any(|inner| inner.is_widget && inner.link.as_ref().is_some_and(comes_from))
        };
        let widgets: Vec<&String> =
            graph.inputs.iter().enumerate().filter(|(slot, _)| is_widget(*slot)).map(|(_, name)| name).collect();
        if !widgets.iter().any(|widget| *widget == name) {
            return Ok(None);
        }
        if widgets.len() != values.len() {
            return Err(format!(
                "node {} has {} values for {} widgets of its subgraph",
                clip(&node.id),
                values.len(),
                widgets.len()
            ));
        }
        Ok(widgets.iter().position(|widget| *widget == name).map(|at| values[at]))
    }

    fn behind_output(
        &self,
        step: Step,
        slot: usize,
        wanted: &'a str,
        is_first: bool,
    ) -> Result<Result<Found<'a>, At<'a>>, Fault> {
        let node = self.plan.node_of(step);
        if node.mode == Mode::Bypassed {
            return Ok(match handed_on(node, slot, wanted) {
                Some(input) => Err(At::Input(step, input, None)),
                None => Ok(Found::Nothing),
            });
        }
        match node.class.as_str() {
            "Reroute" if node.inputs.get(slot).is_some() => return Ok(Err(At::Input(step, slot, Some(wanted)))),
            "PrimitiveNode" if is_first => {
                let value = if let Values::List(values) = &node.values { values.first().copied() } else { None };
                return Ok(Ok(value.map_or(Found::Nothing, Found::Value)));
            }
            // What the editor makes of one behind a reroute or a subgraph has changed between its versions.
            "PrimitiveNode" => return Err(format!("the primitive {} reaches it by a detour", clip(&node.id))),
            "Reroute" | "Note" | "MarkdownNote" => return Ok(Ok(Found::Nothing)),
            _ => {}
        }
        if node.mode == Mode::Muted {
            return Ok(Ok(Found::Muted));
        }
        let Some(&inner) = self.plan.scopes[step.scope].inner.get(&step.node) else {
            return Ok(Ok(Found::Output { id: self.plan.id_of(step), slot }));
        };
        let graph = self.plan.scopes[inner].graph;
        let Some(link) = graph.outputs.get(&slot) else { return Ok(Ok(Found::Nothing)) };
        if link.origin == INPUT_NODE {
            return self.out_of(step, link.slot);
        }
        let Some(&origin) = graph.places.get(&link.origin) else {
            return Err(format!("an output of node {} comes from a node that is not there", clip(&node.id)));
        };
        Ok(Err(At::Output(Step { scope: inner, node: origin }, link.slot, wanted)))
    }
}

/// The input that a bypassed node hands on as this output: the same place if the types allow it, else the first of exactly the
/// wanted type, else the first that fits.
fn handed_on(node: &Node<'_>, slot: usize, wanted: &str) -> Option<usize> {
    let inputs = &node.inputs;
    if inputs.is_empty() {
        return None;
    }
    if matches!(wanted, "" | "*") {
        return Some(if slot < inputs.len() { slot } else { 0 });
    }
    let output = node.outputs.get(slot).map_or("", String::as_str);
    let fits = |input: &Slot| goes(&input.kind, output) && goes(&input.kind, wanted);
    if inputs.get(slot).is_some_and(fits) {
        return Some(slot);
    }
    inputs.iter().position(|input| input.kind == wanted).or_else(|| inputs.iter().position(fits))
}

/// Whether the editor lets these types be linked: equal but for case, anything to `*`, one of a list with commas.
fn goes(one: &str, other: &str) -> bool {
    let is_any = |kind: &str| matches!(kind, "" | "*");
    is_any(one)
        || is_any(other)
        || one
            .split(',')
            .any(|one| other.split(',').any(|other| is_any(one) || is_any(other) || one.eq_ignore_ascii_case(other)))
}
