//! Literals of the graph that are of another type than the declared one: each is written as what it means, with a
//! warning.

use super::{apply::Writer, options::WARNINGS_MAX};
use crate::{
    graph::{
        catalog::{Eligibility, Verdict},
        prefix_text::Prefix,
    },
    json::raw_value,
    problem::clip,
    task::Warning,
};
use jiff::civil::DateTime;
use serde_json::value::RawValue;

/// Code of the warning about a literal that was written differently.
const CONVERTED: &str = "value_converted";

impl Writer<'_> {
    /// Converts the literals of a node that no instance takes as they are meant. Returns whether there were any.
    pub(super) fn convert(
        &mut self,
        eligibility: &Eligibility<'_>,
        place: usize,
        verdict: &Verdict,
        warnings: &mut Vec<Warning>,
    ) -> bool {
        let node = self.workflow.node(place);
        let chosen = |input: &str| node.input(input).and_then(raw_value::text);
        let mut written: Vec<(String, Box<RawValue>)> = Vec::new();
        // A param has been converted already, or is forced.
        let is_open = |input: &&str| {
            !self.set.contains_key(&(place, *input)) && !self.open.contains(&(place, (*input).to_owned()))
        };
        for input in verdict.inputs().filter(is_open) {
            let Some(value) = node.input(input).filter(|value| !raw_value::is_array(value)) else { continue };
            let meant = eligibility.meant((&node.class, input), &chosen, value);
            written.extend(meant.map(|meant| (input.to_owned(), meant)));
        }
        let is_changed = !written.is_empty();
        for (input, meant) in written {
            self.warn_converted(place, &input, &meant, warnings);
            self.workflow.put(place, &input, meant);
        }
        is_changed
    }

    /// Notes that a param was written differently, unless only the quotes of a number were left out.
    pub(super) fn note_converted(&self, address: &str, given: &RawValue, written: &RawValue) {
        let plain =
            |value: &RawValue| raw_value::text(value).unwrap_or_else(|| value.get().to_owned()).trim().to_owned();
        let mut notes = self.notes.borrow_mut();
        if notes.len() < WARNINGS_MAX && plain(given) != plain(written) {
            let param = clip(address);
            let message = format!("`{param}` was {}: {} was written", clip(given.get()), clip(written.get()));
            notes.push(Warning { code: CONVERTED.to_owned(), message, param: Some(param) });
        }
    }

    /// Fills in what the editor replaces in the names of files.
    pub(super) fn fill_prefixes(&mut self, now: DateTime, warnings: &mut Vec<Warning>) {
        for Prefix { place, filled, kept } in self.workflow.filled_prefixes(now) {
            let param = format!("{}.filename_prefix", clip(&self.workflow.node(place).id));
            let mut warn = |code: &str, message: String| {
                if warnings.len() < WARNINGS_MAX {
                    warnings.push(Warning { code: code.to_owned(), message, param: Some(param.clone()) });
                }
            };
            if let Some(filled) = filled {
                warn(
                    "workflow_prefix_filled",
                    format!("`{param}` is {}, as the editor fills it in", clip(filled.get())),
                );
                self.workflow.put(place, "filename_prefix", filled);
            }
            if let Some(kept) = kept {
                let message =
                    format!("`{param}` contains %{kept}%, which names no value of the graph; it was left unchanged");
                warn("workflow_prefix_kept", message);
            }
        }
    }

    fn warn_converted(&self, place: usize, input: &str, meant: &RawValue, warnings: &mut Vec<Warning>) {
        if warnings.len() < WARNINGS_MAX {
            let node = self.workflow.node(place);
            let was = node.input(input).map_or_else(String::new, |value| clip(value.get()));
            let param = format!("{}.{}", clip(&node.id), clip(input));
            let message = format!("`{param}` was {was}, which is of another type: {} was written", clip(meant.get()));
            warnings.push(Warning { code: CONVERTED.to_owned(), message, param: Some(param) });
        }
    }
}
