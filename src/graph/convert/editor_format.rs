//! Parses the editor's format: nodes with their slots, links in both forms, subgraph definitions.

use super::Fault;
use crate::{
    json::{Member, raw_value},
    problem::clip,
};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Virtual node that provides the inputs of a subgraph.
pub(super) const INPUT_NODE: &str = "-10";
/// Virtual node that takes the outputs of a subgraph.
pub(super) const OUTPUT_NODE: &str = "-20";

/// A workflow in the editor's format.
pub(super) struct Document<'a> {
    pub(super) root: Graph<'a>,
    /// Subgraphs by id, which is the type of the nodes that stand for them.
    pub(super) subgraphs: HashMap<String, Graph<'a>>,
}

/// The top level, or one subgraph.
#[derive(Default)]
pub(super) struct Graph<'a> {
    /// Nodes in the order in which the editor runs them.
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) places: HashMap<String, usize>,
    pub(super) links: HashMap<String, Link>,
    /// Input names of a subgraph.
    pub(super) inputs: Vec<String>,
    /// Inner link behind each output of a subgraph.
    pub(super) outputs: HashMap<usize, Link>,
}

/// A node in the editor's format.
pub(super) struct Node<'a> {
    pub(super) id: String,
    pub(super) class: String,
    pub(super) title: Option<String>,
    pub(super) mode: Mode,
    pub(super) inputs: Vec<Slot>,
    /// Types of the outputs.
    pub(super) outputs: Vec<String>,
    pub(super) values: Values<'a>,
    order: i64,
}

/// Execution mode of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Runs,
    /// The node is omitted, and inputs linked to it too.
    Muted,
    /// The node is omitted and its inputs are passed through.
    Bypassed,
}

/// An input slot of a node.
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) link: Option<String>,
    /// Whether it is the socket of a widget.
    pub(super) is_widget: bool,
}

/// The source of a link.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) origin: String,
    pub(super) slot: usize,
}

