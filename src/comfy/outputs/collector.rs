//! Collects files and values from the ui results of nodes, item by item, up to the limits.
//!
//! Invariant: a file or value that is left out has a warning that names node, key and reason; null, `[]`, `{}` and the flags
//! of `animated` carry nothing.

use super::values::{self, Item};
use crate::{
    comfy::{NodeOutput, RemoteFile, error_text::FailedNode, limits, remote_file::NameProblem},
    json::{each_element, each_member, member},
    task::{Failure, FailureKind, OutputWarning},
};
use serde_json::value::RawValue;
use std::{collections::HashSet, ops::ControlFlow};

/// Depth of nested lists that are searched: `{"images":[[{…}]]}`.
const LISTS_MAX: u8 = 2;

/// Files and values found so far.
pub(super) struct Collector {
    pub(super) outputs: Vec<NodeOutput>,
    seen: HashSet<RemoteFile>,
    /// Size of the values that become part of the task.
    text_bytes: usize,
    pub(super) warnings: Vec<OutputWarning>,
    /// The first fault: a name that no request can be made from, or too many files.
    pub(super) fault: Option<Failure>,
    /// Memory that the outputs may still take.
    memory_left: usize,
}

impl Collector {
    /// A collector that stops when its outputs take more memory.
    pub(super) fn new(memory_max: usize) -> Self {
        Self {
            outputs: Vec::new(),
            seen: HashSet::new(),
            text_bytes: 0,
            warnings: Vec::new(),
            fault: None,
            memory_left: memory_max,
        }
    }

    /// Adds the outputs of a node. `ui` is `{ui key:value}` or null.
    pub(super) fn add_node(&mut self, node_id: &str, ui: &RawValue) {
        let animated = animated_flags(ui);
        // A node without outputs has `null`.
        let _read = each_member(ui.get(), |key, value| {
            let key = &key[..key.floor_char_boundary(limits::WORD_BYTES_MAX)];
            if key == "animated" && values::is_flags(value) {
                return ControlFlow::Continue(());
            }
            let entry = UiEntry { node_id, key, is_text: values::is_text_key(key), animated: &animated };
            self.add(&entry, value, 0, &mut 0)
        });
    }

    /// `lists` counts the enclosing lists, `index` the files found so far. Breaks when no output fits any more.
    fn add(&mut self, entry: &UiEntry<'_>, value: &RawValue, lists: u8, index: &mut usize) -> ControlFlow<()> {
        match values::item(value, entry.is_text) {
            Item::Nothing => ControlFlow::Continue(()),
            Item::List(list) if lists < LISTS_MAX && list.is_walked(lists == 0, entry.is_text) => {
                let mut flow = ControlFlow::Continue(());
                let _read = each_element(value.get(), |item| {
                    flow = self.add(entry, item, lists + 1, index);
                    flow
                });
                flow
            }
            Item::List(_) | Item::Object => {
                self.add_value(entry, (crate::task::OutputKind::Json, value.get().to_owned()), value)
            }
            Item::File(Ok(file)) => {
                *index += 1;
                let is_animated = entry.is_animated(*index - 1);
                self.add_file(entry, file, is_animated, false)
            }
            Item::File(Err(NameProblem::Elsewhere(reason))) => {
                *index += 1;
                // The place is worth having.
                self.warn(entry, &format!("{reason}; the node's answer is kept as JSON"));
                self.add_value(entry, (crate::task::OutputKind::Json, value.get().to_owned()), value)
            }
            Item::File(Err(NameProblem::Unusable(reason))) => {
                *index += 1;
                self.warn(entry, &reason);
                let message = format!("an output cannot be fetched: {reason}");
                self.fail(entry.node_id, FailureKind::OutputUnavailable, &message);
                ControlFlow::Continue(())
            }
            Item::Path(file) => {
                *index += 1;
                self.add_file(entry, file, false, true)
            }
            Item::Value(kind, text) => self.add_value(entry, (kind, text), value),
        }
    }

    fn add_file(
        &mut self,
        entry: &UiEntry<'_>,
        file: RemoteFile,
        animated: bool,
        is_bare_path: bool,
    ) -> ControlFlow<()> {
        if self.seen.contains(&file) {
            return ControlFlow::Continue(());
        }
        if self.outputs.len() == limits::OUTPUTS_MAX {
            let message = format!("the prompt has more than {} outputs", limits::OUTPUTS_MAX);
            self.fail(entry.node_id, FailureKind::OutputTooLarge, &message);
            return ControlFlow::Break(());
        }
        self.seen.insert(file.clone());
        let (node_id, key) = (entry.node_id.to_owned(), entry.key.to_owned());
        self.push(NodeOutput::File { node_id, key, file, animated, is_bare_path })
    }

    fn add_value(
        &mut self,
        entry: &UiEntry<'_>,
        (kind, text): (crate::task::OutputKind, String),
        raw: &RawValue,
    ) -> ControlFlow<()> {
        if self.outputs.len() == limits::OUTPUTS_MAX {
            self.warn(entry, &format!("the prompt has more than {} outputs", limits::OUTPUTS_MAX));
            return ControlFlow::Continue(());
        }
        if raw.get().len() > limits::LONG_TEXT_BYTES_MAX && text.len() + 4 > limits::LONG_TEXT_BYTES_MAX {
            self.warn(entry, &format!("only its first {} bytes are kept", limits::LONG_TEXT_BYTES_MAX));
        }
        let is_short = text.len() <= limits::TEXT_BYTES_MAX && self.text_bytes + text.len() <= limits::TEXTS_BYTES_MAX;
        if is_short {
            self.text_bytes += text.len();
        }
        let (node_id, key) = (entry.node_id.to_owned(), entry.key.to_owned());
        self.push(NodeOutput::Value { node_id, key, kind, text, is_short })
    }

    fn push(&mut self, output: NodeOutput) -> ControlFlow<()> {
        let Some(left) = self.memory_left.checked_sub(output.memory()) else {
            self.memory_left = 0;
            return ControlFlow::Break(());
        };
        self.memory_left = left;
        self.outputs.push(output);
        ControlFlow::Continue(())
    }

    /// Records a warning; one for each key of a node.
    fn warn(&mut self, entry: &UiEntry<'_>, reason: &str) {
        let warning = OutputWarning::dropped(entry.node_id, entry.key, reason);
        if self.warnings.len() < OutputWarning::MAX && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Records the first fault.
    fn fail(&mut self, node_id: &str, kind: FailureKind, message: &str) {
        self.fault.get_or_insert_with(|| {
            let node = FailedNode { node_id: Some(node_id.to_owned()), ..FailedNode::default() };
            node.into_failure(kind, message)
        });
    }
}

/// Value of a single ui key of a node.
struct UiEntry<'a> {
    node_id: &'a str,
    key: &'a str,
    is_text: bool,
    animated: &'a [bool],
}

impl UiEntry<'_> {
    /// Whether the file at `index` is animated. `"animated":[true]` is one flag for all files, or one for each.
    fn is_animated(&self, index: usize) -> bool {
        self.animated.get(index).or_else(|| self.animated.first()).copied().unwrap_or(false)
    }
}

fn animated_flags(ui: &RawValue) -> Vec<bool> {
    let mut flags = Vec::new();
    let Some(raw) = member(ui.get(), "animated") else { return flags };
    let is_list = each_element(raw.get(), |flag| {
        flags.push(flag.get() == "true");
        if flags.len() < limits::OUTPUTS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if is_list.is_none() {
        flags.push(raw.get() == "true");
    }
    flags
}
