//! ComfyUI over HTTP and WebSocket: client, socket, wire forms, outcome from history. The only user of reqwest,
//! tokio-tungstenite and backoff.
//!
//! Look first at [`Client`] (what can be asked), [`Socket`] (what is heard) and [`Tracker`] (how far a prompt is). `http` is
//! one request, `history`, `outputs` and `refusal` read what came back, `frame` reads frames as signs, `lenient` is JSON as Python
//! writes it.
//!
//! Invariant: no wire form of ComfyUI leaves this room; nothing an instance sends panics, fills the memory or becomes a path.
//! The facts are in the project's protocol page.

mod dns_guard;
mod error_text;
mod files;
mod history;
mod http;
mod limits;
mod outputs;
mod pauses;
mod prompts;
mod python_json;
mod remote_file;
mod socket;
mod submit;
mod system_stats;
mod validation_error;

pub use pauses::Pauses;
pub use prompts::Client;
pub use socket::{Socket, event::Sign, progress::Tracker};

use crate::{fleet::Device, task::Failure};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use uuid::Uuid;

/// Why an instance did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Nobody listens, the connection broke, or it timed out: the request may or may not have arrived.
    #[error("{0}")]
    Unreachable(String),
    /// It answered 5xx or something that is not ComfyUI: the request may or may not have worked.
    #[error("{0}")]
    Broken(String),
    /// 404: no such file or route.
    #[error("not found")]
    NotFound,
    /// 413 or another refusal of this very request.
    #[error("refused: {0}")]
    Refused(String),
}

/// What an instance is, asked once per connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// `comfyui_version`.
    pub version: String,
    /// The first device.
    pub device: Option<Device>,
    /// `max_upload_size` of /features, bytes.
    pub upload_bytes_max: Option<u64>,
    /// `/api/jobs` exists (0.38).
    pub has_jobs: bool,
}

/// What became of POST /prompt.
#[derive(Debug, Clone)]
pub enum Submitted {
    /// Queued whole.
    Accepted,
    /// Refused (400), or accepted only in part (200 with `node_errors`; already taken back): the task's fault, final.
    Invalid(Failure),
}

/// Where a prompt is: /queue first, then /history (protocol §4, §6), or /api/jobs.
#[derive(Debug, Clone)]
pub enum Sighting {
    /// Waits in the instance's queue.
    Pending,
    /// Executes.
    Running,
    /// Ended.
    Ended(Ending),
    /// In neither: never arrived, or the instance forgot (restart, cleared).
    Unknown,
}

/// How a prompt ended, from history.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Verdict.
    pub verdict: Verdict,
    /// Everything with a file name, and texts, in the order of nodes.
    pub outputs: Vec<Made>,
}

/// The verdict of history.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Ended well.
    Success,
    /// A node raised (kind `NodeError` or `OutOfMemory`).
    Failed(Failure),
    /// Somebody interrupted it.
    Interrupted,
}

/// One thing a node made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// A file to fetch.
    File {
        /// The node.
        node_id: String,
        /// The ui key: `images`, `gifs`, `audio`, …
        key: String,
        /// Where.
        file: RemoteFile,
        /// `animated` was set.
        animated: bool,
    },
    /// A text.
    Text {
        /// The node.
        node_id: String,
        /// At most 64 KiB.
        text: String,
    },
}

/// A file at an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Base name.
    pub filename: String,
    /// Folder below the type's folder.
    pub subfolder: String,
    /// `output`, `temp` or `input`.
    pub folder_type: String,
}

/// Bytes of a file at an instance. The stream fails if it ends before `size_bytes`.
pub struct Download {
    /// Content-Length.
    pub size_bytes: Option<u64>,
    /// The bytes.
    pub bytes: BoxStream<'static, Result<Bytes, Error>>,
}

/// A picture of a prompt that still runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The prompt.
    pub prompt: Uuid,
    /// `image/jpeg`, `image/png` or `image/webp`.
    pub content_type: &'static str,
    /// At most 1 MiB.
    pub bytes: Bytes,
}

/// The instance's own queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// Prompt ids executing.
    pub running: Vec<String>,
    /// Prompt ids waiting, in run order.
    pub pending: Vec<String>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}
