//! The workflow and all instances of its subgraphs, and which nodes of them are written.

use super::{
    Fault,
    editor_format::{Document, Graph},
    editor_node::{Mode, Node},
    host_values::HostValues,
};
use crate::{
    graph::{Budget, parse::NODE_ID_BYTES_MAX},
    problem::clip,
};
use std::collections::HashMap;

/// Maximum nesting of subgraphs.
pub(super) const NESTING_MAX: usize = 20;

/// A node in one instance of a graph.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) scope: usize,
    pub(super) node: usize,
}

/// The workflow and all instances of its subgraphs.
pub(super) struct Plan<'a, 'd> {
    pub(super) document: &'d Document<'a>,
    pub(super) scopes: Vec<Scope<'a, 'd>>,
    /// The nodes that are written.
    steps: Vec<Step>,
}

/// An instance of a graph.
pub(super) struct Scope<'a, 'd> {
    pub(super) graph: &'d Graph<'a>,
    /// Prefix of the node ids: `55:12:`.
    prefix: String,
    /// The subgraph node that it belongs to.
    pub(super) outer: Option<Step>,
    /// Scopes of its subgraph nodes.
    pub(super) inner: HashMap<usize, usize>,
    /// Values that the subgraph node gives to widgets inside.
    pub(super) values: HostValues<'a>,
    depth: usize,
}

impl<'a, 'd> Plan<'a, 'd> {
    pub(super) fn new(document: &'d Document<'a>, nodes_max: usize, budget: &Budget) -> Result<Self, Fault> {
        let root = Scope {
            graph: &document.root,
            prefix: String::new(),
            outer: None,
            inner: HashMap::new(),
            values: HostValues::default(),
            depth: 0,
        };
        let mut plan = Self { document, scopes: vec![root], steps: Vec::new() };
        let mut left = vec![(0, 0)];
        while let Some((scope, at)) = left.pop() {
            let graph = plan.scopes[scope].graph;
            let Some(&node) = graph.live.get(at) else { continue };
            left.push((scope, at + 1));
            if !budget.spend(1) {
                break;
            }
            match graph.nodes[node].subgraph {
                Some(place) => left.push((plan.enter(scope, node, &document.subgraphs[place], budget)?, 0)),
                None if graph.nodes[node].mode == Mode::Runs => plan.steps.push(Step { scope, node }),
                None => {}
            }
            if plan.steps.len().max(plan.scopes.len()) > nodes_max {
                return Err(format!("it has more than {nodes_max} nodes"));
            }
        }
        Ok(plan)
    }

    fn enter(&mut self, scope: usize, node: usize, graph: &'d Graph<'a>, budget: &Budget) -> Result<usize, Fault> {
        let (outer, inner) = (&self.scopes[scope], self.scopes.len());
        let host = &outer.graph.nodes[node];
        if outer.depth >= NESTING_MAX {
            return Err(format!("node {}: more than {NESTING_MAX} nested subgraphs", clip(&host.id)));
        }
        let prefix = format!("{}{}:", outer.prefix, host.id);
        if prefix.len() > NODE_ID_BYTES_MAX {
            return Err(format!(
                "node {}: the ids in its subgraph are longer than {NODE_ID_BYTES_MAX} bytes",
                clip(&host.id)
            ));
        }
        budget.spend(graph.inputs.len() + host.proxies.len());
        self.scopes.push(Scope {
            graph,
            prefix,
            outer: Some(Step { scope, node }),
            inner: HashMap::new(),
            values: HostValues::of(host, graph),
            depth: self.scopes[scope].depth + 1,
        });
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

    /// Finds the node that gives a link this name: in the same graph, otherwise in those around it.
    pub(super) fn setter(&self, scope: usize, name: &str) -> Option<Step> {
        let mut scope = scope;
        loop {
            if let Some(&node) = self.scopes[scope].graph.setters.get(name) {
                return Some(Step { scope, node });
            }
            scope = self.scopes[scope].outer?.scope;
        }
    }
}
