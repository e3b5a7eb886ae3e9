//! A workflow as a value: parse, params, sanitise. Pure. Numbers are never re-encoded: every input stays raw JSON.
//!
//! Look first at [`Workflow::parse`] and [`resolve`].

use crate::task::{FileInput, Warning};
use serde::Serialize;
use serde_json::value::RawValue;

/// An API-format graph: `{node_id: {"class_type","inputs","_meta"?}}` in the order it came.
#[derive(Debug, Clone)]
pub struct Workflow {}

/// Bounds of a graph.
#[derive(Debug, Clone, Copy)]
pub struct GraphLimits {
    /// Nodes.
    pub nodes_max: usize,
    /// Longest chain of links.
    pub depth_max: usize,
}

/// One thing wrong: an entry of `error.details`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// JSON pointer into the request body, e.g. `/params/6.text` or `/workflow/3/inputs`.
    pub pointer: String,
    /// Stable machine word, e.g. `param_no_such_node`.
    pub code: String,
    /// One sentence that says what to do.
    pub message: String,
    /// Which parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// Which node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Near names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// Wrong shape (400) rather than well-formed but unfit (422).
    #[serde(skip)]
    pub is_shape: bool,
}

/// A graph with the params in it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The graph.
    pub workflow: Workflow,
    /// Stored files it needs; their inputs hold `null` until the dispatcher writes the instance's name.
    pub files: Vec<FileInput>,
    /// Seeds drawn: `("3.seed", value)`.
    pub seeds: Vec<(String, u64)>,
    /// What the submitter should know.
    pub warnings: Vec<Warning>,
}

impl Workflow {
    /// Reads a graph and checks everything that could hurt an instance (protocol §17.8): every node an object with a string
    /// `class_type` and an object `inputs`, bounded count and depth, no cycle, no duplicate key, UI format named as such.
    ///
    /// # Errors
    /// Every problem found.
    pub fn parse(_json: &RawValue, _limits: GraphLimits) -> Result<Self, Vec<Problem>> {
        todo!("helper graph")
    }

    /// Reads back what [`Workflow::to_json`] wrote.
    pub fn from_stored(_json: &RawValue) -> Option<Self> {
        todo!("helper graph")
    }

    /// As JSON, numbers as they came.
    pub fn to_json(&self) -> Box<RawValue> {
        todo!("helper graph")
    }

    /// How many nodes.
    pub fn node_count(&self) -> usize {
        todo!("helper graph")
    }

    /// Node ids in order.
    pub fn node_ids(&self) -> Vec<&str> {
        todo!("helper graph")
    }

    /// The class of a node.
    pub fn class_of(&self, _node_id: &str) -> Option<&str> {
        todo!("helper graph")
    }

    /// Sets an input to a text; `false` if there is no such node.
    pub fn set_text(&mut self, _node_id: &str, _input: &str, _text: &str) -> bool {
        todo!("helper graph")
    }

    /// Readies the graph for one attempt: every literal string `filename_prefix` gets `<folder>/` in front (protocol §9,
    /// §17.9); nodes without one that nobody links to get `"_nonce": "<nonce>"` when `nonce` is given (a re-run after a
    /// cached result's file was gone).
    pub fn isolate(&mut self, _folder: &str, _nonce: Option<&str>) {
        todo!("helper graph")
    }
}

/// Puts `params` (an object) into the graph, draws seeds, collects file directives.
///
/// # Errors
/// Every problem found.
pub fn resolve(_workflow: &Workflow, _params: &RawValue) -> Result<Resolved, Vec<Problem>> {
    todo!("helper graph")
}
