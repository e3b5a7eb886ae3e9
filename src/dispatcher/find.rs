//! What an in-flight attempt is, according to its task.

use super::instance::Instance;
use crate::{
    queue::{Claim, Result},
    task::{Attempt, TaskId, TaskState},
};
use std::time::Duration;

/// Pause after Redis did not answer.
const RETRY: Duration = Duration::from_millis(500);

/// What an in-flight attempt is, according to its task.
pub(super) enum Found {
    /// Still this attempt's: carry on.
    Ours {
        /// What to run, in case it never arrived.
        claim: Box<Claim>,
        /// How far its execution is known to be; `None`: not begun.
        begun_at: Option<u8>,
    },
    /// Cancelled, ended, gone, or owned elsewhere: see that the prompt is gone and free the slot.
    NotOurs,
}

/// Reads the task until Redis answers.
pub(super) async fn find(instance: &Instance, task: TaskId, attempt: Attempt) -> Found {
    loop {
        match try_find(instance, task, attempt).await {
            Ok(found) => return found,
            Err(error) => {
                tracing::warn!(instance = %instance.target.id, %task, %error, "an in-flight task could not be read");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn try_find(instance: &Instance, id: TaskId, attempt: Attempt) -> Result<Found> {
    let Some(task) = instance.queue().task(id).await? else { return Ok(Found::NotOurs) };
    let is_ours = task.attempt == attempt && task.instance.as_ref() == Some(&instance.target.id);
    let begun_at = match task.state {
        TaskState::Running => Some(task.progress.percent),
        TaskState::Claimed => None,
        TaskState::Delayed | TaskState::Waiting | TaskState::Completed | TaskState::Failed | TaskState::Cancelled => {
            return Ok(Found::NotOurs);
        }
    };
    if !is_ours {
        return Ok(Found::NotOurs);
    }
    match instance.queue().reclaim_payload(id, attempt).await? {
        Some(claim) => Ok(Found::Ours { claim: Box::new(claim), begun_at }),
        None => Ok(Found::NotOurs),
    }
}
