//! Names declared by the graph itself (params.md, form 4): placeholders in its texts, marker nodes, titles `$name`.

use super::placeholder::{Piece, may_have_slots, pieces};
use crate::{
    graph::{Budget, Workflow, workflow::Node},
    json::raw_value,
};
use std::collections::HashMap;

/// Widgets whose text names a parameter, as in the nodes of deployment services.
const MARKER_WIDGETS: [&str; 3] = ["input_id", "input_name", "param_name"];
/// Inputs that hold the value of a marker node, preferred first.
const MARKER_VALUES: [&str; 3] = ["value", "default_value", "default"];

/// A text with placeholders.
pub(super) struct Template {
    pub(super) place: usize,
    pub(super) input: String,
    pub(super) text: String,
    /// Whether the whole text is one placeholder.
    is_whole: bool,
}

/// A node that declares a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// Declares it by a widget such as `input_id`.
    Widget(usize),
    /// Declares it by its title `$name`.
    Title(usize),
}

/// The placeholders of one name.
#[derive(Default)]
struct Slot {
    /// Indexes of the templates with the name, each once.
    templates: Vec<usize>,
    /// Whether one of them has no default.
    is_bare: bool,
}

/// The names that a graph declares.
#[derive(Default)]
pub(super) struct Names {
    pub(super) templates: Vec<Template>,
    slots: HashMap<String, Slot>,
    markers: HashMap<String, Vec<Marker>>,
}

impl Names {
    pub(super) fn of(workflow: &Workflow, budget: &Budget) -> Self {
        let mut names = Self::default();
        for (place, node) in workflow.nodes().enumerate() {
            if !budget.spend(1 + node.inputs.len() / 4) {
                break;
            }
            if let Some(name) = node.title.as_deref().and_then(|title| title.strip_prefix('$')) {
                names.mark(name, Marker::Title(place));
            }
            for (input, value) in &node.inputs {
                if may_have_slots(value.get()) {
                    names.template(place, input, raw_value::text(value).unwrap_or_default(), budget);
                } else if MARKER_WIDGETS.contains(&input.as_str())
                    && let Some(name) = raw_value::text(value)
                {
                    names.mark(&name, Marker::Widget(place));
                }
            }
        }
        names
    }

    /// Whether it declares no name.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.markers.is_empty()
    }

    /// Whether there is a placeholder with the name.
    pub(super) fn has_slot(&self, name: &str) -> bool {
        self.slots.contains_key(name)
    }

    /// Whether a placeholder with the name has no default.
    pub(super) fn needs_value(&self, name: &str) -> bool {
        self.slots.get(name).is_some_and(|slot| slot.is_bare)
    }

    /// Returns the inputs whose whole text is the placeholder of the name; `""` for a text of which it is only a part.
    pub(super) fn inputs_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let indexes = self.slots.get(name).map(|slot| slot.templates.as_slice()).unwrap_or_default();
        let templates = indexes.iter().filter_map(|&index| self.templates.get(index));
        templates.map(|template| if template.is_whole { template.input.as_str() } else { "" })
    }

    /// Returns the marker nodes with the name.
    pub(super) fn markers(&self, name: &str) -> &[Marker] {
        self.markers.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns all names, with repetitions.
    pub(super) fn all(&self) -> impl Iterator<Item = String> {
        self.slots.keys().chain(self.markers.keys()).cloned()
    }

    fn mark(&mut self, name: &str, marker: Marker) {
        if !name.is_empty() {
            self.markers.entry(name.to_owned()).or_default().push(marker);
        }
    }

    fn template(&mut self, place: usize, input: &str, text: String, budget: &Budget) {
        let index = self.templates.len();
        let found = pieces(&text, budget);
        if !budget.spend(1 + found.len()) {
            return;
        }
        let is_whole = matches!(found.as_slice(), [Piece::Slot { .. }]);
        // A text without placeholders is kept only if it has an escape.
        if matches!(found.as_slice(), [] | [Piece::Text(_)]) && !text.contains("\\{{") {
            return;
        }
        for piece in found {
            if let Piece::Slot { name, default } = piece {
                // A text may name one placeholder very often.
                let slot = match self.slots.get_mut(name) {
                    Some(slot) => slot,
                    None => self.slots.entry(name.to_owned()).or_default(),
                };
                slot.is_bare |= default.is_none();
                if slot.templates.last() != Some(&index) {
                    slot.templates.push(index);
                }
            }
        }
        self.templates.push(Template { place, input: input.to_owned(), text, is_whole });
    }
}

impl Marker {
    pub(super) fn place(self) -> usize {
        match self {
            Self::Widget(place) | Self::Title(place) => place,
        }
    }

    /// Returns the inputs that a plain value could be for; more than one is ambiguous.
    pub(super) fn targets(self, node: &Node) -> Vec<&str> {
        match self {
            Self::Widget(_) => {
                let value = MARKER_VALUES.into_iter().find(|name| node.input(name).is_some());
                value.into_iter().collect()
            }
            Self::Title(_) => {
                let primitive =
                    node.inputs.iter().filter(|(_, value)| !raw_value::is_array(value) && !raw_value::is_object(value));
                primitive.map(|(name, _)| name.as_str()).collect()
            }
        }
    }
}
