//! What an instance can run: its classes and their inputs, from ComfyUI's `/object_info` (protocol §1). Pure; cut down to
//! what values are judged by, so that one can be kept for each kind of instance.
//!
//! Look first at [`Catalog::parse`] and [`Pool`].

mod judge;
mod offered;
mod pool;
mod read;

pub(super) use judge::Misfit;
pub(super) use offered::Range;
pub(super) use pool::{ClassAt, Fit, Need};
pub use pool::{Member, Pool};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The classes of one instance. As JSON `{class: {"o": is output node, "i": {input: {"r","s","u","l","k"}}}}`, the same for the same
/// content: instances of one kind have one catalog.
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
    #[serde(rename = "i", default)]
    inputs: BTreeMap<String, Input>,
}

/// One declared input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

/// What values an input takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

    /// How many classes.
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }
}

impl Class {
    pub(super) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.get(name)
    }
}
