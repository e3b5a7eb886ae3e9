//! The inputs of a written node: the values of its widgets, replaced by what its links give.

use super::{
    Fault, Notes,
    editor_format::Graph,
    editor_node::Node,
    group_nodes,
    host_values::HostValues,
    plan::{NESTING_MAX, Plan, Step},
    resolve_links::{Source, Walk},
    roles::{self, Role},
    widgets::{self, Links, Widgets},
};
use crate::{
    graph::{
        Budget, FleetCatalog,
        catalog::{Class, Input},
    },
    json::raw_value,
    problem::clip,
};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::{HashMap, HashSet},
    ptr,
    rc::Rc,
};
use uuid::Uuid;

/// An input's value in API format.
pub(super) enum Value<'a> {
    Literal(Cow<'a, RawValue>),
    Link { id: String, slot: usize },
}

pub(super) type Inputs<'a> = Vec<(String, Value<'a>)>;

/// A converted node; without a class it is left out.
#[derive(Default)]
pub(super) struct Written<'a> {
    pub(super) class: Option<&'a Class>,
    pub(super) inputs: Inputs<'a>,
}

/// Types of all outputs, collected when they are needed.
type Types<'a> = Rc<OnceCell<HashSet<&'a str>>>;
type Named<'a> = HashMap<String, Cow<'a, RawValue>>;

pub(super) struct Conversion<'a, 'p> {
    walk: Walk<'a, 'p>,
    plan: &'p Plan<'a, 'a>,
    pool: &'a FleetCatalog,
    budget: &'p Budget,
    /// Own values of the widgets of inner nodes, by graph and place.
    inner: HashMap<(*const Graph<'a>, usize), Named<'a>>,
    types: Types<'a>,
    pub(super) notes: Notes,
}

impl<'a, 'p> Conversion<'a, 'p> {
    pub(super) fn new(plan: &'p Plan<'a, 'a>, pool: &'a FleetCatalog, budget: &'p Budget) -> Self {
        let mut notes = Notes::default();
        for graph in plan.document.subgraphs.iter().chain([&plan.document.root]) {
            let decorations = graph.nodes.iter().filter(|node| node.role == Role::Decoration);
            let named = decorations.filter(|node| !matches!(node.class.as_str(), "Note" | "MarkdownNote"));
            notes.left_out.extend(named.map(|node| format!("{} ({})", clip(&node.id), clip(&node.class))));
        }
        Self {
            walk: Walk::new(plan, pool, budget),
            plan,
            pool,
            budget,
            inner: HashMap::new(),
            types: Rc::default(),
            notes,
        }
    }

    pub(super) fn finish(self) -> Notes {
        self.notes
    }

    /// Converts a node: its widgets in their order, then its links.
    pub(super) fn node(&mut self, step: Step) -> Result<Written<'a>, Fault> {
        let node = self.plan.node_of(step);
        if node.role == Role::Broadcaster {
            return Err(roles::BROADCASTER.to_owned());
        }
        if self.pool.declarations(&node.class).next().is_none() {
            let graph = self.plan.scopes[step.scope].graph;
            let is_linked = node.inputs.values().any(|slot| slot.link.is_some()) || graph.origins.contains(&node.id);
            return if is_linked || node.is_of_class { Err(unknown_class(node)) } else { Ok(Written::default()) };
        }
        let mut links = self.links(step)?;
        let (class, widgets) = self.declared(node, &links)?;
        if widgets.has_surplus {
            self.notes.with_surplus.push(clip(&self.plan.id_of(step)));
        }
        let mut inputs: Inputs<'a> = Vec::with_capacity(widgets.named.len() + links.replaced.len());
        let mut places: HashMap<String, usize> = HashMap::with_capacity(inputs.capacity());
        for (name, value) in widgets.named {
            let is_curve =
                raw_value::is_array(&value) && class.input(&name).is_some_and(|input| input.widget_type() == "CURVE");
            places.entry(name.clone()).or_insert(inputs.len());
            inputs.push((name, Value::Literal(if is_curve { typed("CURVE", &value) } else { value })));
        }
        for (name, value) in links.take() {
            match places.get(&name) {
                Some(&place) => inputs[place].1 = value,
                None => inputs.push((name, value)),
            }
        }
        Ok(Written { class: Some(class), inputs })
    }

