//! Group nodes of early versions of the editor, `workflow>name` with the group in `extra.groupNodes`, read as subgraphs.

use super::{
    Fault,
    editor_format::{Graph, Inlet, Link},
    editor_node::{Members, Node, Values, member},
    named_list::NamedList,
    roles::Role,
    widgets,
};
use crate::{
    graph::{FleetCatalog, catalog::Input},
    json::raw_value,
    problem::clip,
};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

/// Beginnings of the class of a group node.
const PREFIXES: [&str; 2] = ["workflow>", "workflow/"];
/// Node of the links from outside, as in a subgraph.
const INPUT_NODE: &str = super::editor_format::INPUT_NODE;

/// A group, which each of its nodes stands for.
pub(super) struct Group<'a> {
    pub(super) name: String,
    pub(super) graph: Graph<'a>,
    widgets: Vec<Widget>,
}

/// A widget that a group node shows.
struct Widget {
    /// Place of the inner node.
    place: usize,
    name: String,
    has_control: bool,
}

/// Returns the name of the group that a node of this class stands for.
pub(super) fn group_of(class: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| class.strip_prefix(prefix))
}

/// Reads the groups of a workflow.
pub(super) fn read<'a>(workflow: &Members<'a>, pool: &FleetCatalog) -> Result<Vec<Group<'a>>, Fault> {
    let extra = member(workflow, "extra").and_then(raw_value::borrowed_members).unwrap_or_default();
    let groups = member(&extra, "groupNodes").and_then(raw_value::borrowed_members).unwrap_or_default();
    groups.into_iter().map(|(name, group)| Group::read(name.into_owned(), group, pool)).collect()
}

impl<'a> Group<'a> {
    fn read(name: String, json: &'a RawValue, pool: &FleetCatalog) -> Result<Self, Fault> {
        let members =
            raw_value::borrowed_members(json).ok_or_else(|| format!("the group {} is no object", clip(&name)))?;
        let list = |name: &str| member(&members, name).and_then(raw_value::elements).unwrap_or_default();
        let mut graph = Graph::default();
        for (place, node) in list("nodes").into_iter().enumerate() {
            let mut node = Node::read(node, Some(place))?;
            node.inputs.values_mut().for_each(|slot| slot.link = None);
            graph.places.insert(node.id.clone(), place);
            graph.nodes.push(node);
        }
        // An output is shown unless it is linked inside only.
        let mut inside: HashSet<(usize, usize)> = HashSet::new();
        for (at, link) in list("links").into_iter().enumerate() {
            let parts: Vec<Option<usize>> =
                raw_value::elements(link).unwrap_or_default().into_iter().map(|part| part.get().parse().ok()).collect();
            let [Some(origin), Some(slot), Some(target), Some(input), ..] = parts[..] else { continue };
            if let Some(slot) = graph.nodes.get_mut(target).and_then(|node| node.inputs.get_mut(input)) {
                slot.link = Some(at.to_string());
            }
            inside.insert((origin, slot));
            graph.origins.insert(origin.to_string());
            graph.links.insert(at.to_string(), Link { origin: origin.to_string(), slot });
        }
        for external in list("external") {
            let parts = raw_value::elements(external).unwrap_or_default();
            let number = |at: usize| parts.get(at).and_then(|part| part.get().parse::<usize>().ok());
            if let (Some(origin), Some(slot)) = (number(0), number(1)) {
                inside.remove(&(origin, slot));
            }
        }
        let config = Config(member(&members, "config").and_then(raw_value::borrowed_members).unwrap_or_default());
        graph.show_outputs(&inside, &config);
        let widgets = graph.show_inputs(&config, pool);
        graph.live = (0..graph.nodes.len()).filter(|&place| graph.nodes[place].role == Role::Runs).collect();
        Ok(Self { name, graph, widgets })
    }

    /// Returns the inner widgets in the order of a group node's values; controls of seeds name none.
    pub(super) fn proxies(&self, node: &Node<'_>) -> Vec<(String, String)> {
        let Values::List(values) = &node.values else { return Vec::new() };
        let mut proxies = Vec::with_capacity(self.widgets.len());
        for widget in &self.widgets {
            proxies.push((widget.place.to_string(), widget.name.clone()));
            let next = values.get(proxies.len());
            if widget.has_control && next.is_some_and(|value| widgets::is_control(value)) {
                proxies.push(Default::default());
            }
        }
        proxies
    }
}

/// Names and omissions of a group: `{"0":{"input":{"seed":{"name","visible"}},"output":{"0":{…}}}}`.
struct Config<'a>(Members<'a>);

