//! Judges the whole graph before it runs, as every instance would (`execution.py`, `validate_prompt`): each output is
//! valid if all nodes that it needs are, and the valid ones run.
//!
//! An output that cannot run beside one that can is a warning, `output_ignored`; without any valid output, or if the
//! check is strict, every finding is a problem. Nodes that no output needs are not judged: no instance validates them.

use super::{apply::Writer, check_against_fleet::unread, files::UNKNOWN_FILE, options::WARNINGS_MAX};
use crate::{
    graph::{
        Workflow,
        catalog::{Eligibility, Issue, Partial},
        links,
    },
    json::{child_pointer, raw_value},
    problem::{Problem, SEARCHES_MAX, clip, suggest},
    task::Warning,
};
use serde_json::value::RawValue;

/// Code of the warning about an output that is left out; its `param` is the node.
pub(in crate::graph) const OUTPUT_IGNORED: &str = "output_ignored";

/// The nodes that each node is linked to.
pub(in crate::graph) struct Sources(Vec<Vec<usize>>);

/// Something in a node that no instance takes.
struct Finding {
    place: usize,
    issue: Issue,
}

impl Writer<'_> {
    /// Judges the graph, and narrows to the instances that take all that the valid outputs need.
    pub(super) fn judge(&mut self, eligibility: &mut Eligibility<'_>, are_known: bool, warnings: &mut Vec<Warning>) {
        let sources = Sources::of(&self.workflow);
        let outputs = output_places(&self.workflow, |class| eligibility.is_output(class));
        let nodes = self.workflow.node_count();
        // A node of a class that no instance has may be an output.
        let lacks_class = |class: &str| !eligibility.has_class(class);
        let judged = output_places(&self.workflow, |class| eligibility.is_output(class) || lacks_class(class));
        let reached = if judged.is_empty() { vec![true; nodes] } else { sources.reached(&judged) };
        self.budget.spend(2 * nodes);
        let (mut findings, mut partials, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for place in (0..nodes).filter(|&place| reached[place]) {
            if self.budget.is_over() {
                return;
            }
            self.refuse_nested(eligibility, place);
            let mut verdict = eligibility.verdict(&self.workflow, self.workflow.node(place));
            if !verdict.is_clean() && self.convert(eligibility, place, &verdict, warnings) {
                verdict = eligibility.verdict(&self.workflow, self.workflow.node(place));
            }
            let refused = verdict.refused.into_iter().filter(|issue| !self.is_spared(place, issue));
            findings.extend(refused.map(|issue| Finding { place, issue }));
            partials.extend(verdict.partial.into_iter().map(|partial| (place, partial)));
            files.extend(self.judge_files(eligibility.pool(), place));
        }
        findings.extend(self.refused_files(&mut files).into_iter().map(|(place, issue)| Finding { place, issue }));
        let spoilt = sources.spoilt_by(&findings);
        let good: Vec<usize> = outputs.iter().copied().filter(|&place| spoilt[place].is_none()).collect();
        if outputs.is_empty() && are_known && !eligibility.pool().has_unknown() {
            self.problems.push(no_outputs());
        }
        if good.is_empty() || self.is_strict || !are_known {
            self.refuse_findings(eligibility, findings);
        } else {
            for &place in outputs.iter().filter(|&&place| spoilt[place].is_some()) {
                let finding = spoilt[place].and_then(|at| findings.get(at));
                warnings.extend(finding.map(|finding| self.ignored(place, finding)));
            }
            warnings.truncate(WARNINGS_MAX.max(1));
        }
        let needed = sources.reached(&good);
        self.require_files(eligibility, files.iter().filter(|file| needed[file.place]), warnings);
        for (place, partial) in partials.iter().filter(|(place, _)| needed[*place]) {
            eligibility.require(partial, || self.need(*place, partial));
        }
    }

    /// Refuses objects in place of the sockets of a growing group.
    fn refuse_nested(&mut self, eligibility: &Eligibility<'_>, place: usize) {
        let node = self.workflow.node(place);
        let objects = node.inputs.iter().filter(|(_, value)| raw_value::is_object(value));
        let nested = objects.filter_map(|(input, value)| {
            let declared = eligibility.input(&node.class, input)?;
            Some(unread(&node.id, input, &declared.unread_members(input, value)?))
        });
        nested.collect::<Vec<_>>().into_iter().for_each(|problem| self.problems.push(problem));
    }

    /// Whether a finding does not count: the value stands for a file, or is forced, or is declared as a param of a
    /// workflow that is being published.
    pub(super) fn is_spared(&self, place: usize, issue: &Issue) -> bool {
        let node = self.workflow.node(place);
        let value = node.input(&issue.input).map_or("", RawValue::get);
        (value == "null" && self.is_file_input(&node.id, &issue.input))
            || self
                .set
                .get(&(place, issue.input.as_str()))
                .is_some_and(|given| given.value.get().contains("\"$force\""))
            || self.open.contains(&(place, issue.input.clone()))
            || (self.is_publishing && value.contains("{{"))
    }

    fn refuse_findings(&mut self, eligibility: &Eligibility<'_>, findings: Vec<Finding>) {
        for Finding { place, issue } in findings {
            let node = self.workflow.node(place);
            let own = child_pointer(&child_pointer(&child_pointer("/workflow", &node.id), "inputs"), &issue.input);
            let given = self.set.get(&(place, issue.input.as_str()));
            let value = node.input(&issue.input);
            let may_search = self.problems.len() < SEARCHES_MAX && self.budget.take_search();
            let candidates = match value {
                Some(value) if issue.is_choice && may_search => {
                    let chosen = |input: &str| node.input(input).and_then(raw_value::text);
                    eligibility.near_choices((&node.class, &issue.input), &chosen, value)
                }
                Some(value) if issue.code == UNKNOWN_FILE && may_search => {
                    let name = raw_value::text(value).unwrap_or_default();
                    suggest(&name, eligibility.pool().file_names())
                }
                Some(value) if issue.code == "link_dangling" && may_search => {
                    let target = links::link_target(value).unwrap_or_default();
                    suggest(&target, self.workflow.nodes().map(|node| node.id.as_str()))
                }
                _ => Vec::new(),
            };
            let pointer = given.map_or(own, |given| given.pointer.clone());
            let mut problem = Problem::unfit(pointer, issue.code, self.sentence(place, &issue))
                .at_node(&node.id)
                .at_input(&issue.input)
                .with_candidates(candidates);
            if let (Some(expected), Some(value)) = (issue.expected, value) {
                problem = problem.expecting(expected, value.get());
            }
            self.problems.push(problem);
        }
    }

    fn ignored(&self, place: usize, finding: &Finding) -> Warning {
        let node = self.workflow.node(place);
        let reason = self.sentence(finding.place, &finding.issue);
        let message = format!("node {} ({}) makes no output: {reason}", clip(&node.id), clip(&node.class));
        Warning { code: OUTPUT_IGNORED.to_owned(), message, param: Some(clip(&node.id)) }
    }

    fn sentence(&self, place: usize, issue: &Issue) -> String {
        let node = self.workflow.node(place);
        if issue.is_choice {
            let value = node.input(&issue.input).map_or("", RawValue::get);
            let address = format!("{}.{}", clip(&node.id), clip(&issue.input));
            return format!("no instance offers {} for `{address}`{}", clip(value), issue.cure);
        }
        format!("`{}.{}` ({}) {}{}", clip(&node.id), clip(&issue.input), clip(&node.class), issue.message, issue.cure)
    }

    fn need(&self, place: usize, partial: &Partial) -> String {
        let node = self.workflow.node(place);
        let value = node.input(&partial.input).map_or("", RawValue::get);
        format!("{}.{} {}", node.id, clip(&partial.input), clip(value))
    }
}

