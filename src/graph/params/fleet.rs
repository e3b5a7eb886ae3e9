//! The whole graph against what the instances have: classes, and values that only some offer.

use super::{WARNINGS_MAX, apply::Writer, near};
use crate::graph::{
    Catalog, Member, Pool, Problem, Workflow,
    catalog::{ClassAt, Fit, Kind, Need},
    problem::{clip, step},
    raw,
};
use crate::task::{InstanceId, Warning};
use std::{collections::HashSet, sync::Arc};

/// Unknown classes that get near names.
const SEARCHES_MAX: usize = 5;

impl Writer<'_> {
    /// Narrows to who has every class, and every combo value that the graph itself asks for. A value that nobody offers is a
    /// warning: classes may judge by themselves what their lists do not say, so the instance has the last word.
    pub(super) fn meet_fleet(&mut self, warnings: &mut Vec<Warning>) {
        let Some(mut fit) = self.fit.take() else { return };
        self.need_classes(&mut fit);
        let needed = needed(&self.workflow, &fit);
        for (place, node) in self.workflow.nodes().enumerate().filter(|(place, _)| needed[*place]) {
            let classes: Vec<_> = fit.pool().declarations(&node.class).collect();
            let declared = |input: &str| classes.iter().find_map(|class| class.input(input));
            for (input, value) in &node.inputs {
                let is_choice = || declared(input).is_some_and(|input| matches!(input.kind, Kind::Choice(_)));
                if raw::is_array(value) || !is_choice() || self.set.contains_key(&(place, input.as_str())) {
                    continue;
                }
                let address = || format!("{}.{}", node.id, clip(input));
                let what = || format!("{} {}", address(), clip(value.get()));
                if fit.need_value(&node.class, input, value, what).is_err() && warnings.len() < WARNINGS_MAX {
                    let message = format!("no instance offers {} for `{}`", clip(value.get()), address());
                    warnings.push(Warning { code: "value_not_offered".to_owned(), message, param: Some(address()) });
                }
            }
        }
        self.fit = Some(fit);
    }

    /// Who may run it, and what narrowed it to them; `None` = everybody, or nothing is known.
    pub(super) fn narrowed(&mut self) -> (Option<Vec<InstanceId>>, Vec<String>) {
        let Some(fit) = self.fit.take() else { return (None, Vec::new()) };
        let needs = fit.needs().iter().map(|need| need.what.clone()).collect();
        match fit.finish() {
            Ok(Some(eligible)) => (Some(eligible), needs),
            Ok(None) => (None, Vec::new()),
            // An unknown class says enough by itself.
            Err(needs) if needs.is_empty() || self.problems.len() > 0 => (None, Vec::new()),
            Err(needs) => {
                let message = format!("no instance has all that this task needs: {}", told(&needs));
                self.problems.push(Problem::unfit("/workflow".to_owned(), "no_instance_fits", message));
                (None, Vec::new())
            }
        }
    }

    fn need_classes(&mut self, fit: &mut Fit<'_>) {
        let mut seen = HashSet::new();
        let mut searches = 0;
        for node in self.workflow.nodes() {
            if !seen.insert(node.class.as_str()) || fit.need_class(&node.class) != ClassAt::Nobody {
                continue;
            }
            let candidates =
                if searches < SEARCHES_MAX { near(&node.class, fit.pool().class_names().cloned()) } else { Vec::new() };
            searches += 1;
            let pointer = step(&step("/workflow", &node.id), "class_type");
            let message = format!("node {}: no instance has the class {}", clip(&node.id), clip(&node.class));
            let problem = Problem::unfit(pointer, "class_unknown", message);
            self.problems.push(problem.at_node(&node.id).with_candidates(candidates));
        }
    }
}

impl Workflow {
    /// Whether an instance with this catalog has every class of the graph, and offers every value that an output needs; `spared`
    /// are the addresses (`4.ckpt_name`) of values that nobody's list names and that instances judge by themselves.
    pub fn fits(&self, catalog: &Arc<Catalog>, spared: &[&str]) -> bool {
        let member = Member { instance: InstanceId::new(""), is_alive: true, catalog: Some(catalog.clone()) };
        let pool = Pool::new([member]);
        let mut fit = Fit::new(&pool);
        if self.nodes().any(|node| fit.need_class(&node.class) != ClassAt::Somebody) {
            return false;
        }
        let needed = needed(self, &fit);
        let nodes = self.nodes().zip(needed).filter(|(_, is_needed)| *is_needed);
        nodes.into_iter().all(|(node, _)| {
            node.inputs.iter().all(|(input, value)| {
                let declared = fit.input(&node.class, input);
                raw::is_array(value)
                    || !declared.is_some_and(|declared| matches!(declared.kind, Kind::Choice(_)))
                    || fit.need_value(&node.class, input, value, String::new).is_ok()
                    || spared.contains(&format!("{}.{}", node.id, clip(input)).as_str())
            })
        })
    }
}

/// Nodes that an output needs: the others are never run, nor judged, by an instance (protocol §2).
fn needed(workflow: &Workflow, fit: &Fit<'_>) -> Vec<bool> {
    let mut needed = vec![false; workflow.node_count()];
    let outputs = workflow.nodes().enumerate().filter(|(_, node)| fit.is_output(&node.class));
    let mut left: Vec<usize> = outputs.map(|(place, _)| place).collect();
    while let Some(place) = left.pop() {
        if std::mem::replace(&mut needed[place], true) {
            continue;
        }
        let links = workflow.node(place).inputs.iter().filter_map(|(_, value)| raw::borrowed_link_target(value));
        left.extend(links.filter_map(|target| workflow.place_of(&target)));
    }
    needed
}

fn told(needs: &[Need]) -> String {
    let one = |need: &Need| {
        let at: Vec<&str> = need.at.iter().map(InstanceId::as_str).collect();
        format!("{} is at {}", need.what, at.join(", "))
    };
    needs.iter().map(one).collect::<Vec<_>>().join("; ")
}
