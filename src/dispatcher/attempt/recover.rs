//! Recovers an attempt that was in flight before this process owned its instance.

use crate::{
    dispatcher::instance::state::Instance,
    queue::{Claim, Result},
    task::{Attempt, Output, Progress, TaskId, TaskState},
};
use std::time::Duration;

/// Delay after a failed read.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// An in-flight attempt according to its task.
pub(crate) enum Recovered {
    /// The task still belongs to the attempt: continue it.
    Ours {
        /// The task, in case its prompt never reached the instance.
        claim: Box<Claim>,
        /// Progress of the attempt under its former owner.
        origin: Origin,
    },
    /// Cancelled, ended, deleted, or owned elsewhere: remove the prompt and free the slot.
    NotOurs,
}

/// The state of an attempt when this process starts to work on it.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// Claimed just now.
    Claimed,
    /// In flight under another owner, its execution not known to have begun.
    InFlight,
    /// Executing under another owner.
    Executing(PriorRun),
}

/// An execution that began under another owner.
#[derive(Debug, Clone)]
pub(crate) struct PriorRun {
    /// Last recorded progress.
    pub(crate) progress: Progress,
    /// Time since the start. Time limits continue over a takeover.
    pub(crate) elapsed: Duration,
    /// Outputs recorded so far.
    pub(crate) outputs: Vec<Output>,
}

/// Reads the task of an in-flight attempt, and repeats until Redis answers.
pub(crate) async fn recover(instance: &Instance, task: TaskId, attempt: Attempt) -> Recovered {
    loop {
        match try_recover(instance, task, attempt).await {
            Ok(recovered) => return recovered,
            Err(error) => {
                tracing::warn!(instance = %instance.target.id, %task, %attempt, %error, "in-flight task not read; retrying");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

async fn try_recover(instance: &Instance, id: TaskId, attempt: Attempt) -> Result<Recovered> {
    let Some(task) = instance.queue().task(id).await? else { return Ok(Recovered::NotOurs) };
    let is_ours = task.attempt == attempt && task.instance.as_ref() == Some(&instance.target.id);
    let origin = match task.state {
        TaskState::Running => {
            let elapsed = instance.queue().running_time(&task).await?;
            Origin::Executing(PriorRun { progress: task.progress, elapsed, outputs: task.outputs })
        }
        TaskState::Claimed => Origin::InFlight,
        TaskState::Delayed | TaskState::Waiting | TaskState::Completed | TaskState::Failed | TaskState::Cancelled => {
            return Ok(Recovered::NotOurs);
        }
    };
    if !is_ours {
        return Ok(Recovered::NotOurs);
    }
    match instance.queue().read_claim(id, attempt).await? {
        Some(claim) => Ok(Recovered::Ours { claim: Box::new(claim), origin }),
        None => Ok(Recovered::NotOurs),
    }
}
