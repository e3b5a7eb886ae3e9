//! Resolves links to the actual source of a value: through reroutes, bypassed nodes, into subgraphs and out of them.

use super::{
    Fault,
    editor_format::{Document, Graph, INPUT_NODE, Mode, Node, Slot, Values},
};
use crate::{
    graph::{Budget, parse::NODE_ID_BYTES_MAX},
    problem::clip,
};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

/// Maximum nesting of subgraphs.
const NESTING_MAX: usize = 20;
/// Maximum number of steps from one input to its source; more means a cycle.
const HOPS_MAX: usize = 500;
/// Maximum number of steps for all inputs together.
const HOPS_TOTAL_MAX: usize = 500_000;

/// A node in one instance of a graph.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    scope: usize,
    node: usize,
}

/// The workflow and all instances of its subgraphs.
pub(super) struct Plan<'a, 'd> {
    document: &'d Document<'a>,
    scopes: Vec<Scope<'a, 'd>>,
    /// The nodes that run.
    steps: Vec<Step>,
}

struct Scope<'a, 'd> {
    graph: &'d Graph<'a>,
    /// Prefix of the node ids: `55:12:`.
    prefix: String,
    /// The subgraph node that it belongs to.
    outer: Option<Step>,
    /// Scopes of its subgraph nodes.
    inner: HashMap<usize, usize>,
    depth: usize,
}

/// The source of an input's value.
pub(super) enum Source<'a> {
    /// No source: the widget's value applies.
    Nothing,
    /// A muted node: the input is omitted.
    Muted,
    /// A widget value of another node.
    Value(&'a RawValue),
    /// A node that runs.
    Output { id: String, slot: usize },
}

/// Whether a node exists only in the editor.
pub(super) fn is_virtual(node: &Node<'_>) -> bool {
    matches!(node.class.as_str(), "Reroute" | "PrimitiveNode" | "Note" | "MarkdownNote")
}

