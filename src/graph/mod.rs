//! A workflow as a value: parse, apply params, validate. Pure. Numbers are never re-encoded: every input stays raw
//! JSON.
//!
//! Start with [`Workflow::read`], [`Workflow::parse`] and [`resolve`].
//!
//! Invariants: an input that no parameter names keeps its bytes (except for [`Workflow::isolate`], `{"$file":…}`, and,
//! if there are params, placeholders and their escapes); parameters become JSON values, never text inside JSON; no
//! function recurses over the structure of a request; work grows with the length of a request, not faster, and what would
//! multiply it spends from a [`Budget`].
//!
//! # Params
//!
#![doc = include_str!("../api/guides/params.md")]

mod budget;
mod catalog;
mod convert;
mod json_faults;
mod links;
mod output_prefix;
mod params;
mod parse;
mod picture_senders;
mod prefix_text;
mod step_counts;
#[cfg(test)]
mod tests;
mod workflow;
mod workflow_hash;

pub use budget::{Budget, BudgetLimits, Exhausted};
pub use catalog::{Catalog, FleetCatalog, InputFiles, Member, Spellings};
pub use params::{
    Declared, InlineFile, Options, OwnFiles, Published, RemoteFile, Resolved, UploadNames, publish, resolve, schema,
};
pub use workflow::Workflow;

/// Limits of a graph.
#[derive(Debug, Clone, Copy)]
pub struct GraphLimits {
    /// Maximum number of nodes.
    pub nodes_max: usize,
    /// Longest chain of links, in nodes.
    pub depth_max: usize,
}
