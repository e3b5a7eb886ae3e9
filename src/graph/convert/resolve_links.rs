//! Resolves links to the actual source of a value: through reroutes, bypassed nodes and named links, into subgraphs and
//! out of them.

use super::{
    Fault,
    editor_format::INPUT_NODE,
    editor_node::{Mode, Node, Slot, Values},
    plan::{Plan, Step},
    roles::{self, Role},
};
use crate::{
    graph::{
        Budget, FleetCatalog,
        catalog::{Class, Kind},
    },
    problem::clip,
};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

/// Maximum number of steps from one input to its source; more means a cycle.
const HOPS_MAX: usize = 500;
/// Maximum number of steps for all inputs together.
const HOPS_TOTAL_MAX: usize = 500_000;

/// The source of an input's value.
pub(super) enum Source<'a> {
    /// No source: the widget's own value applies.
    Nothing,
    /// The value of a primitive, which becomes that of the widget.
    Primitive(&'a RawValue),
    /// A value that a subgraph's node gives to every socket behind its input.
    Promoted(&'a RawValue),
    /// The same if the node leaves it to the widget inside: node and input of this scope.
    Inner(usize, (usize, usize)),
    /// A node that runs.
    Output { id: String, slot: usize },
}

pub(super) struct Walk<'a, 'p> {
    pub(super) plan: &'p Plan<'a, 'a>,
    pool: &'a FleetCatalog,
    budget: &'p Budget,
    hops: usize,
    /// Inputs that bypassed nodes pass through, by scope, node, output and wanted type.
    passed: HashMap<(usize, usize, usize, &'a str), Option<usize>>,
}

/// Current position of a walk.
enum Position<'a> {
    /// At an input, with the wanted type if it is not the input's own.
    Input(Step, usize, Option<&'a str>),
    /// At an output, with the wanted type.
    Output(Step, usize, &'a str),
}

/// The end of a walk, or the next position.
type Next<'a> = Result<Result<Source<'a>, Position<'a>>, Fault>;

impl<'a, 'p> Walk<'a, 'p> {
    pub(super) fn new(plan: &'p Plan<'a, 'a>, pool: &'a FleetCatalog, budget: &'p Budget) -> Self {
        Self { plan, pool, budget, hops: 0, passed: HashMap::new() }
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

    fn before_input(&self, step: Step, input: usize, wanted: Option<&'a str>) -> Next<'a> {
        let scope = &self.plan.scopes[step.scope];
        let node = self.plan.node_of(step);
        let Some((_, Slot { link: Some(id), kind, .. })) = node.inputs.get(input) else {
            return Ok(Ok(Source::Nothing));
        };
        let Some(link) = scope.graph.links.get(id) else {
            return Err(format!("the link {} to node {} is missing from the links", clip(id), clip(&node.id)));
        };
        if let (INPUT_NODE, Some(outer)) = (link.origin.as_str(), scope.outer) {
            return self.out_of(outer, step.scope, link.slot);
        }
        let Some(&origin) = scope.graph.places.get(&link.origin) else {
            return Err(format!("the link {} comes from node {}, which is missing", clip(id), clip(&link.origin)));
        };
        Ok(Err(Position::Output(Step { scope: step.scope, node: origin }, link.slot, wanted.unwrap_or(kind))))
    }

    /// Continues outside the subgraph of a scope, at the input of its node.
    fn out_of(&self, outer: Step, scope: usize, slot: usize) -> Next<'a> {
        let node = self.plan.node_of(outer);
        let inner = &self.plan.scopes[scope];
        let Some((name, inlet)) = inner.graph.inputs.get(slot) else {
            return Err(format!("its subgraph has no input {slot}"));
        };
        self.budget.spend_text(name.len());
        let by_place = || if node.is_group { node.inputs.get(slot).map(|(_, input)| (slot, input)) } else { None };
        if let Some((at, Slot { link: Some(_), .. })) = node.inputs.find(name).or_else(by_place) {
            return Ok(Err(Position::Input(outer, at, None)));
        }
        let outermost = self.plan.scopes[outer.scope].values.widget(outer.node, name);
        Ok(Ok(match (outermost.or_else(|| inner.values.input(slot)), inlet.widget) {
            (Some(value), Some(_)) => Source::Promoted(value),
            (None, Some(socket)) => Source::Inner(scope, socket),
            (_, None) => Source::Nothing,
        }))
    }

    fn behind_output(&mut self, step: Step, slot: usize, wanted: &'a str, is_first: bool) -> Next<'a> {
        let node = self.plan.node_of(step);
        if node.role == Role::Primitive {
            // Only the widgets that it is linked to itself get its value, even if it is muted or bypassed.
            return Ok(Ok(if is_first { self.primitive(step) } else { Source::Nothing }));
        }
        if node.mode == Mode::Muted {
            return Ok(Ok(Source::Nothing));
        }
        if node.mode == Mode::Bypassed {
            let key = (step.scope, step.node, slot, wanted);
            let passed = self.passed.get(&key).copied().unwrap_or_else(|| {
                let slots = self.slots_of(node);
                // They are compared one by one.
                self.budget.spend(slots.len() * (1 + wanted.len() / 64));
                passed_through(node, &slots, slot, wanted).and_then(|place| slots[place].1)
            });
            self.passed.insert(key, passed);
            return Ok(match passed {
                Some(input) => Err(Position::Input(step, input, None)),
                None => Ok(Source::Nothing),
            });
        }
        match node.role {
            Role::Reroute | Role::Setter => return Ok(Err(Position::Input(step, slot, Some(wanted)))),
            Role::Getter => return self.named(step, wanted),
            Role::Decoration | Role::Primitive => return Ok(Ok(Source::Nothing)),
            Role::Broadcaster => return Err(format!("node {}: {}", clip(&node.id), roles::BROADCASTER)),
            Role::Runs => {}
        }
        let Some(&inner) = self.plan.scopes[step.scope].inner.get(&step.node) else {
            return Ok(Ok(Source::Output { id: self.plan.id_of(step), slot }));
        };
        let graph = self.plan.scopes[inner].graph;
        let Some(link) = graph.outputs.get(&slot) else { return Ok(Ok(Source::Nothing)) };
        if link.origin == INPUT_NODE {
            return self.out_of(step, inner, link.slot);
        }
        let Some(&origin) = graph.places.get(&link.origin) else {
            return Err(format!("an output of node {} comes from a missing node", clip(&node.id)));
        };
        Ok(Err(Position::Output(Step { scope: inner, node: origin }, link.slot, wanted)))
    }

    /// Returns the input slots of a node as the editor has them, each with its type and its place in the file: sockets,
    /// then widgets. Files leave out those of widgets without a link.
    fn slots_of(&self, node: &'a Node<'a>) -> Vec<(&'a str, Option<usize>)> {
        let slot = |name: &str, kind: &'a str| {
            let found = node.inputs.find(name);
            (found.map_or(kind, |(_, slot)| slot.kind.as_str()), found.map(|(at, _)| at))
        };
        if let Some(graph) = node.subgraph.map(|place| &self.plan.document.subgraphs[place]) {
            return graph.inputs.iter().map(|(name, inlet)| slot(name, &inlet.kind)).collect();
        }
        let all = || node.inputs.values().enumerate().map(|(at, slot)| (slot.kind.as_str(), Some(at)));
        let Some(declared) = self.pool.declarations(&node.class).next().and_then(Class::in_order) else {
            return all().collect();
        };
        // The slots of dynamic inputs depend on what is chosen and linked.
        if declared.iter().any(|(_, input)| matches!(input.kind, Kind::Dynamic(_) | Kind::Growing(_))) {
            return all().collect();
        }
        let known: HashSet<&str> = declared.iter().map(|(name, _)| *name).collect();
        let (widgets, sockets): (Vec<_>, Vec<_>) = declared.into_iter().partition(|(_, input)| input.is_widget());
        let widgets = widgets.into_iter().filter(|(_, input)| !input.is_socketless);
        let others = node.inputs.iter().enumerate().filter(|(_, (name, _))| !known.contains(name));
        let others = others.map(|(at, (_, slot))| (slot.kind.as_str(), Some(at)));
        sockets.into_iter().chain(widgets).map(|(name, input)| slot(name, input.type_name())).chain(others).collect()
    }

    fn primitive(&self, step: Step) -> Source<'a> {
        let host = &self.plan.scopes[step.scope].values;
        let as_source = if host.is_group { Source::Primitive } else { Source::Promoted };
        let given = host.widget(step.node, "value").map(as_source);
        given.unwrap_or_else(|| match &self.plan.node_of(step).values {
            Values::List(values) => values.first().map_or(Source::Nothing, |value| Source::Primitive(value)),
            Values::Named(values) => values.values().next().map_or(Source::Nothing, |value| Source::Primitive(value)),
        })
    }

    /// Continues at the node that gives the link its name.
    fn named(&self, step: Step, wanted: &'a str) -> Next<'a> {
        let node = self.plan.node_of(step);
        let Some(name) = roles::name_of(node) else {
            return Err(format!("node {}: it names no link that a {} could hand on", clip(&node.id), node.class));
        };
        self.budget.spend_text(name.len());
        match self.plan.setter(step.scope, &name) {
            Some(setter) => Ok(Err(Position::Input(setter, 0, Some(wanted)))),
            None => Err(format!("node {}: no SetNode names a link \"{}\"", clip(&node.id), clip(&name))),
        }
    }
}

/// Returns the slot that a bypassed node passes through as this output: the one at the same index if the types allow it,
/// otherwise the first of exactly the wanted type, otherwise the first compatible one.
fn passed_through(node: &Node<'_>, slots: &[(&str, Option<usize>)], slot: usize, wanted: &str) -> Option<usize> {
    if slots.is_empty() {
        return None;
    }
    if matches!(wanted, "" | "*") {
        return Some(if slot < slots.len() { slot } else { 0 });
    }
    let output = node.outputs.get(slot).map_or("", String::as_str);
    let fits = |(kind, _): &(&str, Option<usize>)| is_linkable(kind, output) && is_linkable(kind, wanted);
    if slots.get(slot).is_some_and(fits) {
        return Some(slot);
    }
    slots.iter().position(|(kind, _)| *kind == wanted).or_else(|| slots.iter().position(fits))
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
