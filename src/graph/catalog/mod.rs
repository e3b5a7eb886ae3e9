//! What an instance can run: its classes and their inputs, from ComfyUI's `/object_info` (protocol §1). Pure; cut down to
//! what values are judged by, what a form shows, and the order in which the editor keeps widgets: one is kept for each kind of
//! instance.
//!
//! Look first at [`Catalog::parse`] and [`Pool`].

mod judge;
mod listing;
mod offered;
mod pool;
mod read;

pub(super) use judge::Misfit;
pub(super) use offered::Range;
pub(super) use pool::{ClassAt, Fit, Need};
pub use pool::{Member, Pool};

use crate::graph::raw;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The classes of one instance. As JSON `{class: {"o": is output node, "i": {input: {"r","s","u","l","k",…}}, …}}`, the same for the
/// same content: instances of one kind have one catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Catalog {
    classes: BTreeMap<String, Class>,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Class {
    /// Makes files or texts: what it needs is run.
    #[serde(rename = "o", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_output: bool,
    /// Its name for people, where that is another.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    /// `loaders/video`.
    #[serde(rename = "g", default, skip_serializing_if = "String::is_empty")]
    category: String,
    /// Name and type of each output.
    #[serde(rename = "q", default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<(String, String)>,
    #[serde(rename = "i", default)]
    inputs: BTreeMap<String, Input>,
}

/// One declared input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Input {
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_required: bool,
    /// `control_after_generate`: a seed, whatever its name.
    #[serde(rename = "s", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_seed: bool,
    /// `image_upload` and its like: takes the name of a file that was uploaded.
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_upload: bool,
    /// Of such an input: values of its list that are URLs, and so no files to be fetched.
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    #[serde(rename = "k")]
    pub(super) kind: Kind,
    /// Its place among the inputs, required ones first; `None` = the catalog was made before places were kept.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<u16>,
    /// The declared type, where `kind` does not say it: `IMAGE`, a custom widget's.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    type_name: Option<String>,
    /// `forceInput`: takes a link, never a widget's value.
    #[serde(rename = "f", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_forced: bool,
    /// `dynamicPrompts`: the editor itself makes something of its text before it sends it.
    #[serde(rename = "y", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_dynamic: bool,
    /// JSON object of what a form shows beside: `default`, `step`, `multiline`, `tooltip`, `placeholder`.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(super) hints: Option<String>,
}

/// What values an input takes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// `INT`; bounds as wide as u64 seeds and beyond.
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
    /// Anything that the instance has to judge: links, files, lists that are fetched, types of custom nodes.
    #[default]
    #[serde(rename = "x")]
    Open,
}

impl Catalog {
    pub(super) fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    pub(super) fn class_names(&self) -> impl Iterator<Item = &String> {
        self.classes.keys()
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = (&String, &Class)> {
        self.classes.iter()
    }

    /// How many classes.
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }
}

impl Class {
    pub(super) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.get(name)
    }

    /// The inputs as the editor orders them; `None` = not known.
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
    /// The type by which it is declared: `INT`, `COMBO`, `IMAGE`.
    pub(super) fn type_name(&self) -> &str {
        match (&self.type_name, &self.kind) {
            (Some(name), _) => name,
            (None, Kind::Int { .. }) => "INT",
            (None, Kind::Float { .. }) => "FLOAT",
            (None, Kind::Boolean) => "BOOLEAN",
            (None, Kind::Text) => "STRING",
            (None, Kind::Choice(_) | Kind::Open) => "COMBO",
        }
    }

    /// The declared default.
    pub(super) fn default_value(&self) -> Option<Box<RawValue>> {
        let hints: &RawValue = serde_json::from_str(self.hints.as_deref()?).ok()?;
        raw::members(hints)?.into_iter().find(|(name, _)| name == "default").map(|(_, value)| value.to_owned())
    }

    /// Whether people type or choose its value in the node itself.
    pub(super) fn is_widget(&self) -> bool {
        !self.is_forced && matches!(self.type_name(), "INT" | "FLOAT" | "BOOLEAN" | "STRING" | "COMBO")
    }
}
