//! Client of one ComfyUI instance: HTTP requests, the WebSocket, wire forms, and the outcome of a prompt from its
//! history.
//!
//! Start with [`Client`] (the requests), [`Socket`] (the events) and [`ProgressTracker`] (progress of a prompt). `http`
//! sends one request; `history`, `outputs` and `validation_error` parse replies; `socket/text_frame` parses WebSocket frames
//! into events; `python_json` parses JSON as Python writes it.
//!
//! Invariants: no wire form of ComfyUI leaves this room. Nothing an instance sends causes a panic, unbounded memory use
//! or a path on our disk: every reply, frame, list and text has a limit (`limits`), ids are cut before they are looked at,
//! an instance has one large reply at a time in memory, and large replies and frames are parsed off the runtime
//! (`off_runtime`). Facts about the protocol are in the project's protocol page; section numbers refer to it.

mod error_text;
pub(crate) mod fault_class;
mod files;
mod history;
mod http;
mod limits;
mod off_runtime;
mod outputs;
mod process_mark;
mod prompts;
mod python_json;
mod remote_file;
mod socket;
mod submit;
mod system_stats;
mod validation_error;

pub use prompts::Client;
pub(crate) use remote_file::is_absolute;
pub(crate) use socket::event_queue::EventQueue;
pub use socket::{Socket, event::PromptEvent, node_weights::NodeWeights, picture::Picture, progress::ProgressTracker};

use crate::{
    fleet::Device,
    task::{Failure, OutputKind, OutputWarning},
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use uuid::Uuid;

/// Errors of a request to an instance, by what the caller can conclude.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Connection refused or broken, or a timeout. The request may or may not have arrived.
    #[error("{0}")]
    Unreachable(NoAnswer),
    /// A 5xx, or an answer that is not ComfyUI's. The request may or may not have taken effect.
    #[error("{0}")]
    Broken(String),
    /// 404: the file or route does not exist.
    #[error("not found")]
    NotFound,
    /// 413, or another refusal of this particular request.
    #[error("refused: {0}")]
    Refused(String),
    /// The prompt is not in the queue, and what the history says of it is not ComfyUI's.
    #[error("{0}")]
    Unreadable(String),
    /// The prompt has ended, and its history entry is longer than any that is read.
    #[error("{0}")]
    TooLong(String),
}

/// The reason for which a request got no answer; reads as text.
#[derive(Debug, Clone)]
pub struct NoAnswer {
    reason: String,
    /// Whether the connection was refused: no process listens at the port.
    pub(crate) is_refused: bool,
}

impl From<String> for NoAnswer {
    fn from(reason: String) -> Self {
        Self { reason, is_refused: false }
    }
}

impl std::ops::Deref for NoAnswer {
    type Target = str;

