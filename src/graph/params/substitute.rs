//! Substitutes values for declared names: placeholders that are a whole text (any JSON) or part of one, and marker
//! nodes.

use super::{
    address::{Reader, plain_object},
    graph_names::{Marker, Template},
    options::pointer,
    placeholder::{Piece, default_json, pieces},
};
use crate::{
    json::{child_pointer, raw_value},
    problem::{Problem, clip},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashSet};

impl<'p> Reader<'_, 'p> {
    /// Reads a param whose key is a name that the graph declares; the name must be unambiguous.
    pub(super) fn named(&mut self, key: &str, value: &'p RawValue) {
        let markers = self.names.markers(key);
        match (self.names.has_slot(key), markers) {
            (true, []) => {
                self.given.insert(key.to_owned(), Cow::Borrowed(value));
            }
            (false, &[marker]) => self.marked(key, marker, value),
            (has_slot, _) => {
                let ids = markers.iter().take(10).map(|marker| self.workflow.node(marker.place()).id.clone()).collect();
                let also = if has_slot { "a placeholder and a node" } else { "several nodes" };
                let message = format!("{also} have the name `{}`; use an address like `6.text`", clip(key));
                let problem = Problem::unfit(pointer(key), "param_ambiguous", message);
                self.problems.push(problem.of_param(key).with_candidates(ids));
            }
        }
    }

    fn marked(&mut self, key: &str, marker: Marker, value: &'p RawValue) {
        let place = marker.place();
        if let Some(members) = plain_object(value) {
            return self.node_object(place, &pointer(key), members);
        }
        let node = self.workflow.node(place);
        let targets = marker.targets(node);
        if let &[input] = targets.as_slice() {
            return self.assign_named(Some(key), place, input, pointer(key), Cow::Borrowed(value));
        }
        let (code, what) = match targets.len() {
            0 => ("param_no_such_input", "no input"),
            _ => ("param_ambiguous", "more than one input"),
        };
        let message =
            format!("node {} has {what} that `{}` could be for; give an object of inputs", clip(&node.id), clip(key));
        let inputs = node.inputs.iter().take(10).map(|(name, _)| format!("{}.{name}", node.id)).collect();
        let problem = Problem::unfit(pointer(key), code, message);
        self.problems.push(problem.of_param(key).at_node(&node.id).with_candidates(inputs));
    }

    /// Fills every text with placeholders or escapes, unless a param sets that whole input.
    pub(super) fn fill(&mut self) {
        let templates = std::mem::take(&mut self.names.templates);
        let set: HashSet<(usize, String)> =
            self.assignments.iter().map(|assignment| (assignment.place, assignment.input.clone())).collect();
        for template in templates {
            if self.is_over() {
                return;
            }
            let pieces = pieces(&template.text, self.budget);
            if !self.budget.spend(1 + pieces.len()) {
                return;
            }
            let is_given =
                pieces.iter().any(|piece| matches!(piece, Piece::Slot { name, .. } if self.given.contains_key(*name)));
            if !is_given && set.contains(&(template.place, template.input.clone())) {
                continue;
            }
            if let [Piece::Slot { name, default }] = *pieces.as_slice() {
                self.fill_whole(&template, name, default);
            } else {
                self.fill_text(&template, &pieces);
            }
        }
    }

    fn fill_whole(&mut self, template: &Template, name: &str, default: Option<&str>) {
        let (place, input) = (template.place, template.input.as_str());
        if let Some(value) = self.given.get(name).cloned() {
            self.assign_named(Some(name), place, input, pointer(name), value);
        } else if let Some(value) =
            default.and_then(|default| RawValue::from_string(default_json(default).into_owned()).ok())
        {
            self.assign_named(Some(name), place, input, self.own_pointer(template), Cow::Owned(value));
        } else {
            self.missing(template, name);
        }
    }

    fn fill_text(&mut self, template: &Template, pieces: &[Piece<'_>]) {
        let (mut text, mut first, mut is_whole) = (String::new(), None, true);
        for piece in pieces {
            let (name, default) = match *piece {
                Piece::Text(part) => {
                    text.push_str(part);
                    continue;
                }
                Piece::Slot { name, default } => (name, default),
            };
            if let Some(value) = self.given.get(name) {
                first = first.or(Some(name));
                // A text may name a placeholder very often.
                if !self.budget.keep(value.get().len()) {
                    return;
                }
                match text_of(value) {
                    Some(part) => text.push_str(&part),
                    None => {
                        is_whole = false;
                        let value = clip(value.get());
                        self.not_text(template, name, &value);
                    }
                }
            } else if let Some(default) = default {
                let quoted = serde_json::from_str::<String>(default);
                text.push_str(quoted.as_deref().unwrap_or(default));
            } else {
                is_whole = false;
                self.missing(template, name);
            }
            if self.problems.is_full() {
                return;
            }
        }
        if is_whole {
            let pointer = first.map_or_else(|| self.own_pointer(template), pointer);
            self.assign_named(first, template.place, &template.input, pointer, Cow::Owned(raw_value::quote(&text)));
        }
    }

    fn missing(&mut self, template: &Template, name: &str) {
        if self.reported.insert(name.to_owned()) {
            let message = format!(
                "the placeholder {{{{{name}}}}} has no value; give `{name}`, or write \\{{{{ for literal braces"
            );
            self.refuse_template(template, name, self.own_pointer(template), "param_missing", message);
        }
    }

    fn not_text(&mut self, template: &Template, name: &str, value: &str) {
        let message = format!("`{name}` is part of a text and takes a text, a number or a boolean, not {value}");
        self.refuse_template(template, name, pointer(name), "param_not_text", message);
    }

    fn refuse_template(&mut self, template: &Template, name: &str, pointer: String, code: &str, message: String) {
        let node_id = &self.workflow.node(template.place).id;
        let problem = Problem::unfit(pointer, code, message);
        self.problems.push(problem.of_param(name).at_node(node_id).at_input(&template.input));
    }

    fn own_pointer(&self, template: &Template) -> String {
        let node = child_pointer("/workflow", &self.workflow.node(template.place).id);
        child_pointer(&child_pointer(&node, "inputs"), &template.input)
    }
}

/// Returns the text of a value inside a text.
fn text_of(value: &RawValue) -> Option<String> {
    match value.get().as_bytes().first()? {
        b'"' => raw_value::text(value),
        b'{' | b'[' | b'n' => None,
        _ => Some(value.get().to_owned()),
    }
}
