//! Values on links, and the results of nodes.

use crate::sim::{nodes::drawing::Picture, python};
use serde_json::{Map, Value, json};
use std::{collections::HashMap, sync::Arc};

/// Value of a link.
#[derive(Debug, Clone)]
pub(crate) enum NodeValue {
    /// IMAGE, LATENT, MASK.
    Picture(Picture),
    /// A number, text or flag.
    Json(Value),
    /// MODEL, CLIP, CONDITIONING, NOISE …
    Conditioning(Arc<Conditioning>),
    /// AUDIO: sample rate and channels.
    Sound(u32, u32),
    /// VIDEO.
    Film(Picture),
    /// An ExecutionBlocker; silent without a message.
    Blocked(Option<String>),
    /// Any other value; its content is not used.
    Opaque,
}

/// Text and numbers that a picture will show.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditioning {
    pub text: Option<String>,
    pub seed: Option<u64>,
    pub steps: Option<u64>,
}

/// Result of a node.
#[derive(Debug, Default)]
pub(crate) struct NodeResult {
    pub outputs: Vec<NodeValue>,
    pub ui: Option<Value>,
    /// A node to run in its place.
    pub expand: Option<(&'static str, Map<String, Value>)>,
}

impl NodeResult {
    pub(crate) fn of(outputs: Vec<NodeValue>) -> Self {
        Self { outputs, ..Self::default() }
    }

    pub(crate) fn with_ui(outputs: Vec<NodeValue>, ui: Value) -> Self {
        Self { outputs, ui: Some(ui), expand: None }
    }
}

/// Failure of a node.
#[derive(Debug)]
pub(crate) enum NodeFailure {
    Error {
        class: String,
        message: String,
        is_oom: bool,
    },
    Interrupted,
    /// `SystemExit`: ends the worker thread.
    WorkerDied,
    /// Ends the process.
    ProcessDied,
}

impl NodeFailure {
    pub(crate) fn error(class: &str, message: impl Into<String>) -> Self {
        Self::Error { class: class.to_owned(), message: message.into(), is_oom: false }
    }

    pub(crate) fn oom(message: impl Into<String>) -> Self {
        Self::Error { class: "torch.OutOfMemoryError".to_owned(), message: message.into(), is_oom: true }
    }
}

/// Returns the inputs as an error shows them: `{name: ["…"]}`.
pub(crate) fn shown(inputs: &HashMap<String, NodeValue>) -> Value {
    let show = |value: &NodeValue| match value {
        NodeValue::Json(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => value.clone(),
        NodeValue::Json(value) => Value::from(python::str_of(value)),
        NodeValue::Picture(_) | NodeValue::Film(_) => Value::from("tensor([[[[0., 0., 0.]]]])"),
        NodeValue::Conditioning(_) | NodeValue::Sound(..) | NodeValue::Blocked(_) | NodeValue::Opaque => {
            Value::from("<object>")
        }
    };
    Value::Object(inputs.iter().map(|(name, value)| (name.clone(), json!([show(value)]))).collect())
}
