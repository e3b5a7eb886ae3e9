//! Collects files and texts from the ui values of nodes, item by item, up to the limits.

use crate::{
    comfy::{NodeOutput, RemoteFile, error_text::FailedNode, limits, python_json},
    json::{each_element, each_member, member},
    task::{Failure, FailureKind},
};
use serde_json::value::RawValue;
use std::{collections::HashSet, ops::ControlFlow};

/// Depth of nested lists that are searched: `{"images":[[{…}]]}`.
const LISTS_MAX: u8 = 2;

/// Files and texts found so far.
pub(super) struct Collector {
    pub(super) outputs: Vec<NodeOutput>,
    seen: HashSet<RemoteFile>,
    text_bytes: usize,
    pub(super) dropped_texts: usize,
    /// The first fault.
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
            dropped_texts: 0,
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
            self.add_value(&UiEntry { node_id, key, is_text: is_text_key(key), animated: &animated }, value, 0, &mut 0)
        });
    }

    /// `lists` counts the enclosing lists, `index` the files found so far. Breaks when no output fits any more.
    fn add_value(&mut self, entry: &UiEntry<'_>, value: &RawValue, lists: u8, index: &mut usize) -> ControlFlow<()> {
        match value.get().as_bytes().first() {
            Some(b'[') if lists < LISTS_MAX => {
                let mut flow = ControlFlow::Continue(());
                let _read = each_element(value.get(), |item| {
                    flow = self.add_value(entry, item, lists + 1, index);
                    flow
                });
                flow
            }
            Some(b'{') => match RemoteFile::from_ui(value.get()) {
                Some(Ok(file)) => {
                    *index += 1;
                    self.add_file(entry, file, *index - 1)
                }
                Some(Err(reason)) => {
                    *index += 1;
                    self.fail(
                        entry.node_id,
                        FailureKind::OutputUnavailable,
                        &format!("an output cannot be fetched: {reason}"),
                    );
                    ControlFlow::Continue(())
                }
                None => ControlFlow::Continue(()),
            },
            Some(b'"' | b'-' | b'0'..=b'9') if entry.is_text => self.add_text(entry.node_id, value),
            _ => ControlFlow::Continue(()),
        }
    }

    fn add_file(&mut self, entry: &UiEntry<'_>, file: RemoteFile, index: usize) -> ControlFlow<()> {
        if self.seen.contains(&file) {
            return ControlFlow::Continue(());
        }
        if self.outputs.len() == limits::OUTPUTS_MAX {
            let message = format!("the prompt has more than {} outputs", limits::OUTPUTS_MAX);
            self.fail(entry.node_id, FailureKind::OutputTooLarge, &message);
            return ControlFlow::Break(());
        }
        self.seen.insert(file.clone());
        let (node_id, key, animated) = (entry.node_id.to_owned(), entry.key.to_owned(), entry.is_animated(index));
        self.push(NodeOutput::File { node_id, key, file, animated })
    }

    fn add_text(&mut self, node_id: &str, raw: &RawValue) -> ControlFlow<()> {
        let Some(text) = python_json::text(raw, limits::TEXT_BYTES_MAX) else { return ControlFlow::Continue(()) };
        if self.outputs.len() == limits::OUTPUTS_MAX || self.text_bytes + text.len() > limits::TEXTS_BYTES_MAX {
            self.dropped_texts += 1;
            return ControlFlow::Continue(());
        }
        self.text_bytes += text.len();
        self.push(NodeOutput::Text { node_id: node_id.to_owned(), text })
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

fn is_text_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.contains("text") || key.contains("string")
}
