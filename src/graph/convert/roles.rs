//! Nodes that exist in the editor only: they are not sent, but some decide where a link comes from.

use super::editor_node::{Node, Values};
use crate::json::raw_value;

/// The part that a node has in the conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It is written, as a node of its class.
    Runs,
    /// It hands on the input of the same place.
    Reroute,
    /// Its value is that of the widgets it is linked to.
    Primitive,
    /// It gives the link to its input a name.
    Setter,
    /// It hands on the link of that name.
    Getter,
    /// It switches, labels or groups other nodes and has no value.
    Decoration,
    /// An extension makes links of it that are not in the file.
    Broadcaster,
}

/// Reason why the links of a [`Role::Broadcaster`] are unknown.
pub(super) const BROADCASTER: &str = "an extension of the editor makes its links when it sends the graph, and the file has none of them in `extra.ue_links`: \
     save it again with a newer version of the extension, or let the extension convert them to real links";

/// Classes of extensions that switch, label or group nodes.
const DECORATIONS: [&str; 14] = [
    "Bookmark (rgthree)",
    "Fast Actions Button (rgthree)",
    "Fast Bypasser (rgthree)",
    "Fast Groups Bypasser (rgthree)",
    "Fast Groups Muter (rgthree)",
    "Fast Muter (rgthree)",
    "Label (rgthree)",
    "MarkdownNote",
    "Mute / Bypass Relay (rgthree)",
    "Mute / Bypass Repeater (rgthree)",
    "Note",
    "Note Plus (mtb)",
    "Node Collector (rgthree)",
    "Random Unmuter (rgthree)",
];

impl Role {
    pub(super) fn of(class: &str) -> Self {
        match class {
            "Reroute" | "Reroute (rgthree)" => Self::Reroute,
            "PrimitiveNode" => Self::Primitive,
            "SetNode" | "easy setNode" => Self::Setter,
            "GetNode" | "easy getNode" => Self::Getter,
            "Anything Everywhere" | "Anything Everywhere3" | "Anything Everywhere?" => Self::Broadcaster,
            "Anything Somewhere" => Self::Broadcaster,
            "Prompts Everywhere" | "Seed Everywhere" => Self::Broadcaster,
            class if DECORATIONS.contains(&class) => Self::Decoration,
            _ => Self::Runs,
        }
    }
}

/// Returns the part that a [`Role::Broadcaster`] has in a file with its links: one of them is the source itself.
pub(super) fn with_links(class: &str) -> Role {
    if class == "Seed Everywhere" { Role::Runs } else { Role::Decoration }
}

/// Returns the name that a setter gives, or that a getter asks for.
pub(super) fn name_of(node: &Node<'_>) -> Option<String> {
    match &node.values {
        Values::List(values) => values.first().and_then(|value| raw_value::text(value)),
        Values::Named(values) => values.values().next().and_then(|value| raw_value::text(value)),
    }
}
