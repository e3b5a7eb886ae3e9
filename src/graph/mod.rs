//! A workflow as a value: parse, params, sanitise. Pure. Numbers are never re-encoded: every input stays raw JSON.
//!
//! Look first at [`Workflow::read`], [`Workflow::parse`] and [`resolve`].
//!
//! Invariants: an input that no parameter names leaves byte for byte as it came (but for [`Workflow::isolate`], `{"$file":…}`,
//! and, once there are params, placeholders and their escapes); parameters become JSON values, never text inside JSON; nothing here recurses over foreign structure.
//!
//! # Params
//!
#![doc = include_str!("../api/guides/params.md")]

mod catalog;
mod convert;
mod hash;
mod isolate;
mod links;
mod node;
mod params;
mod parse;
mod problem;
mod raw;
mod scan;
#[cfg(test)]
mod tests;

pub use catalog::{Catalog, Member, Pool};
pub use node::Workflow;
pub use params::{Declared, InlineFile, Options, Published, RemoteFile, Resolved, near, publish, resolve, schema};
pub use problem::Problem;

/// Bounds of a graph.
#[derive(Debug, Clone, Copy)]
pub struct GraphLimits {
    /// Nodes.
    pub nodes_max: usize,
    /// Longest chain of links, in nodes.
    pub depth_max: usize,
}
