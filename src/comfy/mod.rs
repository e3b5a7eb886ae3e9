//! ComfyUI over HTTP and WebSocket: client, socket, wire forms, outcome from history. The only user of reqwest,
//! tokio-tungstenite and backoff.
//!
//! Invariant: no wire form of ComfyUI leaves this room. The facts are in the project's protocol page.

use crate::{
    fleet::{Device, Target},
    task::Failure,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde_json::value::RawValue;
use std::time::Duration;
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

/// One instance's client; cheap to clone; keeps its connections. Never retries by itself, sends no `Origin`, follows no
/// redirect, uses no proxy.
#[derive(Debug, Clone)]
pub struct Client {}

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

/// The instance's own queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// Prompt ids executing.
    pub running: Vec<String>,
    /// Prompt ids waiting, in run order.
    pub pending: Vec<String>,
}

impl Client {
    /// A client of one instance. `timeout` is of each request; of downloads and uploads, of connect and of each read.
    ///
    /// # Errors
    /// The target's headers or URL cannot be used.
    pub fn new(_target: &Target, _timeout: Duration) -> Result<Self, Error> {
        todo!("helper comfy")
    }

    /// Asks what it is: /system_stats, /features, /api/jobs. Remembers whether to use /api/jobs.
    pub async fn probe(&self, _timeout: Duration) -> Result<Probe, Error> {
        todo!("helper comfy")
    }

    /// GET /prompt: prompts pending and running. The cheapest check.
    pub async fn queue_remaining(&self, _timeout: Duration) -> Result<u32, Error> {
        todo!("helper comfy")
    }

    /// GET /queue.
    pub async fn queue(&self) -> Result<QueueSnapshot, Error> {
        todo!("helper comfy")
    }

    /// POST /prompt with our own id, client id and nothing of the user's but the graph. Sent once; after an error look
    /// before sending again.
    pub async fn submit(&self, _prompt: Uuid, _workflow: &RawValue, _client_id: &str) -> Result<Submitted, Error> {
        todo!("helper comfy")
    }

    /// Where the prompt is. `Unknown` is certain: /queue was read before /history.
    pub async fn look(&self, _prompt: Uuid) -> Result<Sighting, Error> {
        todo!("helper comfy")
    }

    /// Asks once that the prompt be dropped from the queue and, if it runs, interrupted. Repeat until `look` says gone.
    /// Never a global interrupt.
    pub async fn cancel(&self, _prompt: Uuid) -> Result<(), Error> {
        todo!("helper comfy")
    }

    /// POST /history {"delete":[id]}: after the result is stored.
    pub async fn forget(&self, _prompt: Uuid) -> Result<(), Error> {
        todo!("helper comfy")
    }

    /// POST /free: after out of memory.
    pub async fn free(&self) -> Result<(), Error> {
        todo!("helper comfy")
    }

    /// GET /view.
    pub async fn view(&self, _file: &RemoteFile) -> Result<Download, Error> {
        todo!("helper comfy")
    }

    /// POST /upload/image with `overwrite=true`; gives the name to write into the graph (`subfolder/name`).
    pub async fn upload(
        &self,
        _subfolder: &str,
        _filename: &str,
        _size_bytes: u64,
        _bytes: BoxStream<'static, std::io::Result<Bytes>>,
    ) -> Result<String, Error> {
        todo!("helper comfy")
    }

    /// Opens the WebSocket with `client_id`, within `timeout`. The returned socket is drained by a task of its own into a
    /// bounded channel; a full channel drops progress, never endings.
    pub async fn connect(&self, _client_id: &str, _timeout: Duration) -> Result<Socket, Error> {
        todo!("helper comfy")
    }
}

/// An open WebSocket. Dropping it closes it.
#[derive(Debug)]
pub struct Socket {}

impl Socket {
    /// The next sign; `None` when the socket has closed or fell silent (no pong for 20 s).
    pub async fn next(&mut self) -> Option<Sign> {
        todo!("helper comfy")
    }

    /// Closes it fully, so that a new one with the same client id is safe (protocol §5).
    pub async fn close(self) {
        todo!("helper comfy")
    }
}

/// A hint from the WebSocket; REST is the truth. Prompt ids that are no UUIDs (other clients') are dropped.
#[derive(Debug, Clone, PartialEq)]
pub enum Sign {
    /// Prompts pending and running.
    QueueRemaining(u32),
    /// Execution began.
    Started(Uuid),
    /// These nodes need not run.
    Cached {
        /// The prompt.
        prompt: Uuid,
        /// Ids.
        nodes: Vec<String>,
    },
    /// A node begins.
    Executing {
        /// The prompt.
        prompt: Uuid,
        /// The node's display id.
        node: String,
    },
    /// A node's bar moves.
    Progress {
        /// The prompt.
        prompt: Uuid,
        /// The node's display id, if known.
        node: Option<String>,
        /// 0–max.
        value: f64,
        /// > 0.
        max: f64,
    },
    /// A node ended with something to show.
    Executed {
        /// The prompt.
        prompt: Uuid,
        /// The node's display id.
        node: String,
    },
    /// Probably ended (success, error, interrupted, or `executing null`): look.
    Ended(Uuid),
}
