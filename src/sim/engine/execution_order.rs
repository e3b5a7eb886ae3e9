//! Chooses the next node to run: dependencies of the outputs in the order of the real server, which prefers outputs.

use crate::sim::engine::graph::{Graph, Node};
use std::collections::HashMap;

#[derive(Debug, Default)]
struct WaitingNode {
    id: String,
    /// Number of nodes (or asynchronous runs) that this node waits for.
    blocked_by: usize,
    /// Nodes that wait for this one, without duplicates.
    blocking: Vec<String>,
}

/// The nodes that still have to run.
#[derive(Debug, Default)]
pub(crate) struct ExecutionOrder {
    /// Nodes in the order they were added; `None` once done.
    pending: Vec<Option<WaitingNode>>,
    places: HashMap<String, usize>,
    left: usize,
}

impl ExecutionOrder {
    pub(crate) fn is_empty(&self) -> bool {
        self.left == 0
    }

    fn of(&mut self, id: &str) -> Option<&mut WaitingNode> {
        let place = *self.places.get(id)?;
        self.pending.get_mut(place)?.as_mut()
    }

    fn peek(&self, id: &str) -> Option<&WaitingNode> {
        self.pending.get(*self.places.get(id)?)?.as_ref()
    }

    /// Adds a node and all of its dependencies that have no result yet.
    pub(crate) fn add(&mut self, id: &str, graph: &Graph, has_result: &dyn Fn(&str) -> bool) {
        let mut stack = vec![id.to_owned()];
        let mut links = Vec::new();
        while let Some(id) = stack.pop() {
            if self.peek(&id).is_some() {
                continue;
            }
            self.places.insert(id.clone(), self.pending.len());
            self.pending.push(Some(WaitingNode { id: id.clone(), ..WaitingNode::default() }));
            self.left += 1;
            for (from, _) in graph.get(&id).into_iter().flat_map(Node::links) {
                if !has_result(from) && graph.get(from).is_some() {
                    stack.push(from.to_owned());
                    links.push((from.to_owned(), id.clone()));
                }
            }
        }
        for (from, to) in links {
            self.wait(&from, &to);
        }
    }

    /// Makes `to` wait for `from`, which must have been added.
    pub(crate) fn wait(&mut self, from: &str, to: &str) {
        let Some(source) = self.of(from) else { return };
        if source.blocking.iter().any(|blocked| blocked == to) {
            return;
        }
        source.blocking.push(to.to_owned());
        self.block(to);
    }

    /// Makes a node wait for something outside the graph.
    pub(crate) fn block(&mut self, id: &str) {
        if let Some(pending) = self.of(id) {
            pending.blocked_by += 1;
        }
    }

    pub(crate) fn unblock(&mut self, id: &str) {
        if let Some(pending) = self.of(id) {
            pending.blocked_by = pending.blocked_by.saturating_sub(1);
        }
    }

    pub(crate) fn done(&mut self, id: &str) {
        let Some(pending) = self.places.remove(id).and_then(|place| self.pending.get_mut(place)?.take()) else {
            return;
        };
        self.left -= 1;
        for blocked in &pending.blocking {
            self.unblock(blocked);
        }
    }

    /// Returns the next node to run; `None` while all of them wait.
    pub(crate) fn pick(&self, graph: &Graph) -> Option<String> {
        let is_output = |id: &str| graph.get(id).is_some_and(Node::is_output);
        let is_first = |id: &str| graph.get(id).is_some_and(|node| node.is_output() || node.is_async());
        let ready = || self.pending.iter().flatten().filter(|pending| pending.blocked_by == 0);
        let feeds_output = |pending: &WaitingNode| pending.blocking.iter().any(|id| is_output(id));
        let feeds_feeder =
            |pending: &WaitingNode| pending.blocking.iter().filter_map(|id| self.peek(id)).any(feeds_output);
        let best = ready()
            .find(|pending| is_first(&pending.id))
            .or_else(|| ready().find(|pending| feeds_output(pending)))
            .or_else(|| ready().find(|pending| feeds_feeder(pending)))
            .or_else(|| ready().next())?;
        Some(best.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::ExecutionOrder;
    use crate::sim::engine::graph::Graph;
    use serde_json::json;

    fn order(graph: &Graph, outputs: &[&str], cached: &[&str]) -> Vec<String> {
        let mut order = ExecutionOrder::default();
        for output in outputs {
            order.add(output, graph, &|id| cached.contains(&id));
        }
        let mut ran = vec![];
        while let Some(next) = order.pick(graph) {
            order.done(&next);
            ran.push(next);
        }
        assert!(order.is_empty());
        ran
    }

    #[test]
    fn outputs_run_as_early_as_possible() {
        let graph = Graph::read(&json!({
            "1": {"class_type": "EmptyImage", "inputs": {}},
            "2": {"class_type": "TestSteps", "inputs": {"image": ["1", 0]}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
            "4": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        }))
        .unwrap();
        assert_eq!(order(&graph, &["3", "4"], &[]), ["1", "4", "2", "3"]);
        assert_eq!(order(&graph, &["3"], &["2"]), ["3"]);
    }
}
