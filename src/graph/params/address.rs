//! Resolves the keys of `params` to (node, input): tries the forms in the order of params.md, longest existing node id
//! first. Names that the graph declares are collected here and substituted by [`super::substitute`].

use super::{
    Declared, auto_map,
    graph_names::Names,
    options::{ASSIGNMENTS_MAX, BASE, Options, pointer},
    title::Titles,
};
use crate::{
    graph::{Budget, Workflow, parse::NODE_ID_BYTES_MAX},
    json::{child_pointer, raw_value},
    problem::{Problem, Problems, clip},
    task::Warning,
};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

/// A value for one input.
pub(super) struct Assignment<'p> {
    /// Canonical address, e.g. `6.text`.
    pub(super) address: String,
    /// The declared name under which it was given.
    pub(super) name: Option<String>,
    pub(super) pointer: String,
    pub(super) place: usize,
    pub(super) input: String,
    pub(super) value: Cow<'p, RawValue>,
}

pub(super) struct Reader<'w, 'p> {
    pub(super) workflow: &'w Workflow,
    pub(super) titles: Titles<'w>,
    /// Names that the graph declares; collected only if there are params, or none may be missing.
    pub(super) names: Names,
    /// Values of placeholders.
    pub(super) given: HashMap<String, Cow<'p, RawValue>>,
    /// The declared parameters of a published workflow, which takes no other names.
    declared: Option<&'p Declared>,
    pub(super) is_publishing: bool,
    /// Names that need no further report: given, or already reported as missing.
    pub(super) reported: HashSet<String>,
    pub(super) is_strict: bool,
    maps_names: bool,
    /// Well-known names, with the address found.
    pub(super) mapped: Vec<(String, String)>,
    pub(super) assignments: Vec<Assignment<'p>>,
    pub(super) warnings: Vec<Warning>,
    pub(super) unused: usize,
    pub(super) problems: Problems,
    pub(super) budget: &'p Budget,
}

impl<'w, 'p> Reader<'w, 'p> {
    pub(super) fn new(workflow: &'w Workflow, options: &Options<'p>, problems: Problems) -> Self {
        Self {
            workflow,
            titles: Titles::of(workflow),
            names: Names::default(),
            given: HashMap::new(),
            declared: options.declared,
            is_publishing: options.is_publishing,
            reported: HashSet::new(),
            is_strict: options.is_strict,
            maps_names: options.maps_names,
            mapped: Vec::new(),
            assignments: Vec::new(),
            warnings: Vec::new(),
            unused: 0,
            problems,
            budget: options.budget,
        }
    }

    /// Reads all of `params`.
    pub(super) fn read(&mut self, params: &'p RawValue) {
        if let Some(members) = raw_value::members(params) {
            // Without params, `{{` is a literal part of a prompt.
            if !members.is_empty() || self.is_strict || self.declared.is_some() {
                self.read_names();
            }
            for (key, value) in members {
                if self.is_over() {
                    return;
                }
                self.param(&key, value);
            }
        } else if let Some(entries) = raw_value::elements(params) {
            if !entries.is_empty() || self.is_strict || self.declared.is_some() {
                self.read_names();
            }
            for (index, entry) in entries.into_iter().enumerate() {
                if self.is_over() {
                    return;
                }
                self.entry(child_pointer(BASE, &index.to_string()), entry);
            }
        } else {
            let message = "params must be an object such as {\"6.text\":\"a cat\"}";
            self.problems.push(Problem::shape(BASE.to_owned(), "params_not_object", message));
        }
        if let Some(declared) = self.declared {
            self.defaults(declared);
        }
        self.fill();
    }

