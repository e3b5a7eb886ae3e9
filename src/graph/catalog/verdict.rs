//! Verdict of the whole fleet on one node: a thing is refused only if every instance that has the class refuses it.

use super::{Eligibility, Issue};
use crate::graph::{Workflow, workflow::Node};

/// Verdict of the fleet on one node.
#[derive(Debug, Default)]
pub(in crate::graph) struct Verdict {
    /// Issues at which every instance refuses the node.
    pub(in crate::graph) refused: Vec<Issue>,
    /// Inputs that only some instances take.
    pub(in crate::graph) partial: Vec<Partial>,
}

/// An input that only some instances take.
#[derive(Debug)]
pub(in crate::graph) struct Partial {
    pub(in crate::graph) input: String,
    /// Whether the instances of each group take it.
    takes: Vec<bool>,
}

impl Verdict {
    /// Whether every instance takes the node as it is.
    pub(in crate::graph) fn is_clean(&self) -> bool {
        self.refused.is_empty() && self.partial.is_empty()
    }

    /// Returns the inputs of which not every instance takes the value.
    pub(in crate::graph) fn inputs(&self) -> impl Iterator<Item = &str> {
        let refused = self.refused.iter().map(|issue| issue.input.as_str());
        refused.chain(self.partial.iter().map(|partial| partial.input.as_str()))
    }
}

impl Eligibility<'_> {
    /// Returns the verdict on a node whose class some instance has.
    pub(in crate::graph) fn verdict(&self, workflow: &Workflow, node: &Node) -> Verdict {
        let pool = self.pool();
        self.spend(1 + node.inputs.len() + pool.groups.len());
        let mut lists = Vec::new();
        let mut is_clean = true;
        for (place, group) in pool.groups.iter().enumerate() {
            if group.catalog.has_class(&node.class) {
                let issues = group.catalog.issues(workflow, node);
                is_clean &= issues.is_empty();
                lists.push((place, issues));
            }
        }
        let mut verdict = Verdict::default();
        if is_clean {
            return verdict;
        }
        let mut inputs: Vec<String> =
            lists.iter().flat_map(|(_, issues)| issues.iter().map(|issue| issue.input.clone())).collect();
        inputs.sort_unstable();
        inputs.dedup();
        for input in inputs {
            let is_refused_by = |issues: &[Issue]| issues.iter().any(|issue| issue.input == input);
            let mut takes = vec![true; pool.groups.len()];
            for (place, issues) in &lists {
                takes[*place] = !is_refused_by(issues);
            }
            let all_refuse = lists.iter().all(|(_, issues)| is_refused_by(issues));
            let first = lists.iter_mut().find_map(|(_, issues)| {
                let at = issues.iter().position(|issue| issue.input == input)?;
                Some(issues.swap_remove(at))
            });
            match first {
                // An instance whose catalog is unknown may offer it.
                Some(issue) if all_refuse && (!issue.is_choice || !pool.has_unknown()) => verdict.refused.push(issue),
                _ => verdict.partial.push(Partial { input, takes }),
            }
        }
        verdict
    }

    /// Narrows to the instances that take the input.
    pub(in crate::graph) fn require(&mut self, partial: &Partial, what: impl FnOnce() -> String) {
        self.narrow(&partial.takes, what);
    }
}
