//! How far an attempt is and what it made.

use super::FileId;
use serde::{Deserialize, Serialize};

/// How far an attempt is. `percent` is of the whole graph, 0–99 while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// 0–100, never falls within an attempt.
    #[serde(rename = "progress")]
    pub percent: u8,
    /// The node that executes, by its id in the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_node: Option<String>,
    /// Nodes finished, cached ones included.
    pub nodes_done: u32,
    /// Nodes of the graph that will run.
    pub nodes_total: u32,
}

/// What a node made, as stored in Redis. Links are added when it is shown, see [`crate::task::TaskView`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The node.
    pub node_id: String,
    /// `image`, `video`, `audio`, `text`, `latent`, `model3d` or `file`.
    pub kind: OutputKind,
    /// The stored file; not there for texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<FileId>,
    /// The instance's own file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// From our table by magic bytes and extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Lowercase hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Pixels, of pictures and films whose header tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How long a film or sound is, where its header tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The text of a text output; at most 64 KiB each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// ComfyUI keeps it only until its restart (`type` = `temp`): a preview rather than a result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporary: bool,
    /// Where the file is at its instance, while the prompt runs: whoever carries on after a takeover need not fetch it again.
    /// Never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub source: Option<String>,
}

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// A still or animated picture.
    Image,
    /// A moving picture with a video container.
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
