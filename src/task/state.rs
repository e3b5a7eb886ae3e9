//! Where a task stands, and which lane it waits in.

use super::NotAnId;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Where a task stands, in full (queue.md §3.2). Redis holds the [`TaskState::as_str`] word in the field `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Waits for a time: a retry's pause.
    Delayed,
    /// Waits for a free slot.
    Waiting,
    /// Given to an instance; the prompt has not begun.
    Claimed,
    /// The instance executes the prompt.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly, for good.
    Failed,
    /// Ended by its owner.
    Cancelled,
}

impl TaskState {
    /// The word in Redis.
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

    /// What users see.
    pub const fn status(self) -> Status {
        match self {
            Self::Delayed | Self::Waiting | Self::Claimed => Status::Pending,
            Self::Running => Status::Running,
            Self::Completed => Status::Completed,
            Self::Failed => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }

    /// Whether nothing can change any more.
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
    /// Not begun.
    Pending,
    /// An instance executes it.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended by its owner.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word of the API and of the index key.
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

/// Which lane a task waits in. On the wire `"high"`, `"normal"` (default), `"low"`.
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
    /// Served when nothing else waits, or when it has waited for long (queue.md §3.8).
    Low,
}

impl Priority {
    /// Every priority, the most urgent first; the index is the lane's number.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// The lane's number: 0 is served first.
    pub const fn lane(self) -> u8 {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }

    /// The priority of a lane number, if there is such a lane.
    pub fn from_lane(lane: u8) -> Option<Self> {
        Self::ALL.get(usize::from(lane)).copied()
    }
}