/// The values of the widgets.
pub(super) enum Values<'a> {
    /// Values in the order of the widgets.
    List(Vec<&'a RawValue>),
    /// Values by widget name.
    Named(Vec<(String, &'a RawValue)>),
}

type Members<'a> = Vec<Member<'a>>;

impl<'a> Document<'a> {
    pub(super) fn read(json: &'a RawValue) -> Result<Self, Fault> {
        let members = raw_value::borrowed_members(json).unwrap_or_default();
        let definitions = member(&members, "definitions").and_then(raw_value::borrowed_members).unwrap_or_default();
        let mut subgraphs = HashMap::new();
        for definition in member(&definitions, "subgraphs").and_then(raw_value::elements).unwrap_or_default() {
            let members = raw_value::borrowed_members(definition).ok_or("a subgraph is not an object")?;
            let id = member(&members, "id").and_then(raw_value::text).ok_or("a subgraph has no id")?;
            subgraphs.insert(id, Graph::read(&members)?);
        }
        Ok(Self { root: Graph::read(&members)?, subgraphs })
    }
}

impl<'a> Graph<'a> {
    fn read(members: &Members<'a>) -> Result<Self, Fault> {
        let mut graph = Self::default();
        for node in member(members, "nodes").and_then(raw_value::elements).unwrap_or_default() {
            graph.nodes.push(Node::read(node)?);
        }
        graph.nodes.sort_by_key(|node| node.order);
        for (place, node) in graph.nodes.iter().enumerate() {
            if graph.places.insert(node.id.clone(), place).is_some() {
                return Err(format!("two nodes have the id {}", clip(&node.id)));
            }
        }
        for name in member(members, "inputs").and_then(raw_value::elements).unwrap_or_default() {
            let slot = raw_value::borrowed_members(name).unwrap_or_default();
            graph.inputs.push(member(&slot, "name").and_then(raw_value::text).unwrap_or_default());
        }
        for link in member(members, "links").and_then(raw_value::elements).unwrap_or_default() {
            // The editor leaves null in place of removed links.
            if link.get() != "null" {
                graph.link(link).ok_or_else(|| format!("invalid link: {}", clip(link.get())))?;
            }
        }
        Ok(graph)
    }

    /// Reads `[id, origin, slot, target, slot, type]`, or an object with these members.
    fn link(&mut self, link: &RawValue) -> Option<()> {
        let (id, origin, slot, target, target_slot) = if let Some(list) = raw_value::elements(link) {
            let at = |place: usize| list.get(place).copied();
            (at(0)?, at(1)?, at(2)?, at(3)?, at(4)?)
        } else {
            let members = raw_value::borrowed_members(link)?;
            let of = |name: &str| member(&members, name);
            (of("id")?, of("origin_id")?, of("origin_slot")?, of("target_id")?, of("target_slot")?)
        };
        let link = Link { origin: id_of(origin)?, slot: number(slot)? };
        if id_of(target)? == OUTPUT_NODE {
            self.outputs.insert(number(target_slot)?, link.clone());
        }
        self.links.insert(id_of(id)?, link);
        Some(())
    }
}

impl<'a> Node<'a> {
    fn read(json: &'a RawValue) -> Result<Self, Fault> {
        let members = raw_value::borrowed_members(json).ok_or("a node is not an object")?;
        let text = |name: &str| member(&members, name).and_then(raw_value::text);
        let id = member(&members, "id").and_then(id_of).ok_or("a node has no id")?;
        let class = text("type").ok_or_else(|| format!("node {}: it has no type", clip(&id)))?;
        let mode = match member(&members, "mode").map(RawValue::get) {
            Some("2") => Mode::Muted,
            Some("4") => Mode::Bypassed,
            _ => Mode::Runs,
        };
        let list = |name: &str| member(&members, name).and_then(raw_value::elements).unwrap_or_default();
        let outputs =
            list("outputs").into_iter().map(|slot| type_of(&raw_value::borrowed_members(slot).unwrap_or_default()));
        let values = member(&members, "widgets_values").unwrap_or(RawValue::NULL);
        let values = match (raw_value::members(values), raw_value::elements(values)) {
            (Some(named), _) => Values::Named(named),
            (None, Some(list)) => Values::List(list),
            (None, None) if values.get() == "null" => Values::List(Vec::new()),
            (None, None) => {
                return Err(format!("node {}: its widgets_values are neither a list nor an object", clip(&id)));
            }
        };
        Ok(Self {
            title: text("title"),
            mode,
            inputs: list("inputs").into_iter().map(Slot::read).collect(),
            outputs: outputs.collect(),
            values,
            order: member(&members, "order").and_then(|order| order.get().parse().ok()).unwrap_or(i64::MAX),
            id,
            class,
        })
    }

    /// Finds the slot of that name.
    pub(super) fn slot(&self, name: &str) -> Option<(usize, &Slot)> {
        self.inputs.iter().enumerate().find(|(_, slot)| slot.name == name)
    }
}

impl Slot {
    fn read(json: &RawValue) -> Self {
        let members = raw_value::borrowed_members(json).unwrap_or_default();
        Self {
            name: member(&members, "name").and_then(raw_value::text).unwrap_or_default(),
            kind: type_of(&members),
            link: member(&members, "link").and_then(id_of),
            is_widget: member(&members, "widget").is_some_and(raw_value::is_object),
        }
    }
}

fn member<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(key, _)| key == name).map(|&(_, value)| value)
}

/// Reads an id, a number or a text.
fn id_of(json: &RawValue) -> Option<String> {
    match json.get().as_bytes().first()? {
        b'-' | b'0'..=b'9' => Some(json.get().to_owned()),
        _ => raw_value::text(json),
    }
}

fn number(json: &RawValue) -> Option<usize> {
    raw_value::text(json).as_deref().unwrap_or(json.get()).parse().ok()
}

/// Returns the type of a slot; a list means a combo, 0 means any type.
fn type_of(members: &Members<'_>) -> String {
    let Some(kind) = member(members, "type") else { return String::new() };
    match kind.get().as_bytes().first() {
        Some(b'"') => raw_value::text(kind).unwrap_or_default(),
        Some(b'[') => "COMBO".to_owned(),
        _ => String::new(),
    }
}