    /// Returns the declared parameters of a published workflow.
    pub(super) fn declared_params(&self) -> Option<&'p Declared> {
        self.declared
    }

    /// Collects the names that the graph declares.
    pub(super) fn read_names(&mut self) {
        self.names = Names::of(self.workflow, self.budget);
    }

    #[allow(clippy::type_complexity, reason = "four lists, destructured by the only caller")]
    pub(super) fn finish(mut self) -> (Vec<Assignment<'p>>, Vec<(String, String)>, Vec<Warning>, Problems) {
        if self.assignments.len() > ASSIGNMENTS_MAX {
            let message = format!("params set more than {ASSIGNMENTS_MAX} inputs");
            self.problems.push(Problem::unfit(BASE.to_owned(), "params_too_many", message));
            self.assignments.clear();
        }
        if self.unused > self.warnings.len() {
            let message = format!("{} more parameters were not used", self.unused - self.warnings.len());
            self.warnings.push(Warning { code: "param_unused".to_owned(), message, param: None });
        }
        (self.assignments, self.mapped, self.warnings, self.problems)
    }

    /// Whether a limit is reached. Checked inside every loop: one title may select every node.
    pub(super) fn is_over(&self) -> bool {
        self.assignments.len() > ASSIGNMENTS_MAX || self.problems.is_full() || self.budget.is_over()
    }

    fn param(&mut self, key: &str, value: &'p RawValue) {
        if !self.budget.spend_text(key.len()) {
            return;
        }
        if let Some(place) = self.workflow.place_of(key) {
            match plain_object(value) {
                Some(members) => self.node_object(place, &pointer(key), members),
                None => self.no_input_named(key, place),
            }
        } else if let Some((place, separator, rest)) = self.split_node_id(key) {
            self.path(key, place, separator, rest, value);
        } else if let Some(rest) = key.strip_prefix('@') {
            self.title(key, rest, value);
        } else if let Some(declared) = self.declared {
            if self.declared(declared, key, value) {
                return;
            }
            match key.contains('.') || looks_like_node_id(key) {
                true => self.no_such_node(key, pointer(key)),
                false => self.undeclared(declared, key),
            }
        } else if self.names.has_slot(key) || !self.names.markers(key).is_empty() {
            self.named(key, value);
        } else if self.maps_names && auto_map::is_known(key) {
            self.map(key, value);
        } else if key.contains('.') || looks_like_node_id(key) || plain_object(value).is_some() {
            self.no_such_node(key, pointer(key));
        } else {
            self.unused(key);
        }
    }

    /// Finds the longest existing node id that `key` starts with and that is followed by `.` or `:`.
    pub(super) fn split_node_id<'k>(&self, key: &'k str) -> Option<(usize, u8, &'k str)> {
        let bytes = key.as_bytes();
        (0..bytes.len().min(NODE_ID_BYTES_MAX + 1)).rev().filter(|&at| matches!(bytes[at], b'.' | b':')).find_map(
            |at| {
                // An id is read to its end to be looked up.
                self.budget.spend_text(at);
                let place = self.workflow.place_of(&key[..at])?;
                Some((place, bytes[at], &key[at + 1..]))
            },
        )
    }

    fn path(&mut self, key: &str, place: usize, separator: u8, rest: &str, value: &'p RawValue) {
        let node = self.workflow.node(place);
        if separator == b'.' {
            return self.assign(place, rest, pointer(key), value);
        }
        match rest.strip_prefix(node.class.as_str()).and_then(|rest| rest.strip_prefix('.')) {
            Some(input) => self.assign(place, input, pointer(key), value),
            None => {
                let asserted = rest.split_once('.').map_or(rest, |(class, _)| class);
                self.wrong_class(place, asserted, key, pointer(key));
            }
        }
    }

    /// Reads `{"text": v, …}`, possibly wrapped as `{"inputs":{…}}`, with an optional `class_type` that must be the
    /// node's.
    pub(super) fn node_object(&mut self, place: usize, pointer: &str, members: Vec<(String, &'p RawValue)>) {
        let node = self.workflow.node(place);
        for (name, value) in members {
            if self.is_over() || !self.budget.spend_text(name.len()) {
                return;
            }
            let here = child_pointer(pointer, &name);
            let is_own_input = node.input(&name).is_some();
            match name.as_str() {
                "_meta" if !is_own_input => {}
                "class_type" if !is_own_input => {
                    if raw_value::text(value).as_deref() != Some(&node.class) {
                        let asserted = raw_value::text(value).unwrap_or_else(|| value.get().to_owned());
                        self.wrong_class(place, &asserted, &node.id, here);
                    }
                }
                "inputs" if !is_own_input => match plain_object(value) {
                    Some(inner) => {
                        for (name, value) in inner {
                            if self.is_over() {
                                return;
                            }
                            self.assign(place, &name, child_pointer(&here, &name), value);
                        }
                    }
                    None => {
                        let problem = Problem::shape(here, "param_inputs_not_object", "inputs must be an object");
                        self.problems.push(problem.of_param(&node.id).at_node(&node.id));
                    }
                },
                _ => self.assign(place, &name, here, value),
            }
        }
    }

    /// Reads one entry of the array form.
    fn entry(&mut self, here: String, entry: &'p RawValue) {
        let members = raw_value::members(entry).unwrap_or_default();
        let member = |name: &str| members.iter().find(|(key, _)| key == name).map(|&(_, value)| value);
        let id = member("nodeId").and_then(|id| match id.get().as_bytes().first() {
            Some(b'0'..=b'9') => Some(id.get().to_owned()),
            _ => raw_value::text(id),
        });
        let (Some(id), Some(input), Some(value)) =
            (id, member("fieldName").and_then(raw_value::text), member("fieldValue"))
        else {
            let message = "an entry must be {\"nodeId\":\"6\",\"fieldName\":\"text\",\"fieldValue\":…}";
            return self.problems.push(Problem::shape(here, "param_bad_entry", message));
        };
        match self.workflow.place_of(&id) {
            Some(place) => self.assign(place, &input, child_pointer(&here, "fieldValue"), value),
            None => self.no_such_node(&format!("{id}.{input}"), child_pointer(&here, "nodeId")),
        }
    }

    pub(super) fn assign(&mut self, place: usize, input: &str, pointer: String, value: &'p RawValue) {
        let node = self.workflow.node(place);
        let input = match input.strip_prefix("inputs.") {
            Some(inner) if node.input(input).is_none() => inner,
            _ => input,
        };
        self.assign_named(None, place, input, pointer, Cow::Borrowed(value));
    }

    pub(super) fn assign_named(
        &mut self,
        name: Option<&str>,
        place: usize,
        input: &str,
        pointer: String,
        value: Cow<'p, RawValue>,
    ) {
        // One value may be for many inputs.
        if self.is_over() || !self.budget.keep(input.len() + value.get().len()) {
            return;
        }
        let address = format!("{}.{}", self.workflow.node(place).id, clip(input));
        let name = name.map(str::to_owned);
        self.assignments.push(Assignment { address, name, pointer, place, input: input.to_owned(), value });
    }
}

/// Returns the members of an object that is not a directive.
pub(super) fn plain_object(value: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    raw_value::members(value).filter(|members| !members.iter().any(|(key, _)| key.starts_with('$') || key == "__type"))
}

/// Whether a key has the form of ComfyUI's node ids: `7`, `57:8`.
fn looks_like_node_id(key: &str) -> bool {
    !key.is_empty() && key.split(':').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}
