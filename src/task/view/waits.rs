//! The time that a task waited: before its start and between attempts.

use crate::task::{Task, TaskState};

/// The time that a task waited.
pub(super) struct Waits {
    /// All waits that have ended, ms.
    pub(super) ended_ms: u64,
    /// Start of the present wait, Unix ms.
    pub(super) since_ms: Option<u64>,
}

impl Waits {
    pub(super) fn of(task: &Task) -> Self {
        let is_active = matches!(task.state, TaskState::Claimed | TaskState::Running);
        let (mut ended_ms, mut since_ms) = (0_u64, task.created_ms);
        for record in &task.attempts {
            since_ms = since_revival(task, since_ms, record.started_ms);
            // The last attempt waited at its instance until it ran.
            let is_last = record.attempt == task.attempt;
            let begun_ms = task.started_ms.filter(|started| is_last && *started >= record.started_ms);
            ended_ms += begun_ms.unwrap_or(record.started_ms).saturating_sub(since_ms);
            since_ms = record.ended_ms.unwrap_or(u64::MAX);
        }
        match task.finished_ms {
            Some(finished_ms) if task.state.is_terminal() => {
                since_ms = since_revival(task, since_ms, finished_ms);
                Self { ended_ms: ended_ms + finished_ms.saturating_sub(since_ms), since_ms: None }
            }
            _ if is_active => Self { ended_ms, since_ms: None },
            _ => Self { ended_ms, since_ms: Some(since_revival(task, since_ms, u64::MAX)) },
        }
    }
}

/// Start of a wait that ended at `until_ms`: a revived task did not wait between its end and its revival.
fn since_revival(task: &Task, since_ms: u64, until_ms: u64) -> u64 {
    let revived_ms = task.revived_ms.filter(|revived| *revived <= until_ms);
    revived_ms.map_or(since_ms, |revived| since_ms.max(revived))
}
