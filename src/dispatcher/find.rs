//! What an in-flight attempt is, according to its task.

use super::instance::Instance;
use crate::{
    queue::{Claim, Result},
    task::{Attempt, Output, Progress, TaskId, TaskState},
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
        /// How its execution stands; `None`: not begun.
        begun: Option<Begun>,
    },
    /// Cancelled, ended, gone, or owned elsewhere: see that the prompt is gone and free the slot.
    NotOurs,
}

/// An execution that began under another owner.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    /// How far it was when that owner last told.
    pub(super) progress: Progress,
    /// So long ago: limits of the run go on counting over a takeover.
    pub(super) ago: Duration,
    /// What it had made and told.
    pub(super) outputs: Vec<Output>,
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
    let begun = match task.state {
        TaskState::Running => {
            let ago = instance.queue().running_for(&task).await?;
            Some(Begun { progress: task.progress, ago, outputs: task.outputs })
        }
        TaskState::Claimed => None,
        TaskState::Delayed | TaskState::Waiting | TaskState::Completed | TaskState::Failed | TaskState::Cancelled => {
            return Ok(Found::NotOurs);
        }
    };
    if !is_ours {
        return Ok(Found::NotOurs);
    }
    match instance.queue().reclaim_payload(id, attempt).await? {
        Some(claim) => Ok(Found::Ours { claim: Box::new(claim), begun }),
        None => Ok(Found::NotOurs),
    }
}
