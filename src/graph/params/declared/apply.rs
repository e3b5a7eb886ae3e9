//! Applies values given under a declared name to its inputs, and defaults if none was given.

use super::{Declared, Param};
use crate::{
    graph::{
        links,
        params::{
            address::Reader,
            options::{ASSIGNMENTS_MAX, pointer},
            seeds::SEED_INPUTS,
        },
    },
    problem::{Problem, clip, suggest},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashSet};

/// A node by its index, and one of its inputs.
pub(super) type Place = (usize, String);

impl<'p> Reader<'_, 'p> {
    /// Reads a param whose key is a declared name; returns false if it is not declared.
    pub(in crate::graph::params) fn declared(
        &mut self,
        declared: &'p Declared,
        key: &str,
        value: &'p RawValue,
    ) -> bool {
        let Some(param) = declared.get(key) else { return false };
        self.reported.insert(key.to_owned());
        let places = self.places_of(param);
        self.send(param, places, value);
        true
    }

    /// Applies the default of every declared parameter that was not given; a required one without a default is a
    /// problem.
    pub(in crate::graph::params) fn defaults(&mut self, declared: &'p Declared) {
        let set: HashSet<Place> =
            self.assignments.iter().map(|assignment| (assignment.place, assignment.input.clone())).collect();
        for param in &declared.params {
            if self.is_over() {
                return;
            }
            if self.reported.contains(&param.name) {
                continue;
            }
            let mut places = self.places_of(param);
            // An input set by its address needs no default.
            let had_places = !places.is_empty();
            places.retain(|place| !set.contains(place));
            if had_places && places.is_empty() {
                continue;
            }
            if let Some(default) = &param.default {
                self.reported.insert(param.name.clone());
                self.send(param, places, default);
            } else if self.is_publishing || self.is_needed(param) {
                // Reported here once, or left to the submitter when publishing.
                self.reported.insert(param.name.clone());
                if !self.is_publishing {
                    let message = format!("this workflow needs `{}`", param.name);
                    let problem = Problem::unfit(pointer(&param.name), "param_missing", message);
                    self.problems.push(problem.of_param(&param.name));
                }
            }
        }
    }

    /// Whether it must be given: declared as required, or a placeholder of the graph without a default.
    pub(super) fn is_needed(&self, param: &Param) -> bool {
        param.is_required
            || (param.targets.is_empty() && param.default.is_none() && self.names.needs_value(&param.name))
    }

    /// Reports a bare name that is not declared.
    pub(in crate::graph::params) fn undeclared(&mut self, declared: &Declared, key: &str) {
        let names = declared.names().map(str::to_owned);
        let candidates = if self.may_search() { suggest(key, names) } else { Vec::new() };
        let known: Vec<&str> = declared.names().take(20).collect();
        let takes = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!("unknown name `{}`; this workflow takes {takes}", clip(key));
        let problem = Problem::unfit(pointer(key), "param_unknown_name", message);
        self.problems.push(problem.of_param(key).with_candidates(candidates));
    }

    /// Returns the inputs that params will set once the workflow is published.
    pub(in crate::graph::params) fn open_inputs(&self) -> HashSet<(usize, String)> {
        let Some(declared) = self.declared_params().filter(|_| self.is_publishing) else { return HashSet::new() };
        declared.params.iter().flat_map(|param| self.places_of(param)).collect()
    }

    /// Returns the inputs of its targets, or of the marker node that declares its name; none for a placeholder.
    pub(super) fn places_of(&self, param: &Param) -> Vec<Place> {
        if param.targets.is_empty() {
            let &[marker] = self.names.markers(&param.name) else { return Vec::new() };
            let inputs = marker.targets(self.workflow.node(marker.place()));
            return match inputs.as_slice() {
                &[input] => vec![(marker.place(), input.to_owned())],
                _ => Vec::new(),
            };
        }
        param.targets.iter().flat_map(|target| self.places_at(target)).take(ASSIGNMENTS_MAX + 1).collect()
    }

    /// Returns the inputs that an address (path or title) selects.
    pub(super) fn places_at(&self, target: &str) -> Vec<Place> {
        if let Some((place, separator, rest)) = self.split_node_id(target) {
            let node = self.workflow.node(place);
            let input = match separator {
                b'.' => Some(rest),
                _ => rest.strip_prefix(node.class.as_str()).and_then(|rest| rest.strip_prefix('.')),
            };
            let Some(input) = input else { return Vec::new() };
            let inner = input.strip_prefix("inputs.").filter(|_| node.input(input).is_none());
            return vec![(place, inner.unwrap_or(input).to_owned())];
        }
        let Some(address) = target.strip_prefix('@') else { return Vec::new() };
        self.titles.places_at(address, self.budget)
    }

    /// Whether all its inputs are seeds by name: then `-1` and `"random"` request a drawn seed.
    pub(super) fn is_seed(&self, param: &Param, places: &[Place]) -> bool {
        let in_template = param.targets.is_empty().then(|| self.names.inputs_of(&param.name)).into_iter().flatten();
        let mut inputs = places.iter().map(|(_, input)| input.as_str()).chain(in_template).peekable();
        inputs.peek().is_some() && inputs.all(|input| SEED_INPUTS.contains(&input))
    }

    fn send(&mut self, param: &Param, places: Vec<Place>, value: &'p RawValue) {
        let pointer = pointer(&param.name);
        let value: Cow<'p, RawValue> = match param.validate(value, self.is_seed(param, &places)) {
            Ok(instead) => instead.map_or(Cow::Borrowed(value), Cow::Owned),
            Err(error) => {
                let candidates =
                    if error.has_options && self.may_search() { param.near_choices(value) } else { error.candidates };
                let mut problem = Problem::unfit(pointer, error.code, error.message)
                    .of_param(&param.name)
                    .with_candidates(candidates);
                if let Some((expected, got)) = error.expected {
                    problem = problem.expecting(expected, &got);
                }
                return self.problems.push(problem);
            }
        };
        if param.targets.is_empty() && self.names.has_slot(&param.name) {
            self.given.insert(param.name.clone(), value);
            return;
        }
        for (place, input) in places {
            self.assign_named(Some(&param.name), place, &input, pointer.clone(), value.clone());
        }
    }

    /// Whether the input is linked in the graph: a value would replace the link.
    pub(super) fn is_linked(&self, (place, input): &Place) -> bool {
        self.workflow.node(*place).input(input).is_some_and(|value| links::borrowed_link_target(value).is_some())
    }
}
