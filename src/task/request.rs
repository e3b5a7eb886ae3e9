//! What is fixed when a task is accepted: graph, params, files, limits, facts.

use super::{BatchPlace, FileId, FlowVersion, InstanceId, Priority, TaskId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An input that names a stored file; the dispatcher uploads it and writes the instance's name into the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileInput {
    /// The node.
    pub node_id: String,
    /// The input of that node.
    pub input: String,
    /// The stored file.
    pub file_id: FileId,
}

/// What a task runs: stored compressed beside the task, read by the claim and by `?include=workflow`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// The resolved graph, numbers as they came: `{node_id: {class_type, inputs, _meta?}}`.
    pub workflow: Box<RawValue>,
    /// As submitted, `{}` when absent.
    pub params: Box<RawValue>,
    /// As submitted, where resolving changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Box<RawValue>>,
    /// Stored files the graph needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileInput>,
}

/// Something a submitter should know though the task was accepted: `{"code","message","param"?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// A stable machine word such as `param_unused`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// The parameter it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}

/// Everything about a task that is fixed when it is accepted and shown later; one JSON field of the task hash.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskFacts {
    /// The submitter's own object, echoed; at most 4 KiB of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// Seeds that we drew: `{"3.seed": 123}`, u64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<(String, u64)>,
    /// Well-known names that we gave to an input: `("prompt", "6.text")`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mapped: Vec<(String, String)>,
    /// What the submitter should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Longest run of one attempt, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The instances that have what it needs; empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eligible: Vec<InstanceId>,
    /// What not all instances had: `4.ckpt_name "a.safetensors"`; at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Names the graph but for seeds, texts and file names: runs of one hash take about the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_hash: Option<String>,
    /// The published workflow that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowVersion>,
    /// Its place among the tasks that were made by one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchPlace>,
    /// Nodes of the graph.
    pub nodes_total: u32,
}

/// What an enqueue takes.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Fresh, or made from the idempotency key.
    pub id: TaskId,
    /// Whose it is (`sub` of the token).
    pub owner: String,
    /// Its lane.
    pub priority: Priority,
    /// SHA-256 (hex) of the request that matters for idempotency: same key and other fingerprint is a conflict.
    pub fingerprint: String,
    /// How often it may be tried: 1–10.
    pub max_attempts: u32,
    /// Not begun by this Unix ms (Redis time): failed with `start_timeout`.
    pub start_by_ms: Option<u64>,
    /// Graph, params and files.
    pub payload: Payload,
    /// Fixed facts.
    pub facts: TaskFacts,
}
