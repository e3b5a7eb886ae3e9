//! Resolved inputs of a node, read by name.

use crate::sim::{
    nodes::{
        drawing::Picture,
        value::{NodeFailure, NodeValue},
    },
    python,
};
use serde_json::Value;
use std::collections::HashMap;

/// Resolved inputs of a node.
pub(crate) struct Inputs<'a>(pub(crate) &'a HashMap<String, NodeValue>);

impl Inputs<'_> {
    pub(crate) fn get(&self, name: &str) -> Option<&NodeValue> {
        self.0.get(name)
    }

    pub(crate) fn json(&self, name: &str) -> Option<&Value> {
        match self.get(name)? {
            NodeValue::Json(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn int(&self, name: &str, default: u64) -> u64 {
        let int = self.json(name).and_then(|value| python::int_of(value).ok());
        int.map_or(default, |int| u64::try_from(int.max(0)).unwrap_or(u64::MAX))
    }

    pub(crate) fn side(&self, name: &str, default: u32) -> u32 {
        u32::try_from(self.int(name, default.into())).unwrap_or(u32::MAX)
    }

    pub(crate) fn float(&self, name: &str, default: f64) -> f64 {
        self.json(name)
            .and_then(|value| python::float_of(value).ok())
            .filter(|float| float.is_finite())
            .unwrap_or(default)
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.json(name).map_or(default, python::truthy)
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> String {
        self.json(name).map_or_else(|| default.to_owned(), python::str_of)
    }

    pub(crate) fn picture(&self, name: &str) -> Option<&Picture> {
        match self.get(name)? {
            NodeValue::Picture(picture) | NodeValue::Film(picture) => Some(picture),
            _ => None,
        }
    }

    /// Returns the picture that a save node requires; anything else fails as in Python.
    pub(crate) fn needed_picture(&self, name: &str) -> Result<&Picture, NodeFailure> {
        self.picture(name).ok_or_else(|| {
            let found = self.json(name).map_or("NoneType", python::type_name);
            NodeFailure::error("TypeError", format!("'{found}' object is not subscriptable"))
        })
    }
}
