//! Events from an instance's WebSocket.

use super::picture::Picture;
use crate::{comfy::NodeOutput, task::Failure};
use uuid::Uuid;

/// An event from the WebSocket. Only a hint: REST is the truth. Events of prompts whose id is not a UUID (other
/// clients') are dropped.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptEvent {
    /// Number of prompts pending and running.
    QueueRemaining(u32),
    /// Execution began.
    Started(Uuid),
    /// Results of these nodes are cached; they will not run.
    Cached {
        /// The prompt.
        prompt: Uuid,
        /// Node ids.
        nodes: Vec<String>,
    },
    /// A node started.
    Executing {
        /// The prompt.
        prompt: Uuid,
        /// The node's display id.
        node: String,
    },
    /// A node's progress bar moved.
    Progress {
        /// The prompt.
        prompt: Uuid,
        /// The node's display id, if known.
        node: Option<String>,
        /// From 0 to `max`.
        value: f64,
        /// Greater than 0.
        max: f64,
    },
    /// A node ended with outputs.
    Executed {
        /// The prompt.
        prompt: Uuid,
        /// The node's display id.
        node: String,
        /// Its files and texts, up to a size limit. The history has all of them.
        outputs: Vec<NodeOutput>,
    },
    /// A node sent a picture, which is its result if it is a node of that kind.
    Picture {
        /// The prompt.
        prompt: Uuid,
        /// The node's display id.
        node: String,
        /// The picture; `None` if it was dropped, because too many wait to be stored.
        picture: Option<Picture>,
    },
    /// A node failed, or the prompt was interrupted, which ends the prompt.
    Failed {
        /// The prompt.
        prompt: Uuid,
        /// The failure, as the history will have it.
        failure: Box<Failure>,
    },
    /// The prompt probably ended (success, or `executing null`). Check with
    /// [`crate::comfy::Client::result`].
    Ended(Uuid),
}

impl PromptEvent {
    /// Returns the prompt that the event is about.
    pub const fn prompt(&self) -> Option<Uuid> {
        match self {
            Self::QueueRemaining(_) => None,
            Self::Started(prompt) | Self::Ended(prompt) => Some(*prompt),
            Self::Cached { prompt, .. }
            | Self::Executing { prompt, .. }
            | Self::Progress { prompt, .. }
            | Self::Picture { prompt, .. }
            | Self::Failed { prompt, .. }
            | Self::Executed { prompt, .. } => Some(*prompt),
        }
    }

    /// Memory of the event, about, bytes.
    pub(crate) fn memory(&self) -> usize {
        let parts: usize = match self {
            Self::QueueRemaining(_) | Self::Started(_) | Self::Ended(_) => 0,
            Self::Cached { nodes, .. } => nodes.iter().map(|node| 32 + node.len()).sum(),
            Self::Executing { node, .. } | Self::Picture { node, .. } => node.len(),
            Self::Progress { node, .. } => node.as_ref().map_or(0, String::len),
            Self::Failed { failure, .. } => {
                failure.message.len() + failure.traceback.iter().map(String::len).sum::<usize>()
            }
            Self::Executed { node, outputs, .. } => node.len() + outputs.iter().map(NodeOutput::memory).sum::<usize>(),
        };
        128 + parts
    }
}
