//! State shared by the stages of an attempt.

use super::{
    outputs::{file_names::FileNames, store_output::OutputStore},
    spans::Spans,
};
use crate::{
    dispatcher::{
        instance::{runs::AttemptSignals, state::Instance},
        node_keys::AttemptKeys,
        redis_retry::RedisCall,
    },
    graph::Workflow,
    queue::Claim,
    task::OutputWarning,
};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// State shared by the stages of one attempt.
pub(crate) struct AttemptContext {
    pub(crate) instance: Arc<Instance>,
    pub(crate) claim: Claim,
    pub(crate) prompt: Uuid,
    /// Keys for API nodes.
    pub(crate) keys: AttemptKeys,
    /// The stored graph, parsed; `None` if it cannot be parsed.
    pub(crate) workflow: Option<Workflow>,
    pub(crate) signals: AttemptSignals,
    /// Start of this process' work on the attempt.
    pub(crate) since: tokio::time::Instant,
    /// Whether the prompt may be in the instance's queue twice, because an earlier POST is in doubt.
    pub(crate) may_have_copy: bool,
    /// Start of the execution, if this process saw the prompt end.
    pub(crate) began: Option<tokio::time::Instant>,
    /// Names of the output files.
    pub(crate) names: Arc<Mutex<FileNames>>,
    /// Warnings about the outputs, recorded with the end of the task.
    pub(crate) warnings: Vec<OutputWarning>,
    /// Run times of the nodes, with those of earlier runs, recorded with the end of the task; empty = none.
    pub(crate) node_times: String,
    /// Trace spans of the attempt.
    pub(crate) spans: Spans,
}

impl AttemptContext {
    /// The destination of this attempt's outputs.
    pub(crate) fn output_store(&self) -> OutputStore {
        OutputStore {
            instance: self.instance.clone(),
            task: self.claim.task,
            attempt: self.claim.attempt,
            owner: self.claim.owner.clone(),
            keys: self.keys.keys().clone(),
            cancelled: self.signals.cancelled.clone(),
            names: self.names.clone(),
        }
    }

    /// A Redis call of this attempt.
    pub(crate) fn call(&self, verb: &'static str) -> RedisCall<'_> {
        RedisCall::of_attempt(verb, &self.instance.target.id, self.claim.task, self.claim.attempt)
    }
}
