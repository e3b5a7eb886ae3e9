//! Writes the API format: values unchanged, lists wrapped so that they are not taken for links.

use super::{
    CONVERTED_BYTES_MAX,
    editor_node::Node,
    node_inputs::{Inputs, Value},
};
use crate::{graph::catalog::Class, json::raw_value};
use serde_json::value::RawValue;

/// Writer of `{id: {"inputs": {…}, "class_type": …, "_meta": {"title": …}}}`, node by node.
#[derive(Default)]
pub(super) struct Writer {
    json: String,
}

impl Writer {
    pub(super) fn node(&mut self, id: &str, node: &Node<'_>, class: &Class, inputs: &Inputs<'_>) {
        let separator = if self.json.is_empty() { '{' } else { ',' };
        self.json.push(separator);
        self.text(id);
        self.json.push_str(":{\"inputs\":{");
        for (at, (name, value)) in inputs.iter().enumerate() {
            // One value may be linked to many inputs.
            if self.json.len() > CONVERTED_BYTES_MAX {
                return;
            }
            if at > 0 {
                self.json.push(',');
            }
            self.text(name);
            self.json.push(':');
            match value {
                Value::Literal(value) if raw_value::is_array(value) => {
                    self.json.push_str("{\"__value__\":");
                    self.json.push_str(value.get());
                    self.json.push('}');
                }
                Value::Literal(value) => self.json.push_str(value.get()),
                Value::Link { id, slot } => {
                    self.json.push('[');
                    self.text(id);
                    self.json.push_str(&format!(",{slot}]"));
                }
            }
        }
        self.json.push_str("},\"class_type\":");
        self.text(&node.class);
        self.json.push_str(",\"_meta\":{\"title\":");
        self.text(node.title.as_ref().or(class.title.as_ref()).unwrap_or(&node.class));
        self.json.push_str("}}");
    }

    pub(super) fn len(&self) -> usize {
        self.json.len()
    }

    pub(super) fn finish(mut self) -> Box<RawValue> {
        self.json.push_str(if self.json.is_empty() { "{}" } else { "}" });
        RawValue::from_string(self.json).expect("objects of quoted names and of values that are JSON themselves")
    }

    fn text(&mut self, text: &str) {
        self.json.push_str(raw_value::quote(text).get());
    }
}