impl<'a> Config<'a> {
    /// Returns the new name and the visibility of an input or output of the node at a place.
    fn of(&self, place: usize, side: &str, name: &str) -> (Option<String>, Option<bool>) {
        let members = |json: Option<&'a RawValue>| json.and_then(raw_value::borrowed_members).unwrap_or_default();
        let one = members(member(&members(member(&members(member(&self.0, &place.to_string())), side)), name));
        (member(&one, "name").and_then(raw_value::text), member(&one, "visible").and_then(raw_value::boolean))
    }
}

impl Graph<'_> {
    fn show_outputs(&mut self, inside: &HashSet<(usize, usize)>, config: &Config<'_>) {
        for (place, node) in self.nodes.iter().enumerate() {
            let is_shown = match node.role {
                Role::Runs => true,
                Role::Reroute => !inside.contains(&(place, 0)) || node.inputs.values().all(|slot| slot.link.is_none()),
                _ => false,
            };
            for slot in (0..node.outputs.len()).filter(|_| is_shown) {
                let (_, visible) = config.of(place, "output", &slot.to_string());
                if visible.unwrap_or(!inside.contains(&(place, slot))) {
                    self.outputs.insert(self.outputs.len(), Link { origin: node.id.clone(), slot });
                }
            }
        }
    }

    /// Names the inputs, as the group node names them, and links them. Returns the widgets that are no inputs.
    fn show_inputs(&mut self, config: &Config<'_>, pool: &FleetCatalog) -> Vec<Widget> {
        let (mut names, mut sockets, mut converted, mut shown) = (Names::default(), Vec::new(), Vec::new(), Vec::new());
        for (place, node) in self.nodes.iter().enumerate() {
            let class = pool.declarations(&node.class).next();
            for (name, input) in class.and_then(|class| class.in_order()).unwrap_or_default() {
                if input.is_widget() && node.inputs.find(name).is_none_or(|(_, slot)| !slot.is_widget) {
                    names.name(node, config.of(place, "input", name).0.as_deref(), name);
                    let has_control = widgets::has_control(name, input);
                    shown.push(Widget { place, name: name.to_owned(), has_control });
                }
            }
            if node.role == Role::Primitive && self.origins.contains(&node.id) {
                names.name(node, None, "value");
                shown.push(Widget { place, name: "value".to_owned(), has_control: true });
            }
            let open = node.inputs.iter().enumerate().filter(|(_, (_, slot))| slot.link.is_none());
            for (at, (name, slot)) in open {
                let is_widget = class.and_then(|class| class.input(name)).map_or(slot.is_widget, Input::is_widget);
                let wanted = config.of(place, "input", name);
                if is_widget && slot.is_widget {
                    converted.push((place, at));
                } else if wanted.1 != Some(false) {
                    let own = if name.is_empty() { &slot.kind } else { name };
                    sockets.push((names.name(node, wanted.0.as_deref().or(slot.label.as_deref()), own), place, at));
                }
            }
        }
        for (place, at) in converted {
            let (node, label) = (&self.nodes[place], self.nodes[place].inputs.get(at));
            let (name, slot) = label.expect("its place was found above");
            let wanted = config.of(place, "input", name).0;
            sockets.push((names.name(node, wanted.as_deref().or(slot.label.as_deref()), name), place, at));
        }
        let mut inlets = Vec::with_capacity(sockets.len());
        for (slot, (name, place, at)) in sockets.into_iter().enumerate() {
            let id = format!("in{slot}");
            self.links.insert(id.clone(), Link { origin: INPUT_NODE.to_owned(), slot });
            if let Some(socket) = self.nodes[place].inputs.get_mut(at) {
                socket.link = Some(id);
            }
            let kind = self.nodes[place].inputs.get(at).map_or_else(String::new, |(_, slot)| slot.kind.clone());
            inlets.push((name, Inlet { kind, widget: None }));
        }
        self.inputs = NamedList::new(inlets);
        shown
    }
}

/// Names that a group node has given to its inputs, with their counts.
#[derive(Default)]
struct Names(HashMap<String, usize>);

impl Names {
    /// Returns the name of an input: its own, with the title of its node in front if that is taken.
    fn name(&mut self, node: &Node<'_>, wanted: Option<&str>, own: &str) -> String {
        let mut name = wanted.unwrap_or(own).to_owned();
        let mut key = name.clone();
        if (node.role == Role::Primitive && node.title.is_some()) || self.0.contains_key(&name) {
            let title = node.title.as_ref().unwrap_or(&node.class);
            key = format!("{title} {own}");
            name.clone_from(&key);
            if let Some(count) = self.0.get(&name) {
                name = format!("{title} {count} {own}");
            }
        }
        *self.0.entry(key).or_insert(1) += 1;
        name
    }
}
