//! The graph: nodes in their original order, inputs as raw JSON. Cloning is cheap; only changed nodes are copied.

use super::GraphLimits;
use crate::{json::raw_value, problem::Problem};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// Inputs of a node that are searched one by one; more of them get an index.
const UNINDEXED_MAX: usize = 16;

/// A graph in API format: `{node_id: {"class_type","inputs","_meta"?}}`, in its original order.
#[derive(Debug, Clone)]
pub struct Workflow {
    nodes: Vec<Arc<Node>>,
    places: Arc<HashMap<String, usize>>,
    limits: GraphLimits,
    /// The text it was read from, until it is changed.
    text: Option<Arc<RawValue>>,
    /// A cycle, or a chain of links that is too long.
    fault: Option<Arc<Problem>>,
}

/// A node of the graph.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) class: String,
    /// The `_meta.title`.
    pub(super) title: Option<String>,
    pub(super) inputs: Vec<(String, Box<RawValue>)>,
    /// Places of many inputs, made at the first search.
    index: OnceLock<HashMap<String, usize>>,
    /// All members in their original order; unknown ones are kept as they are.
    pub(super) members: Vec<Member>,
}

/// A member of a node's object.
#[derive(Debug, Clone)]
pub(super) enum Member {
    /// The `class_type`.
    Class,
    /// The `inputs`.
    Inputs,
    /// The `_meta`, or any other member.
    Other(String, Box<RawValue>),
}

impl Workflow {
    pub(super) fn assemble(nodes: Vec<Node>, limits: GraphLimits) -> Self {
        let places = nodes.iter().enumerate().map(|(place, node)| (node.id.clone(), place)).collect();
        Self {
            nodes: nodes.into_iter().map(Arc::new).collect(),
            places: Arc::new(places),
            limits,
            text: None,
            fault: None,
        }
    }

    /// Keeps the text that it was read from.
    pub(super) fn with_text(mut self, text: &RawValue) -> Self {
        self.text = Some(text.to_owned().into());
        self
    }

    /// Keeps the problem of its links, which is reported together with all others.
    pub(super) fn with_fault(mut self, fault: Option<Problem>) -> Self {
        self.fault = fault.map(Arc::new);
        self
    }

    /// Returns the problem of its links.
    pub(super) fn fault(&self) -> Option<&Problem> {
        self.fault.as_deref()
    }

    /// Returns the graph as JSON, with numbers as they were written; an unchanged graph gives the text it was read
    /// from.
    pub fn to_json(&self) -> Box<RawValue> {
        match &self.text {
            Some(text) => text.as_ref().to_owned(),
            None => serde_json::value::to_raw_value(self).expect("a map of strings and raw JSON always serialises"),
        }
    }

    /// Whether it differs from the text that it was read from.
    pub fn is_changed(&self) -> bool {
        self.text.is_none()
    }

    /// Returns the number of nodes.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the node ids in order.
    pub fn node_ids(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.id.as_str()).collect()
    }

    /// Returns the class of a node.
    pub fn class_of(&self, node_id: &str) -> Option<&str> {
        self.place_of(node_id).map(|place| self.nodes[place].class.as_str())
    }

    /// Sets an input to a text, adding it if the node lacks it; returns false if there is no such node.
    pub fn set_text(&mut self, node_id: &str, input: &str, text: &str) -> bool {
        let Some(place) = self.place_of(node_id) else { return false };
        self.put(place, input, raw_value::quote(text));
        true
    }

    /// Gives every node without `_meta` one with its class as title: ComfyUI from 0.33 on answers 500 if it replaces a
    /// node that has none (protocol §18).
    pub fn complete_meta(&mut self) {
        for node in &mut self.nodes {
            let is_meta = |member: &Member| matches!(member, Member::Other(key, _) if key == "_meta");
            if !node.members.iter().any(is_meta) {
                let title = raw_value::quote(&node.class);
                let meta = RawValue::from_string(format!("{{\"title\":{}}}", title.get()));
                let meta = meta.expect("an object with a quoted text is JSON");
                Arc::make_mut(node).members.push(Member::Other("_meta".to_owned(), meta));
                self.text = None;
            }
        }
    }

    pub(super) fn limits(&self) -> GraphLimits {
        self.limits
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().map(Arc::as_ref)
    }

    pub(super) fn node(&self, place: usize) -> &Node {
        &self.nodes[place]
    }

    pub(super) fn place_of(&self, node_id: &str) -> Option<usize> {
        self.places.get(node_id).copied()
    }

    /// Sets an input; appends it if the node lacks it.
    pub(super) fn put(&mut self, place: usize, input: &str, value: Box<RawValue>) {
        self.text = None;
        let node = Arc::make_mut(&mut self.nodes[place]);
        match node.find(input) {
            Some(at) => node.inputs[at].1 = value,
            None => {
                if let Some(index) = node.index.get_mut() {
                    index.insert(input.to_owned(), node.inputs.len());
                }
                node.inputs.push((input.to_owned(), value));
            }
        }
    }

    /// Removes an input.
    pub(super) fn remove(&mut self, place: usize, input: &str) {
        self.text = None;
        let node = Arc::make_mut(&mut self.nodes[place]);
        node.index = OnceLock::new();
        node.inputs.retain(|(name, _)| name != input);
    }
}

impl Node {
    pub(super) fn new(
        id: String,
        class: String,
        title: Option<String>,
        inputs: Vec<(String, Box<RawValue>)>,
        members: Vec<Member>,
    ) -> Self {
        Self { id, class, title, inputs, index: OnceLock::new(), members }
    }

    /// Returns the value of an input.
    pub(super) fn input(&self, input: &str) -> Option<&RawValue> {
        self.find(input).map(|at| self.inputs[at].1.as_ref())
    }

    /// Finds an input. A search takes the same time however many inputs there are.
    fn find(&self, input: &str) -> Option<usize> {
        if self.inputs.len() <= UNINDEXED_MAX {
            return self.inputs.iter().position(|(name, _)| name == input);
        }
        let index = self.index.get_or_init(|| {
            let mut index = HashMap::with_capacity(self.inputs.len());
            for (at, (name, _)) in self.inputs.iter().enumerate() {
                index.entry(name.clone()).or_insert(at);
            }
            index
        });
        index.get(input).copied()
    }
}

impl Serialize for Workflow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.nodes().map(|node| (&node.id, node)))
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.members.len()))?;
        for member in &self.members {
            match member {
                Member::Class => map.serialize_entry("class_type", &self.class)?,
                Member::Inputs => map.serialize_entry("inputs", &Inputs(&self.inputs))?,
                Member::Other(key, value) => map.serialize_entry(key, value)?,
            }
        }
        map.end()
    }
}

struct Inputs<'a>(&'a [(String, Box<RawValue>)]);

impl Serialize for Inputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
