//! A submission: a workflow, its params, and the limits of its tasks.

use super::expand::Expansion;
use crate::{
    secrets::NodeKeys,
    task::{Priority, Warning},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Attempts of a task that asks for no other number.
pub const MAX_ATTEMPTS_DEFAULT: u32 = 3;

/// A request to run something. A surface fills it from its own wire form.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    /// A graph, or the name of a published workflow as a JSON string: `"name"`, `"name@3"`.
    pub workflow: Cow<'a, RawValue>,
    /// Params as JSON, an object or a list; `None` if the request has none.
    pub params: Option<&'a RawValue>,
    /// Tasks of a batch; `None` for a single task.
    pub expansion: Option<Expansion<'a>>,
    /// Whether unused params, and placeholders without a value, are errors.
    pub is_strict: bool,
    /// Whether every seed that no param sets is drawn; `None` draws them if `count` repeats a combination.
    pub randomizes_seeds: Option<bool>,
    /// Whether well-known names such as `prompt` are looked up in the graph.
    pub maps_names: bool,
    /// Lane of the tasks.
    pub priority: Priority,
    /// Time limit of one attempt, ms.
    pub timeout_ms: Option<u64>,
    /// Time by which a task must have started, Unix ms.
    pub start_by_ms: Option<u64>,
    /// Attempts of a task, 1–10.
    pub max_attempts: u32,
    /// The submitter's own object, shown with each task.
    pub metadata: Option<&'a RawValue>,
    /// Keys for API nodes. They win over those of the server.
    pub keys: NodeKeys,
    /// The submitter's own `extra_pnginfo`, an object.
    pub png_info: Option<&'a RawValue>,
    /// Warnings about the request itself.
    pub notes: Vec<Warning>,
}

impl<'a> Submission<'a> {
    /// Returns a submission of one task with every option at its default.
    pub fn new(workflow: &'a RawValue) -> Self {
        Self {
            workflow: Cow::Borrowed(workflow),
            params: None,
            expansion: None,
            is_strict: false,
            randomizes_seeds: None,
            maps_names: false,
            priority: Priority::Normal,
            timeout_ms: None,
            start_by_ms: None,
            max_attempts: MAX_ATTEMPTS_DEFAULT,
            metadata: None,
            keys: NodeKeys::default(),
            png_info: None,
            notes: Vec::new(),
        }
    }

    /// Copies every text, so that other threads can read them.
    pub(super) fn into_owned(self) -> OwnedSubmission {
        OwnedSubmission {
            workflow: self.workflow.into_owned(),
            notes: self.notes,
            params: self.params.map(ToOwned::to_owned),
            expansion: self.expansion.map(Expansion::into_owned),
            is_strict: self.is_strict,
            randomizes_seeds: self.randomizes_seeds,
            maps_names: self.maps_names,
            priority: self.priority,
            timeout_ms: self.timeout_ms,
            start_by_ms: self.start_by_ms,
            max_attempts: self.max_attempts,
            metadata: self.metadata.map(ToOwned::to_owned),
            keys: self.keys,
            png_info: self.png_info.map(ToOwned::to_owned),
        }
    }
}

/// A [`Submission`] that outlives the body it was read from.
#[derive(Debug)]
pub(super) struct OwnedSubmission {
    pub(super) workflow: Box<RawValue>,
    pub(super) params: Option<Box<RawValue>>,
    pub(super) expansion: Option<Expansion<'static>>,
    pub(super) is_strict: bool,
    pub(super) randomizes_seeds: Option<bool>,
    pub(super) maps_names: bool,
    pub(super) priority: Priority,
    pub(super) timeout_ms: Option<u64>,
    pub(super) start_by_ms: Option<u64>,
    pub(super) max_attempts: u32,
    pub(super) metadata: Option<Box<RawValue>>,
    pub(super) keys: NodeKeys,
    pub(super) png_info: Option<Box<RawValue>>,
    pub(super) notes: Vec<Warning>,
}

impl OwnedSubmission {
    /// Whether seeds that no param sets are drawn.
    pub(super) fn draws_seeds(&self) -> bool {
        let repeats = self.expansion.as_ref().is_some_and(Expansion::repeats);
        self.randomizes_seeds.unwrap_or(repeats)
    }
}
