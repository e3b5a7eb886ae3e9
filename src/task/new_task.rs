//! Parts of a task that are fixed when it is accepted: graph, params, files, limits, facts.

use super::{BatchPlace, FileId, InstanceId, Priority, TaskId, WorkflowVersion};
use crate::json::raw_value;
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
    /// Whether `original` is in the editor's format.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_editor: bool,
    /// Members of `extra_pnginfo` besides the submitted graph: an object of the submitter, or the editor's graph of a
    /// published workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub png_info: Option<Box<RawValue>>,
}

impl Payload {
    /// Returns `extra_pnginfo`: always an object, because nodes read it. `workflow` is the submitted graph if it is in the
    /// editor's format, so that a result that is dropped into the editor opens it.
    pub fn extra_pnginfo(&self) -> Box<RawValue> {
        let graph = self.original.as_deref().filter(|_| self.is_editor);
        png_info(self.png_info.as_deref(), graph).unwrap_or_else(|| object("{}".to_owned()))
    }
}

/// Returns an object with the members of `own` and the graph as `workflow`; `None` without both.
pub fn png_info(own: Option<&RawValue>, graph: Option<&RawValue>) -> Option<Box<RawValue>> {
    let Some(graph) = graph else { return own.map(ToOwned::to_owned) };
    let own = own.and_then(raw_value::borrowed_members).unwrap_or_default();
    let mut text = format!("{{\"workflow\":{}", graph.get());
    for (name, value) in own.iter().filter(|(name, _)| name != "workflow") {
        text.push_str(&format!(",{}:{}", raw_value::quote(name).get(), value.get()));
    }
    text.push('}');
    Some(object(text))
}

fn object(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("an object of JSON values is JSON")
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
    /// Keys for API nodes, encrypted.
    pub keys: Option<String>,
    /// Facts fixed at acceptance.
    pub facts: TaskFacts,
}

#[cfg(test)]
mod tests {
    use super::png_info;
    use serde_json::value::RawValue;

    #[test]
    fn the_submitted_graph_is_the_workflow_beside_the_own_members() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let (own, graph) =
            (raw(r#"{"a": 1.0, "workflow": {"old": 1}, "b\"": [1e2]}"#), raw(r#"{"nodes": [], "x": 1.10}"#));
        let shown = |own, graph| png_info(own, graph).map(|made| made.get().to_owned());
        assert_eq!(shown(None, None), None);
        assert_eq!(shown(Some(&own), None).as_deref(), Some(own.get()));
        assert_eq!(shown(None, Some(&graph)).as_deref(), Some(r#"{"workflow":{"nodes": [], "x": 1.10}}"#));
        let both = r#"{"workflow":{"nodes": [], "x": 1.10},"a":1.0,"b\"":[1e2]}"#;
        assert_eq!(shown(Some(&own), Some(&graph)).as_deref(), Some(both));
    }
}
