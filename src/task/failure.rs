//! Failures of attempts and tasks, and whether a retry may help.

use crate::text::truncated;
use serde::{Deserialize, Serialize};

/// Kind of a failure of an attempt or a task. The wire word (`error.type`) is the snake_case name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The instance refused the graph (400 of POST /prompt). Final.
    InvalidWorkflow,
    /// A node raised an exception that is the workflow's fault, or may be. Final; where the cause is not known, after a
    /// try on another instance.
    NodeError,
    /// The instance ran out of memory. Tried once more, where there is more memory if possible.
    OutOfMemory,
    /// A node failed because of the machine: GPU, driver, disk, library, model file. Runs elsewhere; not counted.
    MachineFault,
    /// The instance could not be reached, answered 5xx, or timed out.
    InstanceUnreachable,
    /// The prompt vanished from a running instance: it was restarted, or another client cleared its queue.
    PromptLost,
    /// Another client interrupted the prompt.
    Interrupted,
    /// An uploaded input is missing, or the instance refused it.
    InputUnavailable,
    /// The instance reported success, but an output file or the result could not be fetched. Tried once more; final for
    /// a file name that no request can be made from.
    OutputUnavailable,
    /// The object store refused an output (disk full).
    StorageFailed,
    /// An output or the result is too large, or there are too many outputs. Final.
    OutputTooLarge,
    /// The prompt gave no sign of life: a node that runs for `SILENT_TIMEOUT`, anything else for `STALL_TIMEOUT`. A node
    /// that was silent is tried once more, elsewhere.
    Stalled,
    /// The run took longer than the task's `timeoutMs`. Final.
    RunTimeout,
    /// The task had not started by its `startBy`. Final.
    StartTimeout,
    /// Instances died, or their machines failed, under the task too often. Final.
    Poison,
}

impl FailureKind {
    /// All kinds, for documentation and metrics.
    pub const ALL: [Self; 15] = [
        Self::InvalidWorkflow,
        Self::NodeError,
        Self::OutOfMemory,
        Self::MachineFault,
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

    /// Returns the wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidWorkflow => "invalid_workflow",
            Self::NodeError => "node_error",
            Self::OutOfMemory => "out_of_memory",
            Self::MachineFault => "machine_fault",
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
            | Self::MachineFault
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

/// A failure as stored, published and shown: `{"type","message","nodeId"?,"nodeType"?,"exceptionType"?,"traceback"?,
/// "causeUnknown"?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Kind of the failure.
    #[serde(rename = "type")]
    pub kind: FailureKind,
    /// Message for people; at most [`Failure::MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
    /// Id of the node that raised or was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Class of that node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_type: Option<String>,
    /// Python class of the exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception_type: Option<String>,
    /// Python traceback, one entry per frame; at most 32 lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traceback: Vec<String>,
    /// Whether it is not known if the workflow or the machine is at fault: no other instance could try it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cause_unknown: bool,
}

impl Failure {
    /// Longest message, bytes.
    pub const MESSAGE_BYTES_MAX: usize = 2_000;

    /// Makes a failure without a node.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let message = truncated(message.into(), Self::MESSAGE_BYTES_MAX);
        Self {
            kind,
            message,
            node_id: None,
            node_type: None,
            exception_type: None,
            traceback: Vec::new(),
            cause_unknown: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FailureKind;

    #[test]
    fn every_failure_kind_has_its_own_word() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
