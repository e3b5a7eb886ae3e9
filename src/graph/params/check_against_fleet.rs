//! Checks the whole graph against the instances' catalogs: classes, and values that only some instances offer.

use super::{
    apply::Writer,
    judge::{OUTPUT_IGNORED, Sources, output_places},
};
use crate::{
    graph::{
        Catalog, FleetCatalog, Member, Workflow,
        catalog::{ClassPresence, Eligibility, Need},
    },
    json::{child_pointer, raw_value},
    problem::{Problem, SEARCHES_MAX, clip, suggest},
    task::{InstanceId, Warning},
};
use std::{collections::HashSet, sync::Arc};

/// Code of the warning about a value that no instance lists; only the instance can validate the value.
const NOT_OFFERED: &str = "value_not_offered";

impl Writer<'_> {
    /// Judges the graph, and narrows to the instances that have every class and take what the outputs need.
    pub(super) fn check_fleet(&mut self, warnings: &mut Vec<Warning>) {
        let Some(mut eligibility) = self.eligibility.take() else { return };
        let are_known = self.require_classes(&mut eligibility);
        self.judge(&mut eligibility, are_known, warnings);
        self.eligibility = Some(eligibility);
    }

    /// Returns the instances that can run it (`None` = all, or no catalog is known) and the needs that narrowed them.
    pub(super) fn eligible(&mut self) -> (Option<Vec<InstanceId>>, Vec<String>) {
        let Some(eligibility) = self.eligibility.take() else { return (None, Vec::new()) };
        let needs = eligibility.needs().iter().map(|need| need.what.clone()).collect();
        match eligibility.finish() {
            Ok(Some(eligible)) => (Some(eligible), needs),
            Ok(None) => (None, Vec::new()),
            // An unknown class is already reported.
            Err(needs) if needs.is_empty() || !self.problems.is_empty() => (None, Vec::new()),
            Err(needs) => {
                let message = format!("no instance meets all needs of this task: {}", describe(&needs));
                self.problems.push(Problem::unfit("/workflow".to_owned(), "no_instance_fits", message));
                (None, Vec::new())
            }
        }
    }

    /// Returns false if a class is unknown.
    fn require_classes(&mut self, eligibility: &mut Eligibility<'_>) -> bool {
        let (mut seen, mut are_known) = (HashSet::new(), true);
        for node in self.workflow.nodes() {
            if !seen.insert(node.class.as_str()) || eligibility.require_class(&node.class) != ClassPresence::Absent {
                continue;
            }
            are_known = false;
            let may_search = self.problems.len() < SEARCHES_MAX && self.budget.take_search();
            let candidates =
                if may_search { suggest(&node.class, eligibility.pool().class_names().cloned()) } else { Vec::new() };
            let pointer = child_pointer(&child_pointer("/workflow", &node.id), "class_type");
            let message = format!("node {}: no instance has the class {}", clip(&node.id), clip(&node.class));
            let problem = Problem::unfit(pointer, "class_unknown", message);
            self.problems.push(problem.at_node(&node.id).with_candidates(candidates));
        }
        are_known
    }
}

impl Workflow {
    /// Whether an instance with this catalog has every class of the graph and offers every value that an output needs,
    /// according to the `warnings` of the task: outputs that are left out need nothing, and values that no instance
    /// listed are validated by the instances.
    pub fn fits(&self, catalog: &Arc<Catalog>, warnings: &[Warning]) -> bool {
        let member = Member { instance: InstanceId::new(""), is_alive: true, catalog: Some(catalog.clone()) };
        let pool = FleetCatalog::new([member]);
        let mut eligibility = Eligibility::new(&pool, Default::default());
        if self.nodes().any(|node| eligibility.require_class(&node.class) != ClassPresence::Present) {
            return false;
        }
        let is_warned = |code: &str, param: &str| {
            warnings.iter().any(|warning| warning.code == code && warning.param.as_deref() == Some(param))
        };
        let mut outputs = output_places(self, |class| eligibility.is_output(class));
        outputs.retain(|&place| !is_warned(OUTPUT_IGNORED, &clip(&self.node(place).id)));
        let needed = Sources::of(self).reached(&outputs);
        let nodes = self.nodes().zip(needed).filter(|(_, is_needed)| *is_needed);
        nodes.into_iter().all(|(node, _)| {
            let chosen = |input: &str| node.input(input).and_then(raw_value::text);
            node.inputs.iter().all(|(input, value)| {
                raw_value::is_array(value)
                    // The place of a file.
                    || value.get() == "null"
                    || eligibility
                        .input_beside(&node.class, input, &chosen)
                        .is_none_or(|declared| !declared.is_choice() || declared.refuses(value).is_none())
                    || is_warned(NOT_OFFERED, &format!("{}.{}", node.id, clip(input)))
            })
        })
    }
}

/// Makes the problem of an object in place of the sockets of a growing group, which an instance would ignore.
pub(super) fn unread(node_id: &str, input: &str, written: &str) -> Problem {
    let pointer = child_pointer(&child_pointer(&child_pointer("/workflow", node_id), "inputs"), input);
    let message = format!(
        "node {}: an instance ignores what is inside `{}`: write each as an input of its own, {}",
        clip(node_id),
        clip(input),
        clip(written)
    );
    Problem::unfit(pointer, "input_not_flat", message).at_node(node_id).at_input(input)
}

fn describe(needs: &[Need]) -> String {
    let one = |need: &Need| {
        let at: Vec<&str> = need.at.iter().map(InstanceId::as_str).collect();
        format!("{} is at {}", need.what, at.join(", "))
    };
    needs.iter().map(one).collect::<Vec<_>>().join("; ")
}
