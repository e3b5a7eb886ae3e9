//! Writing values into a copy of the graph: conflicts, link protection, seeds, files.

use super::{
    FILES_MAX, Resolved,
    address::Assignment,
    near::{SEARCHES_MAX, near},
    value::{Unfit, Value},
};
use crate::graph::{
    Problem, Workflow,
    node::Node,
    problem::{Problems, clip, step},
    raw,
};
use crate::task::{FileInput, Warning};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Inputs whose `-1` and `"random"` mean: draw one.
const SEED_INPUTS: [&str; 3] = ["seed", "noise_seed", "rand_seed"];
const NO_SUCH_INPUT: &str = "param_no_such_input";

pub(super) struct Writer<'a> {
    workflow: Workflow,
    /// What params have set, with the value as submitted.
    set: HashMap<(usize, &'a str), &'a RawValue>,
    files: Vec<FileInput>,
    seeds: Vec<(String, u64)>,
    problems: Problems,
}

impl<'a> Writer<'a> {
    pub(super) fn new(workflow: &Workflow, problems: Problems) -> Self {
        Self { workflow: workflow.clone(), set: HashMap::new(), files: Vec::new(), seeds: Vec::new(), problems }
    }

    /// Sets one input, or notes why not.
    pub(super) fn assign(&mut self, assignment: &'a Assignment<'_>, draw: &mut dyn FnMut(u64, u64) -> u64) {
        if self.problems.is_full() {
            return;
        }
        if let Some(earlier) = self.set.insert((assignment.place, &assignment.input), assignment.value) {
            if !is_same(earlier, assignment.value) {
                let message = format!("two parameters give `{}` different values", assignment.param);
                let node_id = self.workflow.node(assignment.place).id.clone();
                self.refuse(assignment, &node_id, "param_conflict", message, Vec::new());
            }
            return;
        }
        if let Err(unfit) = self.try_assign(assignment, draw) {
            let node = self.workflow.node(assignment.place);
            let (node_id, mut candidates) = (node.id.clone(), unfit.candidates);
            if unfit.code == NO_SUCH_INPUT && self.problems.len() < SEARCHES_MAX {
                let addresses = node.inputs.iter().map(|(name, _)| format!("{node_id}.{name}"));
                candidates = near(&assignment.param, addresses);
            }
            self.refuse(assignment, &node_id, unfit.code, unfit.message, candidates);
        }
    }

    /// Finds `{"$file":…}` that the submitter wrote into the graph itself.
    pub(super) fn collect_own_files(&mut self) {
        let mut found = Vec::new();
        for (place, node) in self.workflow.nodes().enumerate() {
            for (input, value) in &node.inputs {
                if is_file_directive(value) && !self.set.contains_key(&(place, input.as_str())) {
                    found.push((place, input.clone(), value.clone()));
                }
            }
        }
        for (place, input, value) in found {
            match Value::read(&value) {
                Ok(Value::File(file_id)) => self.need_file(place, &input, file_id),
                _ => {
                    let node_id = self.workflow.node(place).id.clone();
                    let pointer = step(&step(&step("/workflow", &node_id), "inputs"), &input);
                    let message = "`$file` takes the fileId of an upload";
                    self.problems.push(Problem::unfit(pointer, "workflow_bad_file", message).at_node(&node_id));
                }
            }
        }
    }

    pub(super) fn finish(mut self, warnings: Vec<Warning>) -> Result<Resolved, Vec<Problem>> {
        if self.files.len() > FILES_MAX {
            let message = format!("{} stored files are used, at most {FILES_MAX} are allowed", self.files.len());
            self.problems.push(Problem::unfit("/params".to_owned(), "too_many_files", message));
        }
        self.problems.check()?;
        Ok(Resolved { workflow: self.workflow, files: self.files, seeds: self.seeds, warnings })
    }

