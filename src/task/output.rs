//! Progress and outputs of an attempt.

use super::FileId;
use crate::text::ellipsis;
use serde::{Deserialize, Serialize};

/// Progress of an attempt. `percent` is of the whole graph, 0–99 while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Percentage, 0–100; never decreases within an attempt.
    #[serde(rename = "progress")]
    pub percent: u8,
    /// Id of the executing node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_node: Option<String>,
    /// Number of finished nodes, including cached ones.
    pub nodes_done: u32,
    /// Number of nodes that will run.
    pub nodes_total: u32,
    /// Step of the executing node, if it reports steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// Number of its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// Estimated rest of the run, ms; absent while nothing is known to estimate it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

/// Output of a node, as stored in Redis. Links are added in [`crate::task::TaskView`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Id of the node.
    pub node_id: String,
    /// `image`, `video`, `audio`, `latent`, `model3d` or `file`; of a value `text`, `json`, `number` or `boolean`.
    pub kind: OutputKind,
    /// Key of the node's result that lists it: `images`, `gifs`, `text`, `tags`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Id of the stored file; absent for values that are short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<FileId>,
    /// Name to save the file under, valid on every system: no two files of the same task or of different tasks share
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Name of the file on the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_name: Option<String>,
    /// Folder that the workflow saves it in (`front` for the prefix `front/img`); absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subfolder: Option<String>,
    /// Content type of our own table, by magic bytes and extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// SHA-256, lowercase hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Width in pixels, of images and videos whose header has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, of images and videos whose header has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Duration of a video or sound whose header has it, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// A value as text: the text itself, the JSON, the number or the boolean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The number or the boolean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Scalar>,
    /// Whether only the beginning of the text is here: the file has all of it, if there is one (texts above 64 KiB), else
    /// the task has (entries of lists, and events).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Whether ComfyUI keeps it only until its restart (`type` = `temp`): a preview rather than a result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporary: bool,
    /// Path of the file on its instance while the prompt runs, so that a dispatcher that takes over does not fetch it
    /// again. Never shown to users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub source: Option<String>,
}

/// A warning about what a node made, or should have made: `{"code","message","nodeId"?,"key"?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputWarning {
    /// Stable code for programs: `output_dropped`, `output_ignored`, `result_not_recorded`,
    /// `no_outputs`.
    pub code: String,
    /// Message for people: node, key and reason.
    pub message: String,
    /// Id of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Key of the node's result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl OutputWarning {
    /// Maximum number of warnings of one task.
    pub const MAX: usize = 20;
    /// Length of a reason that is kept, bytes.
    const REASON_BYTES_MAX: usize = 300;

    /// Warns that a value or file of a node is not among the outputs.
    pub fn dropped(node_id: &str, key: &str, reason: &str) -> Self {
        let reason = ellipsis(reason, Self::REASON_BYTES_MAX);
        Self {
            code: "output_dropped".to_owned(),
            message: format!("{key:?} of node {node_id} is not among the outputs: {reason}"),
            node_id: Some(node_id.to_owned()),
            key: Some(key.to_owned()),
        }
    }

    /// Warns that the instance announced the outputs and did not record them.
    pub fn unrecorded() -> Self {
        Self {
            code: "result_not_recorded".to_owned(),
            message: "the instance executed the task and did not record its result; outputs that it did not announce \
                      before, and long texts, are not among the outputs"
                .to_owned(),
            node_id: None,
            key: None,
        }
    }

    /// Warns that an output node did not run, because the instance refused its branch of the graph.
    pub fn ignored(node_id: &str, reason: &str) -> Self {
        let reason = ellipsis(reason, Self::REASON_BYTES_MAX);
        Self {
            code: "output_ignored".to_owned(),
            message: format!("output node {node_id} did not run: {reason}"),
            node_id: Some(node_id.to_owned()),
            key: None,
        }
    }

    /// Warns that a completed task has no outputs.
    pub fn none(reason: &str) -> Self {
        let message = format!("the task completed without an output: {reason}");
        Self { code: "no_outputs".to_owned(), message, node_id: None, key: None }
    }
}

/// A number or a boolean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// A boolean.
    Boolean(bool),
    /// A number that a double or a 64-bit integer holds.
    #[schema(value_type = f64)]
    Number(serde_json::Number),
}

/// Kind of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// A still or animated picture.
    Image,
    /// A video.
    Video,
    /// Sound.
    Audio,
    /// A text.
    Text,
    /// A list or an object as JSON text.
    Json,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// ComfyUI's `.latent`.
    Latent,
    /// A 3D model.
    Model3d,
    /// Anything else with a file name.
    #[default]
    File,
}