    fn deref(&self) -> &str {
        &self.reason
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error {
    /// Whether the connection was refused: no process listens at the port.
    pub(crate) const fn is_refused_connection(&self) -> bool {
        matches!(self, Self::Unreachable(NoAnswer { is_refused: true, .. }))
    }

    fn unreachable(reason: String) -> Self {
        Self::Unreachable(reason.into())
    }
}

/// Version, device and features of an instance, read once per connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// `comfyui_version` of /system_stats.
    pub version: String,
    /// The first device.
    pub device: Option<Device>,
    /// `max_upload_size` of /features, bytes.
    pub upload_bytes_max: Option<u64>,
    /// Whether `/api/jobs` exists (0.38).
    pub has_jobs: bool,
}

/// Result of POST /prompt.
#[derive(Debug, Clone)]
pub enum Submitted {
    /// The whole graph was queued.
    Accepted,
    /// The valid outputs were queued (200 with `node_errors`); these were left out.
    AcceptedInPart(Vec<OutputWarning>),
    /// Refused (400). Final: the task is at fault.
    Invalid(Failure),
}

/// State of a prompt, read from /queue and then /history (protocol §4, §6), or from /api/jobs.
#[derive(Debug, Clone)]
pub enum PromptStatus {
    /// Waiting in the instance's queue.
    Pending,
    /// Executing.
    Running,
    /// Ended, with an entry in the history.
    Ended(Box<PromptResult>),
    /// In neither queue nor history: it never arrived, or the instance lost it (restart, history cleared).
    Unknown,
}

/// Outcome and outputs of an ended prompt, from its history entry.
#[derive(Debug, Clone)]
pub struct PromptResult {
    /// The outcome.
    pub outcome: PromptOutcome,
    /// Every file with a usable name, and every value, in the order of the graph's nodes.
    pub outputs: Vec<NodeOutput>,
    /// Warnings about files and values that were left out, with the reasons.
    pub warnings: Vec<OutputWarning>,
    /// The reason for which not all outputs can be fetched, here or elsewhere: an unusable file name, or too many. An
    /// unusable name counts only if nothing else is there.
    pub fault: Option<Failure>,
}

/// Outcome of a prompt according to its history entry.
#[derive(Debug, Clone)]
pub enum PromptOutcome {
    /// Succeeded.
    Success,
    /// A node raised an exception (kind `NodeError`, `OutOfMemory` or `MachineFault`).
    Failed(Failure),
    /// Interrupted by a request.
    Interrupted,
}

/// A file or value that a node produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeOutput {
    /// A file to download.
    File {
        /// The node's display id.
        node_id: String,
        /// The ui key: `images`, `gifs`, `audio`, …
        key: String,
        /// Location on the instance.
        file: RemoteFile,
        /// Whether `animated` was set.
        animated: bool,
        /// Whether the node named it by a string that only looks like a path of a 3D file: it may be in the folder of
        /// temporary files instead, or be no file.
        is_bare_path: bool,
    },
    /// A text, number, boolean, or JSON.
    Value {
        /// The node's display id.
        node_id: String,
        /// The ui key: `text`, `tags`, `value`, …
        key: String,
        /// `Text`, `Json`, `Number` or `Boolean`.
        kind: OutputKind,
        /// The value as text.
        text: String,
        /// Whether it becomes part of the task (up to 64 KiB, and 1 MiB with the values before it); else it is stored as
        /// a file.
        is_short: bool,
    },
    /// A picture that was sent over the WebSocket instead of being saved.
    Picture {
        /// The node's display id.
        node_id: String,
        /// The picture.
        picture: Picture,
    },
}

impl NodeOutput {
    /// Returns the node and the ui key. Pictures have no key; `websocket` stands for it.
    pub(crate) fn origin(&self) -> (&str, &str) {
        match self {
            Self::File { node_id, key, .. } | Self::Value { node_id, key, .. } => (node_id, key),
            Self::Picture { node_id, .. } => (node_id, "websocket"),
        }
    }

    /// Memory of the output, about, bytes.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::File { node_id, key, file, .. } => 256 + node_id.len() + key.len() + file.memory(),
            Self::Value { node_id, key, text, .. } => 128 + node_id.len() + key.len() + text.len(),
            // The picture has a limit of its own.
            Self::Picture { node_id, .. } => 128 + node_id.len(),
        }
    }
}

/// Location of a file on an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteFile {
    /// Base name.
    pub filename: String,
    /// Folder below the type's folder.
    pub subfolder: String,
    /// `output`, `temp` or `input`.
    pub folder_type: String,
}

/// A file being downloaded from an instance. The stream yields an error if it ends before `size_bytes`.
pub struct Download {
    /// Content-Length, if given.
    pub size_bytes: Option<u64>,
    /// The bytes.
    pub bytes: BoxStream<'static, Result<Bytes, Error>>,
}

/// A preview picture of a running prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The prompt.
    pub prompt: Uuid,
    /// `image/jpeg`, `image/png` or `image/webp`.
    pub content_type: &'static str,
    /// The picture, at most 1 MiB.
    pub bytes: Bytes,
}

/// Contents of an instance's queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// Ids of the prompts being executed.
    pub running: Vec<String>,
    /// Ids of the waiting prompts, in the order they will run.
    pub pending: Vec<String>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}
