//! Graph of a queued prompt: nodes by id, and the nodes that others expanded into.

use crate::sim::nodes::classes::{self, Class};
use serde_json::{Map, Value};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// A node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub class_name: String,
    pub class: Option<&'static Class>,
    pub inputs: Arc<Map<String, Value>>,
    /// The node that expanded into this one.
    pub parent: Option<String>,
}

impl Node {
    pub(crate) fn is_output(&self) -> bool {
        self.class.is_some_and(|class| class.is_output)
    }

    pub(crate) fn is_async(&self) -> bool {
        self.class_name == "TestAsync"
    }

    /// Returns the links in the order of the inputs: `(node, slot)`.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&str, usize)> {
        self.inputs.values().filter_map(link)
    }
}

/// Parses `["node", slot]`.
pub(crate) fn link(value: &Value) -> Option<(&str, usize)> {
    match value.as_array()?.as_slice() {
        [Value::String(node), Value::Number(slot)] => {
            let slot = slot.as_u64().or_else(|| slot.as_f64().map(|_| 0))?;
            Some((node, usize::try_from(slot).unwrap_or(usize::MAX)))
        }
        _ => None,
    }
}

/// The nodes of a prompt.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: HashMap<String, Node>,
    /// Ids in the order of the prompt, without expanded nodes.
    pub ids: Vec<String>,
}

impl Graph {
    /// Reads the graph; `None` if a node has no inputs, even an unused one. The worker of the real server dies of it.
    pub(crate) fn read(prompt: &Value) -> Option<Self> {
        let mut graph = Self::default();
        for (id, node) in prompt.as_object()? {
            let inputs = node.get("inputs")?.as_object()?.clone();
            graph.insert(id, node["class_type"].as_str().unwrap_or_default(), inputs, None);
            graph.ids.push(id.clone());
        }
        Some(graph)
    }

    pub(crate) fn insert(&mut self, id: &str, class: &str, inputs: Map<String, Value>, parent: Option<&str>) {
        let node = Node {
            class_name: class.to_owned(),
            class: classes::find(class),
            inputs: Arc::new(inputs),
            parent: parent.map(str::to_owned),
        };
        self.nodes.insert(id.to_owned(), node);
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// Whether a node that these outputs need is linked to one that does not exist, in an input that its class does not
    /// declare and that was therefore not validated. The worker of the real server dies of it.
    pub(crate) fn leads_nowhere(&self, outputs: &[String], has_result: &dyn Fn(&str) -> bool) -> bool {
        let (mut left, mut seen): (Vec<&str>, _) = (outputs.iter().map(String::as_str).collect(), HashSet::new());
        while let Some(id) = left.pop() {
            let Some(node) = self.get(id) else { return true };
            left.extend(node.links().map(|(from, _)| from).filter(|from| !has_result(from) && seen.insert(*from)));
        }
        false
    }

    pub(crate) fn parent(&self, id: &str) -> Option<&str> {
        self.get(id)?.parent.as_deref()
    }

    /// Returns the node of the prompt that this one belongs to, which clients display.
    pub(crate) fn shown_as<'a>(&'a self, id: &'a str) -> &'a str {
        let mut at = id;
        while let Some(parent) = self.parent(at) {
            at = parent;
        }
        at
    }
}