    /// Follows all links of a node.
    fn links(&mut self, step: Step) -> Result<NodeLinks<'a>, Fault> {
        let node = self.plan.node_of(step);
        let mut links = NodeLinks::new(self.pool, self.types.clone(), true);
        let host = &self.plan.scopes[step.scope].values;
        for (name, value) in host.widgets(step.node) {
            if host.is_group {
                links.primitives.insert(name.to_owned(), value);
            } else {
                links.replace(name, Value::Literal(Cow::Borrowed(value)));
            }
        }
        for (at, (name, slot)) in node.inputs.iter().enumerate().filter(|(_, (_, slot))| slot.link.is_some()) {
            let value = match self.walk.find(step, at)? {
                Source::Nothing => continue,
                Source::Primitive(value) => {
                    let mut classes = self.pool.declarations(&node.class);
                    if slot.is_widget || classes.any(|class| class.input(name).is_some_and(Input::is_widget)) {
                        links.primitives.insert(name.to_owned(), value);
                    }
                    continue;
                }
                Source::Promoted(value) => Value::Literal(Cow::Borrowed(value)),
                Source::Inner(scope, socket) => {
                    match self.own_value(self.plan.scopes[scope].graph, socket, NESTING_MAX) {
                        Some(value) => Value::Literal(value),
                        None => continue,
                    }
                }
                Source::Output { id, slot } => Value::Link { id, slot },
            };
            links.replace(name, value);
        }
        Ok(links)
    }

    /// Returns the value that a widget inside a subgraph has by itself.
    fn own_value(
        &mut self,
        graph: &'a Graph<'a>,
        (place, at): (usize, usize),
        depth: usize,
    ) -> Option<Cow<'a, RawValue>> {
        let node = &graph.nodes[place];
        let (name, _) = node.inputs.get(at)?;
        if let Some(inner) = node.subgraph {
            let inner = &self.plan.document.subgraphs[inner];
            if depth == 0 || !self.budget.spend(1 + inner.inputs.len() + node.proxies.len()) {
                return None;
            }
            let (slot, inlet) = inner.inputs.find(name)?;
            let given = HostValues::of(node, inner).input(slot);
            return given.map(Cow::Borrowed).or_else(|| self.own_value(inner, inlet.widget?, depth - 1));
        }
        let key = (ptr::from_ref(graph), place);
        if !self.inner.contains_key(&key) {
            let links = NodeLinks::new(self.pool, self.types.clone(), false);
            let widgets = self.declared(node, &links).map(|(_, widgets)| widgets.named).unwrap_or_default();
            self.inner.insert(key, widgets.into_iter().collect());
        }
        self.inner.get(&key)?.get(name).cloned()
    }

    /// Returns the declaration that fits the node's values, and the values by name. Instances may have several versions
    /// of a class.
    fn declared(&self, node: &'a Node<'a>, links: &NodeLinks<'a>) -> Result<(&'a Class, Widgets<'a>), Fault> {
        let mut fault = None;
        for class in self.pool.declarations(&node.class) {
            match widgets::named(node, class, links, self.budget) {
                Ok(widgets) => return Ok((class, widgets)),
                Err(why) => fault = Some(why),
            }
        }
        Err(fault.unwrap_or_else(|| unknown_class(node)))
    }
}

/// The links of one node, resolved.
struct NodeLinks<'a> {
    /// Values in place of those of the widgets, or of sockets, in their order.
    replaced: Vec<(String, Value<'a>)>,
    /// Places of these values by name.
    places: HashMap<String, usize>,
    /// Values of primitives.
    primitives: HashMap<String, &'a RawValue>,
    pool: &'a FleetCatalog,
    types: Types<'a>,
    /// Whether the values are sent, so that the editor processes their texts.
    is_sent: bool,
}

impl<'a> NodeLinks<'a> {
    fn new(pool: &'a FleetCatalog, types: Types<'a>, is_sent: bool) -> Self {
        Self { replaced: Vec::new(), places: HashMap::new(), primitives: HashMap::new(), pool, types, is_sent }
    }

    fn replace(&mut self, name: &str, value: Value<'a>) {
        match self.places.get(name) {
            Some(&place) => self.replaced[place].1 = value,
            None => {
                self.places.insert(name.to_owned(), self.replaced.len());
                self.replaced.push((name.to_owned(), value));
            }
        }
    }

    fn take(&mut self) -> Vec<(String, Value<'a>)> {
        std::mem::take(&mut self.replaced)
    }
}

impl<'a> Links<'a> for NodeLinks<'a> {
    fn is_replaced(&self, input: &str) -> bool {
        self.places.contains_key(input)
    }

    fn primitive(&self, input: &str) -> Option<&'a RawValue> {
        self.primitives.get(input).copied()
    }

    fn is_linkable(&self, kind: &str) -> bool {
        self.types.get_or_init(|| self.pool.output_types()).contains(kind)
    }

    fn is_sent(&self) -> bool {
        self.is_sent
    }
}

/// Describes a node that no instance can run.
pub(super) fn unknown_class(node: &Node<'_>) -> String {
    let class = clip(&node.class);
    if let Some(group) = group_nodes::group_of(&node.class) {
        return format!("the group {} is not among the file's extra.groupNodes", clip(group));
    }
    if Uuid::try_parse(&node.class).is_ok() {
        return format!("the subgraph {class} is not among the file's definitions.subgraphs");
    }
    format!(
        "no instance is known to have the class {class}; if {class} is a node of the editor only, remove it from the graph"
    )
}

/// Wraps a list with the type of its widget.
fn typed<'a>(kind: &str, list: &RawValue) -> Cow<'a, RawValue> {
    let json = format!("{{\"__type__\":\"{kind}\",\"__value__\":{}}}", list.get());
    Cow::Owned(RawValue::from_string(json).expect("an object of a word and of JSON is JSON"))
}
