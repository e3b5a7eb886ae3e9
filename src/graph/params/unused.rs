//! Keys of `params` that match no input, with suggestions.

use super::{
    address::Reader,
    options::{WARNINGS_MAX, pointer},
};
use crate::{
    graph::workflow::Node,
    problem::{Problem, SEARCHES_MAX, clip, suggest},
    task::Warning,
};

impl<'w> Reader<'w, '_> {
    /// Reports a bare name that does not exist: a problem if the graph declares names or the check is strict, otherwise
    /// a warning.
    pub(super) fn unused(&mut self, key: &str) {
        if self.is_strict || !self.names.is_empty() {
            let candidates = if self.may_search() { suggest(key, self.names.all()) } else { Vec::new() };
            let message = format!("this workflow declares no name `{}`; write an address like `6.text`", clip(key));
            let problem = Problem::unfit(pointer(key), "param_unknown_name", message);
            return self.problems.push(problem.of_param(key).with_candidates(candidates));
        }
        self.unused += 1;
        if self.warnings.len() < WARNINGS_MAX {
            let param = Some(clip(key));
            let message =
                format!("`{}` names no input of this workflow and was not used; write it like `6.text`", clip(key));
            self.warnings.push(Warning { code: "param_unused".to_owned(), message, param });
        }
    }

    pub(super) fn no_input_named(&mut self, key: &str, place: usize) {
        let node = self.workflow.node(place);
        let message =
            format!("`{key}` names a node; name an input too, like `{key}.text`, or give an object of inputs");
        let problem = Problem::unfit(pointer(key), "param_no_such_input", message);
        let inputs = node.inputs.iter().take(10).map(|(name, _)| format!("{}.{name}", node.id)).collect();
        self.problems.push(problem.of_param(key).at_node(key).with_candidates(inputs));
    }

    pub(super) fn no_such_node(&mut self, key: &str, pointer: String) {
        let candidates = if self.may_search() { self.near_addresses(key) } else { Vec::new() };
        let message = format!("`{}` matches no node of this workflow", clip(key));
        let problem = Problem::unfit(pointer, "param_no_such_node", message);
        self.problems.push(problem.of_param(key).with_candidates(candidates));
    }

    /// Takes a search for similar names, if one is left.
    pub(super) fn may_search(&self) -> bool {
        self.problems.len() < SEARCHES_MAX && self.budget.take_search()
    }

    fn near_addresses(&self, key: &str) -> Vec<String> {
        let addresses = |node: &'w Node| node.inputs.iter().map(move |(name, _)| format!("{}.{name}", node.id));
        if key.contains('.') {
            suggest(key, self.workflow.nodes().flat_map(addresses))
        } else {
            suggest(key, self.workflow.nodes().map(|node| node.id.clone()))
        }
    }

    pub(super) fn wrong_class(&mut self, place: usize, asserted: &str, param: &str, pointer: String) {
        let node = self.workflow.node(place);
        let message = format!("node {} is a {}, not a {}", clip(&node.id), clip(&node.class), clip(asserted));
        let problem = Problem::unfit(pointer, "param_class_mismatch", message);
        self.problems.push(problem.of_param(param).at_node(&node.id).with_candidates(vec![clip(&node.class)]));
    }
}