    fn try_assign(&mut self, assignment: &Assignment<'_>, draw: &mut dyn FnMut(u64, u64) -> u64) -> Result<(), Unfit> {
        let (value, is_forced) = match Value::read(assignment.value)? {
            Value::Forced(value) => (*value, true),
            value => (value, false),
        };
        let place = assignment.place;
        if !is_forced {
            may_set(self.workflow.node(place), assignment, &value)?;
        }
        let input = assignment.input.as_str();
        match value {
            Value::Plain(raw) if is_seed_wish(input, raw) => self.draw(assignment, &Value::ANY_SEED, draw),
            Value::Plain(raw) | Value::Literal(raw) => self.workflow.put(place, input, literal(raw)),
            Value::Link { link, target } => {
                if self.workflow.place_of(&target).is_none() {
                    return Err(no_such_target(&target));
                }
                self.workflow.put(place, input, link.to_owned());
            }
            Value::File(file_id) => self.need_file(place, input, file_id),
            Value::Random { .. } => self.draw(assignment, &value, draw),
            Value::Unset => self.workflow.remove(place, input),
            Value::Forced(_) => {}
        }
        Ok(())
    }

    fn draw(&mut self, assignment: &Assignment<'_>, range: &Value<'_>, draw: &mut dyn FnMut(u64, u64) -> u64) {
        let &Value::Random { min, max } = range else { return };
        let seed = draw(min, max);
        self.workflow.put(assignment.place, &assignment.input, number(seed));
        self.seeds.push((assignment.param.clone(), seed));
    }

    fn need_file(&mut self, place: usize, input: &str, file_id: crate::task::FileId) {
        let node_id = self.workflow.node(place).id.clone();
        self.files.push(FileInput { node_id, input: input.to_owned(), file_id });
        self.workflow.put(place, input, RawValue::NULL.to_owned());
    }

    fn refuse(&mut self, assignment: &Assignment<'_>, node_id: &str, code: &str, message: String, near: Vec<String>) {
        let problem = Problem::unfit(assignment.pointer.clone(), code, message);
        self.problems.push(problem.of_param(&assignment.param).at_node(node_id).with_candidates(near));
    }
}

/// Whether `value` may go where it is sent without `$force`: the input exists, and no literal takes a link's place.
fn may_set(node: &Node, assignment: &Assignment<'_>, value: &Value<'_>) -> Result<(), Unfit> {
    let is_link = matches!(value, Value::Link { .. });
    match node.input(&assignment.input) {
        None if is_link => Ok(()),
        None => Err(Unfit {
            code: NO_SUCH_INPUT,
            message: format!(
                "node {} ({}) has no input `{}`; to add one that the workflow does not list write {{\"$force\":value}}",
                clip(&node.id),
                clip(&node.class),
                clip(&assignment.input)
            ),
            candidates: Vec::new(),
        }),
        Some(present) if raw::link_target(present).is_some() && !is_link && !matches!(value, Value::Unset) => {
            Err(Unfit {
                code: "param_overwrites_link",
                message: format!(
                    "`{}` is linked to another node; to replace the link write {{\"$force\":value}}",
                    assignment.param
                ),
                candidates: Vec::new(),
            })
        }
        Some(_) => Ok(()),
    }
}

fn no_such_target(target: &str) -> Unfit {
    Unfit {
        code: "param_no_such_node",
        message: format!("there is no node `{}` to link to", clip(target)),
        candidates: Vec::new(),
    }
}

/// ComfyUI takes every bare list for a link; a list that is a value must be wrapped (protocol §2).
fn literal(raw: &RawValue) -> Box<RawValue> {
    if !raw::is_array(raw) {
        return raw.to_owned();
    }
    let wrapped = std::collections::BTreeMap::from([("__value__", raw)]);
    serde_json::value::to_raw_value(&wrapped).expect("a map of raw JSON is JSON")
}

fn number(seed: u64) -> Box<RawValue> {
    serde_json::value::to_raw_value(&seed).expect("a u64 is JSON")
}

fn is_seed_wish(input: &str, raw: &RawValue) -> bool {
    SEED_INPUTS.contains(&input) && matches!(raw.get(), "-1" | "\"-1\"" | "\"random\"")
}

/// Equal as JSON texts; strings also when only their escapes differ.
fn is_same(one: &RawValue, other: &RawValue) -> bool {
    one.get() == other.get() || raw::text(one).is_some_and(|text| raw::text(other) == Some(text))
}

fn is_file_directive(value: &RawValue) -> bool {
    // Most objects of a graph are no directives: look at the text before taking it apart.
    raw::is_object(value)
        && value.get().contains("$file")
        && raw::members(value).is_some_and(|members| matches!(members.as_slice(), [(key, _)] if key == "$file"))
}
