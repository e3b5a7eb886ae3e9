//! Values that a node standing for a subgraph gives to widgets inside it.

use super::{
    editor_format::Graph,
    editor_node::{Node, Values},
};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Id by which a node's `proxyWidgets` names the inputs of its own subgraph.
const OWN: &str = "-1";

/// The values of one node that stands for a subgraph.
#[derive(Default)]
pub(super) struct HostValues<'a> {
    /// Values of the subgraph's inputs.
    inputs: HashMap<usize, &'a RawValue>,
    /// Values of inner widgets that are no inputs, by place of the node and name.
    widgets: HashMap<usize, HashMap<String, &'a RawValue>>,
    /// Whether these become the values of the widgets, instead of passing them over.
    pub(super) is_group: bool,
}

impl<'a> HostValues<'a> {
    /// Assigns the values: in the order of the inputs that are widgets inside, then as `proxyWidgets` names them. Null
    /// means the inner value.
    pub(super) fn of(node: &Node<'a>, graph: &Graph<'_>) -> Self {
        let mut host = Self { is_group: node.is_group, ..Self::default() };
        let values = match &node.values {
            Values::List(values) => values,
            Values::Named(named) => {
                let at = |(name, value): (&str, &&'a RawValue)| Some((graph.inputs.find(name)?.0, *value));
                host.inputs.extend(named.iter().filter_map(at));
                return host;
            }
        };
        let is_given = |value: &RawValue| value.get() != "null";
        let widgets = graph.inputs.values().enumerate().filter(|(_, inlet)| inlet.widget.is_some());
        let placed = widgets.map(|(at, _)| at).zip(values.iter().copied());
        host.inputs.extend(placed.filter(|(_, value)| is_given(value)));
        if node.proxies.is_empty() {
            return host;
        }
        let sockets: HashMap<(usize, usize), usize> =
            graph.inputs.values().enumerate().filter_map(|(at, inlet)| Some((inlet.widget?, at))).collect();
        for ((id, name), value) in node.proxies.iter().zip(values).filter(|(_, value)| is_given(value)) {
            let place = graph.places.get(id).copied();
            let socket = place.and_then(|place| Some((place, graph.nodes[place].inputs.find(name)?.0)));
            let input = if id == OWN { graph.inputs.find(name).map(|(at, _)| at) } else { None };
            match (input.or_else(|| sockets.get(&socket?).copied()), place) {
                (Some(input), _) => {
                    host.inputs.insert(input, value);
                }
                (None, Some(place)) => {
                    host.widgets.entry(place).or_default().insert(name.clone(), value);
                }
                (None, None) => {}
            }
        }
        host
    }

    /// Returns the value of an input.
    pub(super) fn input(&self, at: usize) -> Option<&'a RawValue> {
        self.inputs.get(&at).copied()
    }

    /// Returns the value of an inner widget that is no input.
    pub(super) fn widget(&self, place: usize, name: &str) -> Option<&'a RawValue> {
        self.widgets.get(&place)?.get(name).copied()
    }

    /// Returns the values of the widgets of an inner node that are no inputs.
    pub(super) fn widgets(&self, place: usize) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.widgets.get(&place).into_iter().flatten().map(|(name, value)| (name.as_str(), *value))
    }
}