impl Sources {
    pub(in crate::graph) fn of(workflow: &Workflow) -> Self {
        Self(links::sources(workflow))
    }

    /// Returns which nodes these outputs need, themselves included.
    pub(in crate::graph) fn reached(&self, outputs: &[usize]) -> Vec<bool> {
        let mut reached = vec![false; self.0.len()];
        let mut left = outputs.to_vec();
        while let Some(place) = left.pop() {
            if !std::mem::replace(&mut reached[place], true) {
                left.extend(&self.0[place]);
            }
        }
        reached
    }

    /// Returns, for each node, a finding in the node or in one that it needs.
    fn spoilt_by(&self, findings: &[Finding]) -> Vec<Option<usize>> {
        let mut spoilt = vec![None; self.0.len()];
        if findings.is_empty() {
            return spoilt;
        }
        let mut users = vec![Vec::new(); self.0.len()];
        for (place, sources) in self.0.iter().enumerate() {
            sources.iter().for_each(|&source| users[source].push(place));
        }
        for (at, finding) in findings.iter().enumerate() {
            let mut left = vec![finding.place];
            while let Some(place) = left.pop() {
                if spoilt[place].is_none() {
                    spoilt[place] = Some(at);
                    left.extend(&users[place]);
                }
            }
        }
        spoilt
    }
}

/// Returns the nodes that make outputs.
pub(in crate::graph) fn output_places(workflow: &Workflow, is_output: impl Fn(&str) -> bool) -> Vec<usize> {
    workflow.nodes().enumerate().filter(|(_, node)| is_output(&node.class)).map(|(place, _)| place).collect()
}

fn no_outputs() -> Problem {
    let message = "no node of the graph makes an output: add one such as SaveImage or PreviewImage";
    Problem::unfit("/workflow".to_owned(), "workflow_no_outputs", message)
}