impl<'a, 'd> Plan<'a, 'd> {
    pub(super) fn new(document: &'d Document<'a>, nodes_max: usize) -> Result<Self, Fault> {
        let root = Scope { graph: &document.root, prefix: String::new(), outer: None, inner: HashMap::new(), depth: 0 };
        let mut plan = Self { document, scopes: vec![root], steps: Vec::new() };
        let mut left = vec![(0, 0)];
        while let Some((scope, at)) = left.pop() {
            let graph = plan.scopes[scope].graph;
            // The editor mutes the inner nodes too. If they are not muted, versions of the editor disagree on what runs.
            if let Some(node) = graph.half_muted {
                let id = clip(&graph.nodes[node].id);
                return Err(format!("node {id}: its subgraph is muted or bypassed, but its inner nodes are not"));
            }
            let Some(&node) = graph.live.get(at) else { continue };
            left.push((scope, at + 1));
            match graph.nodes[node].subgraph {
                Some(place) => left.push((plan.enter(scope, node, &document.subgraphs[place])?, 0)),
                None => plan.steps.push(Step { scope, node }),
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
            return Err(format!("node {}: more than {NESTING_MAX} nested subgraphs", clip(id)));
        }
        let prefix = format!("{}{id}:", outer.prefix);
        if prefix.len() > NODE_ID_BYTES_MAX {
            return Err(format!(
                "node {}: the ids in its subgraph are longer than {NODE_ID_BYTES_MAX} bytes",
                clip(id)
            ));
        }
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
    budget: &'p Budget,
    hops: usize,
    /// Inputs that bypassed nodes pass through, by scope, node, output and wanted type.
    passed: HashMap<(usize, usize, usize, &'a str), Option<usize>>,
    pub(super) has_replacements: bool,
}

/// Current position of a walk.
enum Position<'a> {
    /// At an input, with the wanted type if it is not the input's own.
    Input(Step, usize, Option<&'a str>),
    /// At an output, with the wanted type.
    Output(Step, usize, &'a str),
}

impl<'a, 'p> Walk<'a, 'p> {
    pub(super) fn new(plan: &'p Plan<'a, 'a>, budget: &'p Budget) -> Self {
        Self { plan, budget, hops: 0, passed: HashMap::new(), has_replacements: false }
    }

    /// Resolves the source of an input of a node that runs.
    pub(super) fn find(&mut self, step: Step, input: usize) -> Result<Source<'a>, Fault> {
        let mut at = Position::Input(step, input, None);
        for hop in 0..HOPS_MAX {
            self.hops += 1;
            if self.hops > HOPS_TOTAL_MAX || !self.budget.spend(1) {
                return Err("the links need too many steps in total".to_owned());
            }
            let next = match at {
                Position::Input(step, input, wanted) => self.before_input(step, input, wanted)?,
                Position::Output(step, slot, wanted) => self.behind_output(step, slot, wanted, hop == 1)?,
            };
            match next {
                Ok(found) => return Ok(found),
                Err(further) => at = further,
            }
        }
        Err(format!("its links form a cycle, or go through more than {HOPS_MAX} reroutes"))
    }

    fn before_input(
        &self,
        step: Step,
        input: usize,
        wanted: Option<&'a str>,
    ) -> Result<Result<Source<'a>, Position<'a>>, Fault> {
        let scope = &self.plan.scopes[step.scope];
        let node = self.plan.node_of(step);
        let Some((_, Slot { link: Some(id), kind, .. })) = node.inputs.get(input) else {
            return Ok(Ok(Source::Nothing));
        };
        let Some(link) = scope.graph.links.get(id) else {
            return Err(format!("the link {} to node {} is missing from the links", clip(id), clip(&node.id)));
        };
        if let (INPUT_NODE, Some(outer)) = (link.origin.as_str(), scope.outer) {
            return self.out_of(outer, link.slot);
        }
        let Some(&origin) = scope.graph.places.get(&link.origin) else {
            return Err(format!("the link {} comes from node {}, which is missing", clip(id), clip(&link.origin)));
        };
        Ok(Err(Position::Output(Step { scope: step.scope, node: origin }, link.slot, wanted.unwrap_or(kind))))
    }

    /// Continues outside a subgraph, at the input of its node.
    fn out_of(&self, outer: Step, slot: usize) -> Result<Result<Source<'a>, Position<'a>>, Fault> {
        let node = self.plan.node_of(outer);
        let graph = node.subgraph.map(|place| &self.plan.document.subgraphs[place]);
        let Some((graph, name)) = graph.and_then(|graph| Some((graph, graph.inputs.get(slot)?))) else {
            return Err(format!("its subgraph has no input {slot}"));
        };
        self.budget.spend_text(name.len());
        match node.inputs.find(name) {
            Some((at, Slot { link: Some(_), .. })) => Ok(Err(Position::Input(outer, at, None))),
            _ => Ok(Ok(promoted(graph, node, name)?.map_or(Source::Nothing, Source::Value))),
        }
    }

    fn behind_output(
        &mut self,
        step: Step,
        slot: usize,
        wanted: &'a str,
        is_first: bool,
    ) -> Result<Result<Source<'a>, Position<'a>>, Fault> {
        let node = self.plan.node_of(step);
        if node.mode == Mode::Bypassed {
            let budget = self.budget;
            let passed = self.passed.entry((step.scope, step.node, slot, wanted)).or_insert_with(|| {
                // Its inputs are compared one by one.
                budget.spend(node.inputs.len() * (1 + wanted.len() / 64));
                passed_through(node, slot, wanted)
            });
            return Ok(match *passed {
                Some(input) => Err(Position::Input(step, input, None)),
                None => Ok(Source::Nothing),
            });
        }
        match node.class.as_str() {
            "Reroute" if node.inputs.get(slot).is_some() => return Ok(Err(Position::Input(step, slot, Some(wanted)))),
            "PrimitiveNode" if is_first => {
                let value = if let Values::List(values) = &node.values { values.first().copied() } else { None };
                return Ok(Ok(value.map_or(Source::Nothing, Source::Value)));
            }
            // Versions of the editor differ for a primitive behind a reroute or a subgraph.
            "PrimitiveNode" => return Err(format!("the primitive {} is linked indirectly", clip(&node.id))),
            "Reroute" | "Note" | "MarkdownNote" => return Ok(Ok(Source::Nothing)),
            _ => {}
        }
        if node.mode == Mode::Muted {
            return Ok(Ok(Source::Muted));
        }
        let Some(&inner) = self.plan.scopes[step.scope].inner.get(&step.node) else {
            return Ok(Ok(Source::Output { id: self.plan.id_of(step), slot }));
        };
        let graph = self.plan.scopes[inner].graph;
        let Some(link) = graph.outputs.get(&slot) else { return Ok(Ok(Source::Nothing)) };
        if link.origin == INPUT_NODE {
            return self.out_of(step, link.slot);
        }
        let Some(&origin) = graph.places.get(&link.origin) else {
            return Err(format!("an output of node {} comes from a missing node", clip(&node.id)));
        };
        Ok(Err(Position::Output(Step { scope: inner, node: origin }, link.slot, wanted)))
    }
}

/// Returns the widget value of a subgraph's node: it has one for each of its inputs that is a widget inside.
fn promoted<'a>(graph: &Graph<'_>, node: &'a Node<'a>, name: &str) -> Result<Option<&'a RawValue>, Fault> {
    let values = match &node.values {
        Values::List(values) if values.is_empty() => return Ok(None),
        Values::List(values) => values,
        Values::Named(values) => return Ok(values.find(name).map(|(_, &value)| value)),
    };
    let Some(&at) = graph.promoted.get(name) else { return Ok(None) };
    if graph.promoted_count != values.len() {
        return Err(format!(
            "node {} has {} values for {} widgets of its subgraph",
            clip(&node.id),
            values.len(),
            graph.promoted_count
        ));
    }
    Ok(Some(values[at]))
}

/// Returns the input that a bypassed node passes through as this output: the one at the same index if the types allow
/// it, otherwise the first of exactly the wanted type, otherwise the first compatible one.
fn passed_through(node: &Node<'_>, slot: usize, wanted: &str) -> Option<usize> {
    let inputs = &node.inputs;
    if inputs.len() == 0 {
        return None;
    }
    if matches!(wanted, "" | "*") {
        return Some(if slot < inputs.len() { slot } else { 0 });
    }
    let output = node.outputs.get(slot).map_or("", String::as_str);
    let fits = |input: &Slot| is_linkable(&input.kind, output) && is_linkable(&input.kind, wanted);
    if inputs.get(slot).is_some_and(|(_, input)| fits(input)) {
        return Some(slot);
    }
    inputs.values().position(|input| input.kind == wanted).or_else(|| inputs.values().position(fits))
}

/// Whether the editor allows linking these types: equal except for case, anything to `*`, or one of a comma-separated
/// list.
fn is_linkable(one: &str, other: &str) -> bool {
    let is_any = |kind: &str| matches!(kind, "" | "*");
    if one.split(',').chain(other.split(',')).any(is_any) {
        return true;
    }
    if !one.contains(',') && !other.contains(',') {
        return one.eq_ignore_ascii_case(other);
    }
    let known: HashSet<String> = one.split(',').map(str::to_ascii_lowercase).collect();
    other.split(',').any(|kind| known.contains(&kind.to_ascii_lowercase()))
}
