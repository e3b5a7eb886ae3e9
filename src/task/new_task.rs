//! Parts of a task that are fixed when it is accepted: graph, params, files, limits, facts.

use super::{BatchPlace, FileId, InstanceId, Priority, TaskId, WorkflowVersion};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An input that takes a stored file; the dispatcher uploads the file and writes its name on the instance into the
/// graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileInput {
    /// Id of the node.
    pub node_id: String,
    /// The input of that node.
    pub input: String,
    /// Id of the stored file.
    pub file_id: FileId,
}

/// Graph, params and files of a task: stored compressed beside the task, read by the claim and by `?include=workflow`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// The resolved graph, with numbers as submitted: `{node_id: {class_type, inputs, _meta?}}`.
    pub workflow: Box<RawValue>,
    /// Params as submitted; `{}` if absent.
    pub params: Box<RawValue>,
    /// The graph as submitted, if resolving changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Box<RawValue>>,
    /// Stored files that the graph needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileInput>,
}

/// A warning for the submitter of an accepted task: `{"code","message","param"?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Warning {
    /// Stable code for programs, such as `param_unused`.
    pub code: String,
    /// Message for people.
    pub message: String,
    /// The parameter concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}

/// Facts of a task that are fixed at acceptance and shown later; one JSON field of the task hash.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskFacts {
    /// Object of the submitter, returned as it is; at most 4 KiB of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// Seeds drawn by the server: `{"3.seed": 123}`, u64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<(String, u64)>,
    /// Well-known names mapped to an input: `("prompt", "6.text")`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mapped: Vec<(String, String)>,
    /// Warnings for the submitter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Time limit of one attempt, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Instances that meet its needs; empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eligible: Vec<InstanceId>,
    /// Needs that not all instances met: `4.ckpt_name "a.safetensors"`; at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Hash of the graph without seeds, texts and file names: runs with the same hash take about the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_hash: Option<String>,
    /// The published workflow that the task runs.
    #[serde(rename = "flow", default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowVersion>,
    /// Position in its batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchPlace>,
    /// Number of nodes of the graph.
    pub nodes_total: u32,
}

/// A task to be enqueued.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// New id, or the id made from the idempotency key.
    pub id: TaskId,
    /// User who submitted it (`sub` of the token).
    pub owner: String,
    /// Whether no list restricted to this owner is ever read, because the owner may list all tasks: saves its index.
    pub is_unlisted: bool,
    /// Priority, which selects the lane.
    pub priority: Priority,
    /// SHA-256 (hex) of the parts of the request that matter for idempotency: the same key with another fingerprint is
    /// a conflict.
    pub fingerprint: String,
    /// Maximum number of attempts, 1–10.
    pub max_attempts: u32,
    /// Latest start, Unix ms of Redis; a task that has not started by then fails with `start_timeout`.
    pub start_by_ms: Option<u64>,
    /// Graph, params and files.
    pub payload: Payload,
    /// Facts fixed at acceptance.
    pub facts: TaskFacts,
}
