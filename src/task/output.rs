//! Progress and outputs of an attempt.

use super::FileId;
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
}

/// Output of a node, as stored in Redis. Links are added in [`crate::task::TaskView`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Id of the node.
    pub node_id: String,
    /// `image`, `video`, `audio`, `text`, `latent`, `model3d` or `file`.
    pub kind: OutputKind,
    /// Id of the stored file; absent for texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<FileId>,
    /// Name of the file on the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
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
    /// Text of a text output; at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether the text was cut, for a list or an event; the task has all of it.
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
    /// A string, no file.
    Text,
    /// ComfyUI's `.latent`.
    Latent,
    /// A 3D model.
    Model3d,
    /// Anything else with a file name.
    #[default]
    File,
}
