//! Checks the whole graph against the instances' catalogs: classes, and values that only some instances offer.

use super::{apply::Writer, options::WARNINGS_MAX};
use crate::{
    graph::{
        Catalog, FleetCatalog, Member, Workflow,
        catalog::{ClassPresence, Eligibility, Input, Need},
        links,
    },
    json::{child_pointer, raw_value},
    problem::{Problem, SEARCHES_MAX, clip, suggest},
    task::{InstanceId, Warning},
};
use std::{collections::HashSet, sync::Arc};

impl Writer<'_> {
    /// Narrows to the instances that have every class and every combo value of the graph itself. A value that no
    /// instance offers is a warning, not an error: some classes accept values outside their lists, so the instance
    /// decides.
    pub(super) fn check_fleet(&mut self, warnings: &mut Vec<Warning>) {
        let Some(mut eligibility) = self.eligibility.take() else { return };
        self.require_classes(&mut eligibility);
        let needed = needed(&self.workflow, &eligibility);
        for (place, node) in self.workflow.nodes().enumerate().filter(|(place, _)| needed[*place]) {
            if !self.budget.spend(1 + node.inputs.len()) {
                break;
            }
            let classes: Vec<_> = eligibility.pool().declarations(&node.class).collect();
            let chosen = |input: &str| node.input(input).and_then(raw_value::text);
            let declared = |input: &str| classes.iter().find_map(|class| class.input_beside(input, &chosen));
            for (input, value) in &node.inputs {
                if let Some(written) = declared(input).and_then(|declared| declared.unread_members(input, value)) {
                    self.problems.push(unread(&node.id, input, &written));
                }
                let is_choice = || declared(input).is_some_and(Input::is_choice);
                if raw_value::is_array(value) || !is_choice() || self.set.contains_key(&(place, input.as_str())) {
                    continue;
                }
                let address = || format!("{}.{}", node.id, clip(input));
                let what = || format!("{} {}", address(), clip(value.get()));
                let taken = eligibility.require_value((&node.class, input), &chosen, value, what);
                if taken.is_err() && warnings.len() < WARNINGS_MAX {
                    let message = format!("no instance offers {} for `{}`", clip(value.get()), address());
                    warnings.push(Warning { code: "value_not_offered".to_owned(), message, param: Some(address()) });
                }
            }
        }
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

    fn require_classes(&mut self, eligibility: &mut Eligibility<'_>) {
        let mut seen = HashSet::new();
        for node in self.workflow.nodes() {
            if !seen.insert(node.class.as_str()) || eligibility.require_class(&node.class) != ClassPresence::Absent {
                continue;
            }
            let may_search = self.problems.len() < SEARCHES_MAX && self.budget.take_search();
            let candidates =
                if may_search { suggest(&node.class, eligibility.pool().class_names().cloned()) } else { Vec::new() };
            if self.problems.is_full() {
                break;
            }
            let pointer = child_pointer(&child_pointer("/workflow", &node.id), "class_type");
            let message = format!("node {}: no instance has the class {}", clip(&node.id), clip(&node.class));
            let problem = Problem::unfit(pointer, "class_unknown", message);
            self.problems.push(problem.at_node(&node.id).with_candidates(candidates));
        }
    }
}

impl Workflow {
    /// Whether an instance with this catalog has every class of the graph and offers every value that an output needs.
    /// `spared` holds the addresses (`4.ckpt_name`) of values in no instance's list, which the instances validate.
    pub fn fits(&self, catalog: &Arc<Catalog>, spared: &[&str]) -> bool {
        let member = Member { instance: InstanceId::new(""), is_alive: true, catalog: Some(catalog.clone()) };
        let pool = FleetCatalog::new([member]);
        let mut eligibility = Eligibility::new(&pool, Default::default());
        if self.nodes().any(|node| eligibility.require_class(&node.class) != ClassPresence::Present) {
            return false;
        }
        let needed = needed(self, &eligibility);
        let nodes = self.nodes().zip(needed).filter(|(_, is_needed)| *is_needed);
        nodes.into_iter().all(|(node, _)| {
            let chosen = |input: &str| node.input(input).and_then(raw_value::text);
            node.inputs.iter().all(|(input, value)| {
                raw_value::is_array(value)
                    || !eligibility.input_beside(&node.class, input, &chosen).is_some_and(Input::is_choice)
                    || eligibility.require_value((&node.class, input), &chosen, value, String::new).is_ok()
                    || spared.contains(&format!("{}.{}", node.id, clip(input)).as_str())
            })
        })
    }
}

/// Returns which nodes an output needs: an instance neither runs nor validates the others (protocol §2).
fn needed(workflow: &Workflow, eligibility: &Eligibility<'_>) -> Vec<bool> {
    let mut needed = vec![false; workflow.node_count()];
    let outputs = workflow.nodes().enumerate().filter(|(_, node)| eligibility.is_output(&node.class));
    let mut left: Vec<usize> = outputs.map(|(place, _)| place).collect();
    while let Some(place) = left.pop() {
        if std::mem::replace(&mut needed[place], true) {
            continue;
        }
        let links = workflow.node(place).inputs.iter().filter_map(|(_, value)| links::borrowed_link_target(value));
        left.extend(links.filter_map(|target| workflow.place_of(&target)));
    }
    needed
}

/// Makes the problem of an object in place of the sockets of a growing group, which an instance would ignore.
fn unread(node_id: &str, input: &str, written: &str) -> Problem {
    let pointer = child_pointer(&child_pointer(&child_pointer("/workflow", node_id), "inputs"), input);
    let message = format!(
        "node {}: an instance ignores what is inside `{}`: write each as an input of its own, `{}`",
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
