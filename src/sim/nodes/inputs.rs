//! What a node's links and literals came to, read by name.

use super::{Failed, Val};
use crate::sim::{nodes::drawing::Picture, python};
use serde_json::Value;
use std::collections::HashMap;

/// Resolved inputs of a node.
pub(super) struct Inputs<'a>(pub(super) &'a HashMap<String, Val>);

impl Inputs<'_> {
    pub(super) fn get(&self, name: &str) -> Option<&Val> {
        self.0.get(name)
    }

    pub(super) fn json(&self, name: &str) -> Option<&Value> {
        match self.get(name)? {
            Val::Json(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn int(&self, name: &str, default: u64) -> u64 {
        let int = self.json(name).and_then(|value| python::int_of(value).ok());
        int.map_or(default, |int| u64::try_from(int.max(0)).unwrap_or(u64::MAX))
    }

    pub(super) fn side(&self, name: &str, default: u32) -> u32 {
        u32::try_from(self.int(name, default.into())).unwrap_or(u32::MAX)
    }

    pub(super) fn float(&self, name: &str, default: f64) -> f64 {
        self.json(name)
            .and_then(|value| python::float_of(value).ok())
            .filter(|float| float.is_finite())
            .unwrap_or(default)
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.json(name).map_or(default, python::truthy)
    }

    pub(super) fn text(&self, name: &str, default: &str) -> String {
        self.json(name).map_or_else(|| default.to_owned(), python::str_of)
    }

    pub(super) fn picture(&self, name: &str) -> Option<&Picture> {
        match self.get(name)? {
            Val::Picture(picture) | Val::Film(picture) => Some(picture),
            _ => None,
        }
    }

    /// The picture a save node must have; anything else fails as Python does.
    pub(super) fn needed_picture(&self, name: &str) -> Result<&Picture, Failed> {
        self.picture(name).ok_or_else(|| {
            let found = self.json(name).map_or("NoneType", python::type_name);
            Failed::error("TypeError", format!("'{found}' object is not subscriptable"))
        })
    }
}
