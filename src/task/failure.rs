//! Why an attempt or a task failed, and whether another try may help.

use serde::{Deserialize, Serialize};

/// Why an attempt or a task failed. The wire word (`error.type`) is the snake_case name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The instance refused the graph (400 of POST /prompt). The task's fault: final.
    InvalidWorkflow,
    /// A node raised. Deterministic: final.
    NodeError,
    /// The instance ran out of memory. Worth another instance.
    OutOfMemory,
    /// The instance could not be reached, answered 5xx, or timed out.
    InstanceUnreachable,
    /// The prompt vanished from a living instance: restarted, or its queue was cleared by somebody.
    PromptLost,
    /// Somebody else interrupted the prompt.
    Interrupted,
    /// An uploaded input is missing, or the instance refused to take it.
    InputUnavailable,
    /// The instance said success, but an output file could not be fetched.
    OutputUnavailable,
    /// Our store refused an output (disk full).
    StorageFailed,
    /// An output is larger, or outputs are more, than allowed. Final.
    OutputTooLarge,
    /// The prompt gave no sign of life for `STALL_TIMEOUT`.
    Stalled,
    /// The run took longer than the task's `timeoutMs`. Final.
    RunTimeout,
    /// The task had not begun by its `startBy`. Final.
    StartTimeout,
    /// Instances died under the task too often. Final.
    Poison,
}

impl FailureKind {
    /// Every kind, for documents and metrics.
    pub const ALL: [Self; 14] = [
        Self::InvalidWorkflow,
        Self::NodeError,
        Self::OutOfMemory,
        Self::InstanceUnreachable,
        Self::PromptLost,
        Self::Interrupted,
        Self::InputUnavailable,
        Self::OutputUnavailable,
        Self::StorageFailed,
        Self::OutputTooLarge,
        Self::Stalled,
        Self::RunTimeout,
        Self::StartTimeout,
        Self::Poison,
    ];

    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidWorkflow => "invalid_workflow",
            Self::NodeError => "node_error",
            Self::OutOfMemory => "out_of_memory",
            Self::InstanceUnreachable => "instance_unreachable",
            Self::PromptLost => "prompt_lost",
            Self::Interrupted => "interrupted",
            Self::InputUnavailable => "input_unavailable",
            Self::OutputUnavailable => "output_unavailable",
            Self::StorageFailed => "storage_failed",
            Self::OutputTooLarge => "output_too_large",
            Self::Stalled => "stalled",
            Self::RunTimeout => "run_timeout",
            Self::StartTimeout => "start_timeout",
            Self::Poison => "poison",
        }
    }

    /// Whether another attempt may help.
    pub const fn retryable(self) -> bool {
        match self {
            Self::OutOfMemory
            | Self::InstanceUnreachable
            | Self::PromptLost
            | Self::Interrupted
            | Self::OutputUnavailable
            | Self::StorageFailed
            | Self::Stalled => true,
            Self::InvalidWorkflow
            | Self::NodeError
            | Self::InputUnavailable
            | Self::OutputTooLarge
            | Self::RunTimeout
            | Self::StartTimeout
            | Self::Poison => false,
        }
    }
}

/// A failure as stored, published and shown: `{"type","message","nodeId"?,"nodeType"?,"exceptionType"?,"traceback"?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What went wrong.
    #[serde(rename = "type")]
    pub kind: FailureKind,
    /// One sentence for people; at most [`Failure::MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
    /// The node that raised or was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_type: Option<String>,
    /// Python's name of the exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception_type: Option<String>,
    /// Python's traceback, one entry per frame; at most 32 lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traceback: Vec<String>,
}

impl Failure {
    /// The longest message kept.
    pub const MESSAGE_BYTES_MAX: usize = 2_000;

    /// A failure without a node.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if message.len() > Self::MESSAGE_BYTES_MAX {
            let mut end = Self::MESSAGE_BYTES_MAX;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
        }
        Self { kind, message, node_id: None, node_type: None, exception_type: None, traceback: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::FailureKind;

    #[test]
    fn a_failure_kind_has_one_word() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
