//! Parses a node of the editor's format: its slots, values and mode.

use super::{Fault, named_list::NamedList, roles::Role};
use crate::{
    graph::parse::{INPUTS_MAX, NODE_ID_BYTES_MAX},
    json::{Member, raw_value},
    problem::clip,
};
use serde_json::value::RawValue;

/// Longest type of a slot, bytes: some are lists of types, which are compared with one another.
const TYPE_BYTES_MAX: usize = 1_000;

pub(super) type Members<'a> = Vec<Member<'a>>;

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
    /// Whether it stands for a group of an early version of the editor.
    pub(super) is_group: bool,
    pub(super) role: Role,
    /// Whether the file shows that the editor made it from a class of an instance.
    pub(super) is_of_class: bool,
    pub(super) order: i64,
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
    pub(super) label: Option<String>,
}

/// The values of the widgets.
pub(super) enum Values<'a> {
    /// Values in the order of the widgets.
    List(Vec<&'a RawValue>),
    /// Values by widget name.
    Named(NamedList<&'a RawValue>),
}

impl<'a> Node<'a> {
    /// Reads a node; one of a group has its place for an id.
    pub(super) fn read(json: &'a RawValue, place: Option<usize>) -> Result<Self, Fault> {
        let members = raw_value::borrowed_members(json).ok_or("a node is not an object")?;
        let text = |name: &str| member(&members, name).and_then(raw_value::text);
        let id = place.map(|place| place.to_string()).or_else(|| member(&members, "id").and_then(id_of));
        let id = id.ok_or("a node has no id")?;
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
            proxies: member(&properties, "proxyWidgets").map(proxies).unwrap_or_default(),
            is_group: false,
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
    pub(super) fn is_written(&self) -> bool {
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
            label: member(&members, "label").and_then(raw_value::text),
        };
        (member(&members, "name").and_then(raw_value::text).unwrap_or_default(), slot)
    }
}

/// Reads `[["5", "width"]]`, which some versions of the editor write as a text. One entry of another form makes the
/// editor ignore them all, because they are counted.
fn proxies(json: &RawValue) -> Vec<(String, String)> {
    let inner = raw_value::text(json).and_then(|text| RawValue::from_string(text).ok());
    let entries = raw_value::elements(inner.as_deref().unwrap_or(json)).unwrap_or_default();
    let entry = |proxy: &RawValue| {
        let parts = raw_value::elements(proxy)?;
        Some((id_of(parts.first()?)?, raw_value::text(parts.get(1)?)?))
    };
    entries.into_iter().map(entry).collect::<Option<_>>().unwrap_or_default()
}

pub(super) fn member<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(key, _)| key == name).map(|&(_, value)| value)
}

/// Reads an id, a number or a text.
pub(super) fn id_of(json: &RawValue) -> Option<String> {
    match json.get().as_bytes().first()? {
        b'-' | b'0'..=b'9' => Some(json.get().to_owned()),
        _ => raw_value::text(json),
    }
}

pub(super) fn number(json: &RawValue) -> Option<usize> {
    raw_value::text(json).as_deref().unwrap_or(json.get()).parse().ok()
}

/// Returns the type of a slot; a list means a combo, 0 means any type.
pub(super) fn type_of(members: &Members<'_>) -> String {
    let Some(kind) = member(members, "type") else { return String::new() };
    match kind.get().as_bytes().first() {
        Some(b'"') => raw_value::text(kind).unwrap_or_default(),
        Some(b'[') => "COMBO".to_owned(),
        _ => String::new(),
    }
}
