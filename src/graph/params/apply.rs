//! Writes values into a copy of the graph: checks conflicts and types, protects links, collects files.

use super::{
    address::Assignment,
    files::{OwnFiles, UploadNames},
    options::{BASE, FILES_MAX, InlineFile, Options, RemoteFile, Resolved, WARNINGS_MAX},
    value::{Value, ValueError},
};
use crate::{
    graph::{Budget, Workflow, catalog::Eligibility, links},
    json::raw_value,
    problem::{Problem, Problems, SEARCHES_MAX, clip, suggest},
    task::{FileInput, Warning},
};
use serde_json::value::RawValue;
use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

const NO_SUCH_INPUT: &str = "param_no_such_input";

/// Function that draws a number from an inclusive range.
pub(super) type Draw<'d> = dyn FnMut(u64, u64) -> u64 + 'd;

pub(super) struct Writer<'a> {
    pub(super) workflow: Workflow,
    /// Inputs set by params.
    pub(super) set: HashMap<(usize, &'a str), &'a Assignment<'a>>,
    /// Inputs that params will set: those of a workflow that is being published.
    pub(super) open: HashSet<(usize, String)>,
    pub(super) own: Option<&'a OwnFiles>,
    /// The uploads of the caller.
    pub(super) uploads: Option<&'a UploadNames>,
    /// Whether the graph is a published one.
    pub(super) is_published: bool,
    /// Warnings about files.
    pub(super) notes: RefCell<Vec<Warning>>,
    pub(super) is_strict: bool,
    pub(super) is_publishing: bool,
    /// The instances that can run it; `None` = no catalog is known.
    pub(super) eligibility: Option<Eligibility<'a>>,
    pub(super) files: Vec<FileInput>,
    pub(super) inline: Vec<InlineFile>,
    pub(super) remote: Vec<RemoteFile>,
    pub(super) seeds: Vec<(String, u64)>,
    has_new_links: bool,
    /// Texts that the params give to inputs: choices among them decide which dynamic inputs a node has.
    texts: HashMap<(usize, &'a str), &'a RawValue>,
    pub(super) problems: Problems,
    pub(super) budget: &'a Budget,
}

impl<'a> Writer<'a> {
    pub(super) fn new(workflow: &Workflow, options: &Options<'a>, problems: Problems) -> Self {
        Self {
            workflow: workflow.clone(),
            set: HashMap::new(),
            open: HashSet::new(),
            own: options.own,
            uploads: options.uploads,
            is_published: options.declared.is_some(),
            notes: RefCell::default(),
            is_strict: options.is_strict,
            is_publishing: options.is_publishing,
            eligibility: options
                .pool
                .filter(|pool| !pool.is_empty())
                .map(|pool| Eligibility::new(pool, options.budget)),
            files: Vec::new(),
            inline: Vec::new(),
            remote: Vec::new(),
            seeds: Vec::new(),
            has_new_links: false,
            texts: HashMap::new(),
            problems,
            budget: options.budget,
        }
    }

    /// Reads the texts of all params before the first is set: a choice may come behind what it brings.
    pub(super) fn read_choices(&mut self, assignments: &'a [Assignment<'_>]) {
        if assignments.iter().any(|assignment| assignment.input.contains('.')) {
            let texts = assignments.iter().filter(|assignment| assignment.value.get().starts_with('"'));
            self.texts =
                texts.map(|assignment| ((assignment.place, assignment.input.as_str()), &*assignment.value)).collect();
        }
    }

    /// Returns the text that an input has once all params are set.
    fn chosen(&self, place: usize, input: &str) -> Option<String> {
        let given = self.texts.get(&(place, input)).copied();
        given.or_else(|| self.workflow.node(place).input(input)).and_then(raw_value::text)
    }

    /// Sets one input, or records the problem.
    pub(super) fn assign(&mut self, assignment: &'a Assignment<'a>, draw: &mut Draw<'_>) {
        if self.problems.is_full() || !self.budget.spend(2 + assignment.input.len() / 64) {
            return;
        }
        if let Some(earlier) = self.set.insert((assignment.place, &assignment.input), assignment) {
            if !is_same(&earlier.value, &assignment.value) {
                let message = format!("two parameters give `{}` different values", assignment.address);
                self.refuse(assignment, ValueError::new("param_conflict", message));
            }
            return;
        }
        if let Err(mut error) = self.try_assign(assignment, draw) {
            if (error.code == NO_SUCH_INPUT || error.has_options)
                && self.problems.len() < SEARCHES_MAX
                && self.budget.take_search()
            {
                error.candidates = self.near(assignment, &error);
            }
            self.refuse(assignment, error);
        }
    }

    /// Returns similar inputs of the node, or similar values of the input.
    fn near(&self, assignment: &Assignment<'_>, error: &ValueError) -> Vec<String> {
        let node = self.workflow.node(assignment.place);
        if error.has_options {
            let eligibility = self.eligibility.as_ref();
            return eligibility.map_or_else(Vec::new, |eligibility| {
                let chosen = |input: &str| self.chosen(assignment.place, input);
                eligibility.near_choices((&node.class, &assignment.input), &chosen, &assignment.value)
            });
        }
        suggest(&assignment.address, node.inputs.iter().map(|(name, _)| format!("{}.{name}", node.id)))
    }

    pub(super) fn finish(
        mut self,
        mapped: Vec<(String, String)>,
        mut warnings: Vec<Warning>,
    ) -> Result<Resolved, Vec<Problem>> {
        let left = WARNINGS_MAX.saturating_sub(warnings.len());
        warnings.extend(self.notes.take().into_iter().take(left));
        let count = self.files.len() + self.inline.len() + self.remote.len();
        if count > FILES_MAX {
            let message = format!("{count} files are used, at most {FILES_MAX} are allowed");
            self.problems.push(Problem::unfit(BASE.to_owned(), "too_many_files", message));
        }
        let (eligible, needs) = self.eligible();
        self.problems.check()?;
        if self.has_new_links {
            links::check(&self.workflow, BASE)?;
        }
        let Self { workflow, files, inline, remote, seeds, .. } = self;
        Ok(Resolved { workflow, files, inline, remote, seeds, mapped, warnings, eligible, needs })
    }

    fn try_assign(&mut self, assignment: &Assignment<'_>, draw: &mut Draw<'_>) -> Result<(), ValueError> {
        let (value, is_forced) = match Value::read(&assignment.value)? {
            Value::Forced(value) => (*value, true),
            value => (value, false),
        };
        let place = assignment.place;
        if !is_forced {
            self.may_set(assignment, &value)?;
        }
        let input = assignment.input.as_str();
        if let Value::Plain(raw) = value
            && let Some((min, max)) = self.requested_seed_range(place, input, raw)
        {
            self.draw(place, input, min, max, draw);
            return Ok(());
        }
        if let Value::Plain(raw) = value
            && !is_forced
            && let Some(file) = self.plain_file(place, input, raw)
        {
            self.put_file(place, input, (raw, assignment.pointer.clone()), file);
            return Ok(());
        }
        match value {
            Value::Plain(raw) | Value::Literal(raw) => {
                let instead = if is_forced { None } else { self.validate(assignment, raw)? };
                if let Some(instead) = &instead {
                    self.note_converted(&assignment.address, raw, instead);
                }
                self.workflow.put(place, input, instead.unwrap_or_else(|| literal(raw)));
            }
            Value::Link { link, target } => {
                if self.workflow.place_of(&target).is_none() {
                    let message = format!("there is no node `{}` to link to", clip(&target));
                    return Err(ValueError::new("param_no_such_node", message));
                }
                self.has_new_links = true;
                self.workflow.put(place, input, link.to_owned());
            }
            Value::File(file_id) => self.add_file(place, input, file_id),
            Value::Named(name) => {
                let file = self.file_of_name(place, input, &name)?;
                self.put_file(place, input, (&assignment.value, assignment.pointer.clone()), file);
            }
            Value::Remote(remote) => self.add_remote_file(place, input, assignment.pointer.clone(), remote),
            Value::Inline { directive, base64, filename } => {
                let node_id = self.workflow.node(place).id.clone();
                let (pointer, directive) = (assignment.pointer.clone(), directive.get().to_owned());
                self.inline.push(InlineFile { node_id, input: input.to_owned(), pointer, directive, base64, filename });
                self.workflow.put(place, input, RawValue::NULL.to_owned());
            }
            Value::Random { min, max } => {
                let (low, high) = self.random_range(place, input, min, max)?;
                if !is_forced {
                    self.validate(assignment, &number(low))?;
                    self.validate(assignment, &number(high))?;
                }
                self.draw(place, input, low, high, draw);
            }
            Value::Unset => {
                self.budget.spend(self.workflow.node(place).inputs.len());
                self.workflow.remove(place, input);
            }
            Value::Forced(_) => {}
        }
        Ok(())
    }

    /// Checks that `value` may be set without `$force`: the input exists, and no literal replaces a link.
    fn may_set(&self, assignment: &Assignment<'_>, value: &Value<'_>) -> Result<(), ValueError> {
        let node = self.workflow.node(assignment.place);
        let chosen = |input: &str| self.chosen(assignment.place, input);
        let eligibility = self.eligibility.as_ref();
        let declared = eligibility.and_then(|eligible| eligible.input_beside(&node.class, &assignment.input, &chosen));
        // Known, but not with the choices of this node: an instance would ignore it.
        let is_of_another_choice = declared.is_none()
            && eligibility.is_some_and(|eligible| eligible.input(&node.class, &assignment.input).is_some());
        let (is_link, is_unset) = (matches!(value, Value::Link { .. }), matches!(value, Value::Unset));
        match node.input(&assignment.input) {
            _ if is_of_another_choice && !is_unset => {
                let message = format!(
                    "`{}` comes with another choice only: set that as well, or write {{\"$force\":value}}",
                    assignment.address
                );
                Err(ValueError::new(NO_SUCH_INPUT, message))
            }
            None if is_link || (declared.is_some() && !is_unset) => Ok(()),
            None => Err(ValueError::new(
                NO_SUCH_INPUT,
                format!(
                    "node {} ({}) has no input `{}`; to add one that the workflow does not list write {{\"$force\":value}}",
                    clip(&node.id),
                    clip(&node.class),
                    clip(&assignment.input)
                ),
            )),
            Some(_) if is_unset && declared.is_some_and(|declared| declared.is_required) => Err(ValueError::new(
                "param_required",
                format!("`{}` is required and cannot be removed", assignment.address),
            )),
            Some(present) if links::borrowed_link_target(present).is_some() && !is_link && !is_unset => {
                Err(ValueError::new(
                    "param_overwrites_link",
                    format!(
                        "`{}` is linked to another node; to replace the link write {{\"$force\":value}}",
                        assignment.address
                    ),
                ))
            }
            Some(_) => Ok(()),
        }
    }

    /// Narrows to the instances that accept the value; returns its replacement if it must be written differently.
    fn validate(&mut self, assignment: &Assignment<'_>, value: &RawValue) -> Result<Option<Box<RawValue>>, ValueError> {
        let Some(mut eligibility) = self.eligibility.take() else { return Ok(None) };
        let class = &self.workflow.node(assignment.place).class;
        let what = || format!("{} {}", assignment.address, clip(value.get()));
        let chosen = |input: &str| self.chosen(assignment.place, input);
        let validated = eligibility.require_value((class, &assignment.input), &chosen, value, what);
        self.eligibility = Some(eligibility);
        validated.map_err(|mismatch| ValueError::of(mismatch, &assignment.address, value))
    }

    fn refuse(&mut self, assignment: &Assignment<'_>, error: ValueError) {
        let ValueError { code, message, candidates, expected, has_options: _ } = error;
        let param = assignment.name.as_ref().unwrap_or(&assignment.address);
        let mut problem = Problem::unfit(assignment.pointer.clone(), code, message)
            .of_param(param)
            .at_node(&self.workflow.node(assignment.place).id)
            .at_input(&assignment.input)
            .with_candidates(candidates);
        if let Some((expected, got)) = expected {
            problem = problem.expecting(expected, &got);
        }
        self.problems.push(problem);
    }
}

/// Wraps a list that is a value: ComfyUI takes every bare list for a link (protocol §2).
fn literal(raw: &RawValue) -> Box<RawValue> {
    if !raw_value::is_array(raw) {
        return raw.to_owned();
    }
    let wrapped = std::collections::BTreeMap::from([("__value__", raw)]);
    serde_json::value::to_raw_value(&wrapped).expect("a map of raw JSON is JSON")
}

pub(super) fn number(seed: u64) -> Box<RawValue> {
    serde_json::value::to_raw_value(&seed).expect("a u64 is JSON")
}

/// Whether two values are equal as JSON texts, or strings that differ only in escapes.
fn is_same(one: &RawValue, other: &RawValue) -> bool {
    one.get() == other.get() || raw_value::text(one).is_some_and(|text| raw_value::text(other) == Some(text))
}
