//! Parses the editor's format: nodes with their slots, links in both forms, subgraph definitions.

use super::{
    Fault,
    named_list::NamedList,
    roles::{self, Role},
};
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
    /// Inputs of a subgraph.
    pub(super) inputs: NamedList<Inlet>,
    /// Inner link behind each output of a subgraph.
    pub(super) outputs: HashMap<usize, Link>,
    /// Places of the nodes that are written, or that stand for a subgraph.
    pub(super) live: Vec<usize>,
    /// Ids of the nodes that links come from.
    pub(super) origins: HashSet<String>,
    /// Places of the nodes that name a link, by that name.
    pub(super) setters: HashMap<String, usize>,
}

/// An input of a subgraph.
pub(super) struct Inlet {
    pub(super) kind: String,
    /// The inner socket of a widget (node, input) that provides its value; `None` = it takes only links.
    pub(super) widget: Option<(usize, usize)>,
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
    /// The `properties.proxyWidgets` of a node that stands for a subgraph: ids of inner nodes and their widgets, in the
    /// order of its values.
    pub(super) proxies: Vec<(String, String)>,
    pub(super) role: Role,
    /// Whether the editor made it from a class of an instance, as far as the file tells.
    pub(super) is_of_class: bool,
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
#[derive(Clone, PartialEq)]
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
        // Inside a subgraph the editor enters nested ones whatever their mode.
        root.live.retain(|&place| root.nodes[place].mode == Mode::Runs);
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
        for link in member(members, "links").and_then(raw_value::elements).unwrap_or_default() {
            // The editor leaves null in place of removed links.
            if link.get() != "null" {
                graph.link(link).ok_or_else(|| format!("invalid link: {}", clip(link.get())))?;
            }
        }
        graph.read_inputs(members);
        graph.live = (0..graph.nodes.len()).filter(|&place| graph.nodes[place].is_written()).collect();
        for (place, node) in graph.nodes.iter().enumerate().filter(|(_, node)| node.role == Role::Setter) {
            if let Some(name) = roles::name_of(node) {
                graph.setters.entry(name).or_insert(place);
            }
        }
        Ok(graph)
    }

    /// Reads the inputs of a subgraph, and which of them have a widget inside: that of the first link to one.
    fn read_inputs(&mut self, members: &Members<'a>) {
        let mut linked: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut sockets: HashMap<&str, (usize, usize)> = HashMap::new();
        for (place, node) in self.nodes.iter().enumerate() {
            for (at, slot) in node.inputs.values().enumerate() {
                let Some(link) = slot.link.as_deref().filter(|_| slot.is_widget) else { continue };
                sockets.entry(link).or_insert((place, at));
                if let Some(link) = self.links.get(link).filter(|link| link.origin == INPUT_NODE) {
                    if linked.len() <= link.slot.min(INPUTS_MAX) {
                        linked.resize_with(link.slot.min(INPUTS_MAX) + 1, Vec::new);
                    }
                    linked[link.slot.min(INPUTS_MAX)].push((place, at));
                }
            }
        }
        let slots = member(members, "inputs").and_then(raw_value::elements).unwrap_or_default();
        let inlets = slots.into_iter().enumerate().map(|(at, slot)| {
            let slot = raw_value::borrowed_members(slot).unwrap_or_default();
            let ordered = member(&slot, "linkIds").and_then(raw_value::elements).unwrap_or_default();
            let first = ordered.into_iter().find_map(|id| sockets.get(id_of(id)?.as_str()).copied());
            let widget = first.or_else(|| linked.get(at)?.first().copied());
            let name = member(&slot, "name").and_then(raw_value::text).unwrap_or_default();
            (name, Inlet { kind: type_of(&slot), widget })
        });
        self.inputs = NamedList::new(inlets.collect());
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
            self.outputs.entry(number(target_slot)?).or_insert_with(|| link.clone());
        }
        self.origins.insert(link.origin.clone());
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
        let properties = member(&members, "properties").and_then(raw_value::borrowed_members).unwrap_or_default();
        let proxies = member(&properties, "proxyWidgets").and_then(raw_value::elements).unwrap_or_default();
        let proxies = proxies.into_iter().filter_map(|proxy| {
            let parts = raw_value::elements(proxy)?;
            Some((id_of(parts.first()?)?, raw_value::text(parts.get(1)?)?))
        });
        let (inputs, outputs): (_, Vec<String>) = (list("inputs"), outputs.collect());
        if inputs.len() > INPUTS_MAX {
            return Err(format!("node {}: it has more than {INPUTS_MAX} inputs", clip(&id)));
        }
        let inputs: Vec<(String, Slot)> = inputs.into_iter().map(Slot::read).collect();
        if inputs.iter().map(|(_, slot)| &slot.kind).chain(&outputs).any(|kind| kind.len() > TYPE_BYTES_MAX) {
            return Err(format!("node {}: the type of a slot is longer than {TYPE_BYTES_MAX} bytes", clip(&id)));
        }
        Ok(Self {
            role: Role::of(&class),
            is_of_class: ["Node name for S&R", "cnr_id"].iter().any(|name| member(&properties, name).is_some()),
            proxies: proxies.collect(),
            title: text("title").filter(|title| !title.is_empty()),
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

    /// Whether it is written, or a reason not to write anything.
    fn is_written(&self) -> bool {
        matches!(self.role, Role::Runs | Role::Broadcaster)
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
