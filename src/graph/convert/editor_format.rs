//! Parses the editor's format: nodes with their slots, links in both forms, subgraph definitions.

use super::{Fault, named_list::NamedList, resolve_links::is_virtual};
use crate::{
    graph::parse::{INPUTS_MAX, NODE_ID_BYTES_MAX},
    json::{Member, raw_value},
    problem::clip,
};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

/// Virtual node that provides the inputs of a subgraph.
pub(super) const INPUT_NODE: &str = "-10";
/// Virtual node that takes the outputs of a subgraph.
pub(super) const OUTPUT_NODE: &str = "-20";

/// Longest type of a slot, bytes: some are lists of types, which are compared with one another.
const TYPE_BYTES_MAX: usize = 1_000;

/// A workflow in the editor's format.
pub(super) struct Document<'a> {
    pub(super) root: Graph<'a>,
    /// Subgraphs; a node that stands for one holds its place here.
    pub(super) subgraphs: Vec<Graph<'a>>,
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
    /// Places of the nodes that run, in order.
    pub(super) live: Vec<usize>,
    /// A node that stands for a subgraph and does not run, although nodes of that subgraph would.
    pub(super) half_muted: Option<usize>,
    /// Inputs of a subgraph that are widgets inside, by name, with their position among these widgets.
    pub(super) promoted: HashMap<String, usize>,
    /// Number of these widgets.
    pub(super) promoted_count: usize,
}

/// A node in the editor's format.
pub(super) struct Node<'a> {
    pub(super) id: String,
    pub(super) class: String,
    pub(super) title: Option<String>,
    pub(super) mode: Mode,
    pub(super) inputs: NamedList<Slot>,
    /// Types of the outputs.
    pub(super) outputs: Vec<String>,
    pub(super) values: Values<'a>,
    /// The place of the subgraph that it stands for.
    pub(super) subgraph: Option<usize>,
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

/// An input slot of a node, without its name.
pub(super) struct Slot {
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
    Named(NamedList<&'a RawValue>),
}

type Members<'a> = Vec<Member<'a>>;

impl<'a> Document<'a> {
    pub(super) fn read(json: &'a RawValue) -> Result<Self, Fault> {
        let members = raw_value::borrowed_members(json).unwrap_or_default();
        let definitions = member(&members, "definitions").and_then(raw_value::borrowed_members).unwrap_or_default();
        let (mut subgraphs, mut places) = (Vec::new(), HashMap::new());
        for definition in member(&definitions, "subgraphs").and_then(raw_value::elements).unwrap_or_default() {
            let members = raw_value::borrowed_members(definition).ok_or("a subgraph is not an object")?;
            let id = member(&members, "id").and_then(raw_value::text).ok_or("a subgraph has no id")?;
            places.insert(id, subgraphs.len());
            subgraphs.push(Graph::read(&members)?);
        }
        let mut root = Graph::read(&members)?;
        for graph in subgraphs.iter_mut().chain([&mut root]) {
            graph.nodes.iter_mut().for_each(|node| node.subgraph = places.get(&node.class).copied());
        }
        let runs: Vec<bool> = subgraphs.iter().map(|graph| !graph.live.is_empty()).collect();
        for graph in subgraphs.iter_mut().chain([&mut root]) {
            let is_half_muted = |node: &Node<'_>| !node.is_live() && node.subgraph.is_some_and(|place| runs[place]);
            graph.half_muted = graph.nodes.iter().position(is_half_muted);
        }
        Ok(Self { root, subgraphs })
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
        graph.live = (0..graph.nodes.len()).filter(|&place| graph.nodes[place].is_live()).collect();
        graph.promote();
        Ok(graph)
    }

    /// Finds the inputs of a subgraph that are widgets inside.
    fn promote(&mut self) {
        let sockets = self.nodes.iter().flat_map(|node| node.inputs.values()).filter(|slot| slot.is_widget);
        let links = sockets.filter_map(|slot| self.links.get(slot.link.as_ref()?));
        let slots: HashSet<usize> = links.filter(|link| link.origin == INPUT_NODE).map(|link| link.slot).collect();
        for (_, name) in self.inputs.iter().enumerate().filter(|(slot, _)| slots.contains(slot)) {
            self.promoted.entry(name.clone()).or_insert(self.promoted_count);
            self.promoted_count += 1;
        }
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
        let short = |json| id_of(json).filter(|id| id.len() <= NODE_ID_BYTES_MAX);
        let link = Link { origin: short(origin)?, slot: number(slot)? };
        if short(target)? == OUTPUT_NODE {
            self.outputs.insert(number(target_slot)?, link.clone());
        }
        self.links.insert(short(id)?, link);
        Some(())
    }
}

impl<'a> Node<'a> {
    fn read(json: &'a RawValue) -> Result<Self, Fault> {
        let members = raw_value::borrowed_members(json).ok_or("a node is not an object")?;
        let text = |name: &str| member(&members, name).and_then(raw_value::text);
        let id = member(&members, "id").and_then(id_of).ok_or("a node has no id")?;
        if id.len() > NODE_ID_BYTES_MAX {
            return Err(format!("node {}: its id is longer than {NODE_ID_BYTES_MAX} bytes", clip(&id)));
        }
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
            (Some(named), _) => Values::Named(NamedList::new(named)),
            (None, Some(list)) => Values::List(list),
            (None, None) if values.get() == "null" => Values::List(Vec::new()),
            (None, None) => {
                return Err(format!("node {}: its widgets_values are neither a list nor an object", clip(&id)));
            }
        };
        let (inputs, outputs): (_, Vec<String>) = (list("inputs"), outputs.collect());
        if inputs.len() > INPUTS_MAX {
            return Err(format!("node {}: it has more than {INPUTS_MAX} inputs", clip(&id)));
        }
        let inputs: Vec<(String, Slot)> = inputs.into_iter().map(Slot::read).collect();
        if inputs.iter().map(|(_, slot)| &slot.kind).chain(&outputs).any(|kind| kind.len() > TYPE_BYTES_MAX) {
            return Err(format!("node {}: the type of a slot is longer than {TYPE_BYTES_MAX} bytes", clip(&id)));
        }
        Ok(Self {
            title: text("title"),
            mode,
            inputs: NamedList::new(inputs),
            outputs,
            values,
            subgraph: None,
            order: member(&members, "order").and_then(|order| order.get().parse().ok()).unwrap_or(i64::MAX),
            id,
            class,
        })
    }

    /// Whether it runs.
    fn is_live(&self) -> bool {
        self.mode == Mode::Runs && !is_virtual(self)
    }
}

impl Slot {
    /// Reads a slot and its name.
    fn read(json: &RawValue) -> (String, Self) {
        let members = raw_value::borrowed_members(json).unwrap_or_default();
        let slot = Self {
            kind: type_of(&members),
            link: member(&members, "link").and_then(id_of),
            is_widget: member(&members, "widget").is_some_and(raw_value::is_object),
        };
        (member(&members, "name").and_then(raw_value::text).unwrap_or_default(), slot)
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
