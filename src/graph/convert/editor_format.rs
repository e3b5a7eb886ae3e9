//! Parses the editor's format: graphs of nodes, links in both forms, subgraph definitions.

use super::{
    Fault,
    editor_node::{Members, Mode, Node, id_of, member, number, type_of},
    group_nodes,
    named_list::NamedList,
    roles::{self, Role},
};
use crate::{
    graph::{
        FleetCatalog,
        parse::{INPUTS_MAX, NODE_ID_BYTES_MAX},
    },
    json::raw_value,
    problem::clip,
};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

/// Virtual node that provides the inputs of a subgraph.
pub(super) const INPUT_NODE: &str = "-10";
/// Virtual node that takes the outputs of a subgraph.
pub(super) const OUTPUT_NODE: &str = "-20";

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

/// The source of a link.
#[derive(Clone, PartialEq)]
pub(super) struct Link {
    pub(super) origin: String,
    pub(super) slot: usize,
}

impl<'a> Document<'a> {
    pub(super) fn read(json: &'a RawValue, pool: &FleetCatalog) -> Result<Self, Fault> {
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
        let mut groups = group_nodes::read(&members, pool)?;
        let group_places: HashMap<String, usize> =
            groups.iter().enumerate().map(|(at, group)| (group.name.clone(), at)).collect();
        let group_of = |node: &Node<'_>| group_places.get(group_nodes::group_of(&node.class)?).copied();
        let inner = groups.iter_mut().map(|group| std::mem::take(&mut group.graph));
        let first = subgraphs.len();
        subgraphs.extend(inner);
        for graph in subgraphs.iter_mut().chain([&mut root]) {
            for node in &mut graph.nodes {
                node.subgraph = places.get(&node.class).copied();
                if let (None, Some(group)) = (node.subgraph, group_of(node)) {
                    node.subgraph = Some(first + group);
                    node.proxies = groups[group].proxies(node);
                    node.is_group = true;
                }
            }
        }
        // Inside a subgraph the editor enters nested ones in any mode.
        root.live.retain(|&place| root.nodes[place].mode == Mode::Runs);
        Ok(Self { root, subgraphs })
    }
}

impl<'a> Graph<'a> {
    fn read(members: &Members<'a>) -> Result<Self, Fault> {
        let mut graph = Self::default();
        for node in member(members, "nodes").and_then(raw_value::elements).unwrap_or_default() {
            graph.nodes.push(Node::read(node, None)?);
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
        graph.read_broadcasts(members)?;
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

    /// Reads the links that the extension Use Everywhere makes, `extra.ue_links`: `[{"upstream": node id,
    /// "upstream_slot": 0, "downstream": node id, "downstream_slot": 0}]`. A link of the file itself wins, unless it comes
    /// from a node that is off.
    fn read_broadcasts(&mut self, members: &Members<'a>) -> Result<(), Fault> {
        let extra = member(members, "extra").and_then(raw_value::borrowed_members).unwrap_or_default();
        let Some(links) = member(&extra, "ue_links").and_then(raw_value::elements) else { return Ok(()) };
        for node in self.nodes.iter_mut().filter(|node| node.role == Role::Broadcaster) {
            node.role = roles::with_links(&node.class);
        }
        for (at, link) in links.into_iter().enumerate() {
            let wrong = || format!("invalid link in extra.ue_links: {}", clip(link.get()));
            let (target, slot, link) = broadcast(link).ok_or_else(wrong)?;
            if target == OUTPUT_NODE {
                self.outputs.entry(slot).or_insert(link);
                continue;
            }
            // The list is that of the last run, and a node may be gone.
            let Some(&place) = self.places.get(&target) else { continue };
            let is_off = |link: &String| {
                let origin = self.links.get(link).and_then(|link| self.places.get(&link.origin));
                origin.is_some_and(|&origin| self.nodes[origin].mode != Mode::Runs)
            };
            let is_linked = self.nodes[place].inputs.get(slot).and_then(|(_, slot)| slot.link.as_ref());
            if is_linked.is_some_and(|link| !is_off(link)) {
                continue;
            }
            let id = format!("ue_links.{at}");
            self.nodes[place].inputs.get_mut(slot).ok_or_else(wrong)?.link = Some(id.clone());
            self.origins.insert(link.origin.clone());
            self.links.insert(id, link);
        }
        Ok(())
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

/// Reads a link that an extension makes: its target, the target's slot, and its source.
fn broadcast(link: &RawValue) -> Option<(String, usize, Link)> {
    let members = raw_value::borrowed_members(link)?;
    let of = |name: &str| member(&members, name);
    let short = |name: &str| of(name).and_then(id_of).filter(|id| id.len() <= NODE_ID_BYTES_MAX);
    let link = Link { origin: short("upstream")?, slot: number(of("upstream_slot")?)? };
    Some((short("downstream")?, number(of("downstream_slot")?)?, link))
}
