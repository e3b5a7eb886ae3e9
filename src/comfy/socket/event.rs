//! A hint from an instance's WebSocket.

use crate::comfy::Made;
use uuid::Uuid;

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
        /// More than 0.
        max: f64,
    },
    /// A node ended with something to show.
    Executed {
        /// The prompt.
        prompt: Uuid,
        /// The node's display id.
        node: String,
        /// Its files and texts, as far as they fit: the history has all.
        made: Vec<Made>,
    },
    /// Probably ended (success, error, interrupted, or `executing null`): look.
    Ended(Uuid),
}

impl Sign {
    /// The prompt it is about.
    pub const fn prompt(&self) -> Option<Uuid> {
        match self {
            Self::QueueRemaining(_) => None,
            Self::Started(prompt) | Self::Ended(prompt) => Some(*prompt),
            Self::Cached { prompt, .. }
            | Self::Executing { prompt, .. }
            | Self::Progress { prompt, .. }
            | Self::Executed { prompt, .. } => Some(*prompt),
        }
    }
}
