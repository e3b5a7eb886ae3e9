//! Catalog of the classes of an instance and their inputs, from ComfyUI's `/object_info` (protocol §1). Pure. Reduced
//! to what validation needs, what a form shows, and the widget order of the editor. Instances of the same kind share
//! one.
//!
//! Start with [`Catalog::parse`] and [`FleetCatalog`].

mod choices;
mod dynamic;
mod eligibility;
mod fleet_catalog;
mod input_files;
mod leftover;
mod link_types;
mod listing;
mod literal;
mod node_check;
mod other_type;
mod read;
mod spellings;
mod validate;
mod verdict;

pub(super) use choices::Range;
pub(super) use dynamic::{Chosen, Growing, Variant};
pub(super) use eligibility::{ClassPresence, Eligibility, Need};
pub use fleet_catalog::{FleetCatalog, Member};
pub use input_files::InputFiles;
pub(super) use input_files::{Offer, plain_name};
pub(super) use leftover::cure;
pub(super) use node_check::Issue;
pub use spellings::Spellings;
pub(super) use validate::{Given, Mismatch};
pub(super) use verdict::{Partial, Verdict};

use crate::json::raw_value;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Types, beside combos, whose value is entered in the node itself.
const WIDGET_TYPES: [&str; 21] = [
    "INT",
    "FLOAT",
    "BOOLEAN",
    "STRING",
    "COMBO",
    "COMFY_DYNAMICCOMBO_V3",
    "AUDIO_RECORD",
    "BOUNDING_BOX",
    "BOUNDING_BOXES",
    "COLOR",
    "COLORS",
    "COMPOSITOR",
    "CURVE",
    "IMAGECOMPARE",
    "LOAD_3D",
    "LOAD_3D_ANIMATION",
    "MARKDOWN",
    "PAINTER",
    "RANGE",
    "TEXTAREA",
    "WEBCAM",
];

/// The classes of one instance. As JSON `{class: {"o": is output node, "i": {input: {"r","s","u","l","k",…}}, …}}`;
/// equal content gives equal JSON, so instances of the same kind share one catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Catalog {
    classes: BTreeMap<String, Class>,
}

/// A node class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Class {
    /// Whether it produces files or texts, so that it and the nodes it needs are run.
    #[serde(rename = "o", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_output: bool,
    /// Display name, if it differs from the class name.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    /// Category, e.g. `loaders/video`.
    #[serde(rename = "g", default, skip_serializing_if = "String::is_empty")]
    category: String,
    /// Name and type of each output.
    #[serde(rename = "q", default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<(String, String)>,
    /// Whether it is declared to have no output; false if outputs are unknown.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    has_no_output: bool,
    #[serde(rename = "i", default)]
    inputs: BTreeMap<String, Input>,
    /// Whether the instance has another class in its place, and replaces it itself (`/node_replacements`).
    #[serde(rename = "z", default, skip_serializing_if = "std::ops::Not::not")]
    is_replaced: bool,
}

/// A declared input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Input {
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_required: bool,
    /// Declared with `control_after_generate`: a seed under any name.
    #[serde(rename = "s", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_seed: bool,
    /// Declared with `image_upload` or similar: takes the name of an uploaded file.
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_upload: bool,
    /// Whether the list of an upload input is read from elsewhere, so that it is not known here.
    #[serde(rename = "v", default, skip_serializing_if = "std::ops::Not::not")]
    is_remote: bool,
    /// URLs in the list of an upload input: values of the list, not files to be fetched.
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    #[serde(rename = "k")]
    pub(super) kind: Kind,
    /// Position among the inputs, required ones first; `None` = the catalog was stored before positions were kept.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<u16>,
    /// The declared type, if `kind` does not imply it: `IMAGE`, or a custom widget's.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    type_name: Option<String>,
    /// Declared with `forceInput`: takes a link, never a widget's value.
    #[serde(rename = "f", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_forced: bool,
    /// Declared with `dynamicPrompts`: the editor processes its text before sending it.
    #[serde(rename = "y", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_dynamic: bool,
    /// Declared with `socketless`: takes no link, so that it is entered in the node even if its type has no widget.
    #[serde(rename = "z", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_socketless: bool,
    /// Declared with `widgetType`, if `kind` does not imply it: the widget of an input that takes links of many types.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    widget_type: Option<String>,
    /// The JSON text of a combo's first value, if it is not the first of the sorted ones.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    /// Numbers of a combo that are written otherwise than `kind` has them: `1.0` for `1`.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    spelled: Vec<String>,
    /// JSON object with hints for forms: `default`, `step`, `multiline`, `tooltip`, `placeholder`.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(super) hints: Option<String>,
}

