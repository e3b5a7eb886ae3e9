//! Records the start and the progress of a prompt in Redis, through the writer of the process.

use super::{context::AttemptContext, restore_claim::reclaim, stage_error::StageError};
use crate::{
    comfy::ProgressTracker,
    dispatcher::instance::state::Instance,
    metrics,
    queue::{self, Written},
    task::{Attempt, TaskId},
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// Time after the start of an execution before it is recorded: a prompt that ends sooner saves the write.
const START_DELAY: Duration = Duration::from_millis(30);
/// Delay after a failed write.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// The start and the progress of a prompt, and which of it Redis has recorded.
pub(crate) struct ProgressRecorder {
    is_start_recorded: bool,
    /// Whether there is progress that was not given to the writer.
    is_dirty: bool,
    /// Answer to the progress given to the writer.
    writing: Option<oneshot::Receiver<queue::Result<Written>>>,
    /// Earliest time of the next write.
    next_write: Instant,
}

impl ProgressRecorder {
    pub(crate) fn new(is_start_recorded: bool) -> Self {
        Self { is_start_recorded, is_dirty: false, writing: None, next_write: Instant::now() }
    }

    pub(crate) fn is_start_recorded(&self) -> bool {
        self.is_start_recorded
    }

    /// Notes that the progress has changed.
    pub(crate) fn changed(&mut self) {
        self.is_dirty = true;
    }

    /// Returns the time of the next write of a prompt that began then; `None` if there is nothing to write.
    pub(crate) fn next_write(&self, began: Option<Instant>) -> Option<Instant> {
        let began = began?;
        if self.is_start_recorded {
            return self.is_dirty.then_some(self.next_write);
        }
        (self.is_dirty || self.writing.is_none()).then(|| self.next_write.max(began + START_DELAY))
    }

    /// Gives the progress to the writer if it is due. The start is recorded with it.
    pub(crate) fn write(&mut self, context: &AttemptContext, began: Option<Instant>, tracker: &ProgressTracker) {
        if self.next_write(began).is_none_or(|at| Instant::now() < at) {
            return;
        }
        let (lease, task, attempt) = (&context.instance.lease, context.claim.task, context.claim.attempt);
        self.is_dirty = false;
        let (writer, start) = (&context.instance.shared.progress, began.filter(|_| !self.is_start_recorded));
        if let Some(answer) = writer.put(lease, (task, attempt), tracker.progress(), start) {
            self.writing = Some(answer);
        }
    }

    /// Waits for the writer's answer; for ever if nothing is being written.
    pub(crate) async fn answered(&mut self) -> queue::Result<Written> {
        match &mut self.writing {
            // Closed only at the end of the process, when the writer stops.
            Some(answer) => {
                answer.await.unwrap_or_else(|_| Err(queue::Error::Unavailable("the writer stopped".to_owned())))
            }
            None => std::future::pending().await,
        }
    }

    /// Handles the writer's answer. Without an answer of Redis the progress is written again.
    pub(crate) async fn on_written(
        &mut self,
        context: &AttemptContext,
        written: queue::Result<Written>,
    ) -> Result<(), StageError> {
        self.writing = None;
        match written {
            Ok(written) => {
                let was_recorded = self.is_start_recorded;
                self.is_start_recorded |= written != Written::NotThisAttempt;
                check_written(context, written).await?;
                if !was_recorded && self.is_start_recorded {
                    metrics::task_waited(context.claim.waited);
                }
            }
            Err(error) => {
                let (instance, task, attempt) =
                    (&context.instance.target.id, context.claim.task, context.claim.attempt);
                tracing::debug!(%instance, %task, %attempt, %error, "progress not recorded; retrying");
                self.is_dirty = true;
                self.next_write = Instant::now() + RETRY_DELAY;
            }
        }
        Ok(())
    }
}

/// Records the start of a prompt that has ended, after a moment; until then the end of the task records it. Never
/// completes.
pub(crate) async fn record_start(instance: Arc<Instance>, task: TaskId, attempt: Attempt) -> Infallible {
    tokio::time::sleep(START_DELAY).await;
    if let Err(error) = instance.queue().start(&instance.lease, task, attempt).await {
        tracing::debug!(instance = %instance.target.id, %task, %attempt, %error, "task start not recorded");
    }
    std::future::pending().await
}

async fn check_written(context: &AttemptContext, written: Written) -> Result<(), StageError> {
    match written {
        Written::Done | Written::Retrying => Ok(()),
        Written::NotThisAttempt if reclaim(&context.instance, context.claim.task, context.claim.attempt).await => {
            Ok(())
        }
        Written::AlreadyEnded(_) | Written::NotThisAttempt => Err(StageError::NotOurs),
        Written::Fenced => Err(StageError::LeaseLost),
    }
}
