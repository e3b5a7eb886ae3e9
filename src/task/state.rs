//! State and priority of a task.

use super::NotAnId;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// State of a task (queue.md §3.2). Redis holds the [`TaskState::as_str`] word in the field `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Waiting for the delay before a retry.
    Delayed,
    /// Waiting for a free slot.
    Waiting,
    /// Given to an instance; the prompt has not started.
    Claimed,
    /// The instance is executing the prompt.
    Running,
    /// Succeeded.
    Completed,
    /// Failed for good.
    Failed,
    /// Cancelled by its owner.
    Cancelled,
}

impl TaskState {
    /// Returns the word in Redis.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the status shown to users.
    pub const fn status(self) -> Status {
        match self {
            Self::Delayed | Self::Waiting | Self::Claimed => Status::Pending,
            Self::Running => Status::Running,
            Self::Completed => Status::Completed,
            Self::Failed => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }

    /// Whether the state is final.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl FromStr for TaskState {
    type Err = NotAnId;

    fn from_str(word: &str) -> Result<Self, NotAnId> {
        Ok(match word {
            "delayed" => Self::Delayed,
            "waiting" => Self::Waiting,
            "claimed" => Self::Claimed,
            "running" => Self::Running,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => return Err(NotAnId),
        })
    }
}

/// The `status` of the API: `pending` → `running` → `completed` | `failed` | `cancelled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not started.
    Pending,
    /// An instance is executing it.
    Running,
    /// Succeeded.
    Completed,
    /// Failed.
    Failed,
    /// Cancelled by its owner.
    Cancelled,
}

impl Status {
    /// All statuses, in the order of the life cycle.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// Returns the word of the API and of the index key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Lane in which a task waits. On the wire `"high"`, `"normal"` (default), `"low"`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Served first.
    High,
    /// The default.
    #[default]
    Normal,
    /// Served if no other task waits, or after a long wait (queue.md §3.8).
    Low,
}

impl Priority {
    /// All priorities, the most urgent first; the index is the lane number.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Returns the word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// Returns the lane number; 0 is served first.
    pub const fn lane(self) -> u8 {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }

    /// Returns the priority of a lane number, if the lane exists.
    pub fn from_lane(lane: u8) -> Option<Self> {
        Self::ALL.get(usize::from(lane)).copied()
    }
}