/// Type of the values that an input takes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// `INT`; the bounds can exceed u64.
    #[serde(rename = "i")]
    Int { min: Option<i128>, max: Option<i128> },
    /// `FLOAT`.
    #[serde(rename = "f")]
    Float { min: Option<f64>, max: Option<f64> },
    /// `BOOLEAN`.
    #[serde(rename = "b")]
    Boolean,
    /// `STRING`.
    #[serde(rename = "t")]
    Text,
    /// A combo: the JSON texts of its values, sorted.
    #[serde(rename = "c")]
    Choice(Vec<String>),
    /// A combo whose choice brings further inputs (`COMFY_DYNAMICCOMBO_V3`).
    #[serde(rename = "d")]
    Dynamic(Vec<Variant>),
    /// A group of sockets that grows with its links (`COMFY_AUTOGROW_V3`).
    #[serde(rename = "g")]
    Growing(Box<Growing>),
    /// Anything that only the instance can validate: links, files, remote lists, types of custom nodes.
    #[default]
    #[serde(rename = "x")]
    Open,
}

impl Catalog {
    pub(super) fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name).filter(|class| !class.is_replaced)
    }

    /// Whether the instance takes nodes of the class: it has it, or replaces it.
    pub(super) fn has_class(&self, name: &str) -> bool {
        self.classes.contains_key(name)
    }

    /// Whether nodes of the class make outputs.
    pub(super) fn is_output(&self, name: &str) -> bool {
        self.classes.get(name).is_some_and(|class| class.is_output)
    }

    pub(super) fn class_names(&self) -> impl Iterator<Item = &String> {
        self.classes.keys()
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = (&String, &Class)> {
        self.classes.iter().filter(|(_, class)| !class.is_replaced)
    }

    /// Returns the number of classes.
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }
}

impl Class {
    /// Returns the inputs in the editor's order; `None` if it is unknown.
    pub(super) fn in_order(&self) -> Option<Vec<(&str, &Input)>> {
        let mut inputs: Vec<(u16, &str, &Input)> = self
            .inputs
            .iter()
            .map(|(name, input)| Some((input.place?, name.as_str(), input)))
            .collect::<Option<_>>()?;
        inputs.sort_unstable_by_key(|(place, ..)| *place);
        Some(inputs.into_iter().map(|(_, name, input)| (name, input)).collect())
    }
}

impl Input {
    /// Returns the declared type: `INT`, `COMBO`, `IMAGE`.
    pub(super) fn type_name(&self) -> &str {
        match (&self.type_name, &self.kind) {
            (Some(name), _) => name,
            (None, Kind::Int { .. }) => "INT",
            (None, Kind::Float { .. }) => "FLOAT",
            (None, Kind::Boolean) => "BOOLEAN",
            (None, Kind::Text) => "STRING",
            (None, Kind::Choice(_) | Kind::Open) => "COMBO",
            (None, Kind::Dynamic(_)) => "COMFY_DYNAMICCOMBO_V3",
            (None, Kind::Growing(_)) => "COMFY_AUTOGROW_V3",
        }
    }

    /// Returns the declared default.
    pub(super) fn default_value(&self) -> Option<Box<RawValue>> {
        let hints: &RawValue = serde_json::from_str(self.hints.as_deref()?).ok()?;
        raw_value::members(hints)?.into_iter().find(|(name, _)| name == "default").map(|(_, value)| value.to_owned())
    }

    /// Whether users enter or choose its value in the node itself.
    pub(super) fn is_widget(&self) -> bool {
        let is_entered = match &self.kind {
            Kind::Growing(_) => false,
            Kind::Open => self.is_socketless || WIDGET_TYPES.contains(&self.widget_type()),
            Kind::Int { .. } | Kind::Float { .. } | Kind::Boolean | Kind::Text => true,
            Kind::Choice(_) | Kind::Dynamic(_) => true,
        };
        is_entered && !self.is_forced
    }

    /// Whether it takes one of a list of values.
    pub(super) fn is_choice(&self) -> bool {
        matches!(self.kind, Kind::Choice(_) | Kind::Dynamic(_))
    }

    /// Returns the type of its widget: the declared one, or for an input that takes links of many types the one that is
    /// entered in the node.
    pub(super) fn widget_type(&self) -> &str {
        match &self.kind {
            Kind::Int { .. } => "INT",
            Kind::Float { .. } => "FLOAT",
            Kind::Boolean => "BOOLEAN",
            Kind::Text => "STRING",
            Kind::Choice(_) => "COMBO",
            Kind::Open | Kind::Dynamic(_) | Kind::Growing(_) => self.widget_type.as_deref().unwrap_or(self.type_name()),
        }
    }

    /// Returns the value that the editor gives to a new node: the declared default, otherwise the first value of a combo,
    /// or 0, false or an empty text. `None` if only the user can give one.
    pub(super) fn initial_value(&self) -> Option<Box<RawValue>> {
        let text = |json: &str| RawValue::from_string(json.to_owned()).ok();
        self.default_value().or_else(|| match &self.kind {
            Kind::Int { .. } | Kind::Float { .. } => text("0"),
            Kind::Boolean => text("false"),
            Kind::Text => text("\"\""),
            Kind::Choice(choices) => text(self.first.as_ref().or_else(|| choices.first())?),
            Kind::Dynamic(variants) => Some(raw_value::quote(&variants.first()?.key)),
            Kind::Growing(_) | Kind::Open => None,
        })
    }
}
