//! Registry of the runs on an instance, which routes cancels and events to them.

use crate::{
    comfy::{EventQueue, PromptEvent},
    dispatcher::shared::lock,
    task::{Attempt, TaskId},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Runs of one instance, by task and attempt.
#[derive(Default)]
pub(crate) struct Runs(Mutex<HashMap<(TaskId, Attempt), Running>>);

struct Running {
    prompt: Uuid,
    events: Arc<EventQueue>,
    cancelled: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.events.close();
    }
}

/// The end of a run, for its actor.
pub(crate) enum RunEnd {
    /// The slot is free, or another process continues the attempt.
    Ended,
    /// The lease is lost: the actor must end.
    LeaseLost,
}

/// Signals from the instance to one attempt.
pub(crate) struct AttemptSignals {
    /// Events of the prompt. Those that do not fit are dropped, because the attempt polls anyway.
    pub(crate) events: Arc<EventQueue>,
    /// Cancelled when the task is cancelled.
    pub(crate) cancelled: CancellationToken,
}

impl Runs {
    /// Registers a run and returns its signals; `None` if the attempt runs already.
    pub(crate) fn register(&self, task: TaskId, attempt: Attempt, prompt: Uuid) -> Option<AttemptSignals> {
        let mut runs = lock(&self.0);
        if runs.contains_key(&(task, attempt)) {
            return None;
        }
        let events = Arc::new(EventQueue::default());
        let cancelled = CancellationToken::new();
        runs.insert((task, attempt), Running { prompt, events: events.clone(), cancelled: cancelled.clone() });
        Some(AttemptSignals { events, cancelled })
    }

    /// Removes a run that has ended.
    pub(crate) fn remove(&self, task: TaskId, attempt: Attempt) {
        lock(&self.0).remove(&(task, attempt));
    }

    /// Number of runs.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(lock(&self.0).len()).unwrap_or(u32::MAX)
    }

    /// All runs.
    pub(crate) fn ids(&self) -> Vec<(TaskId, Attempt)> {
        lock(&self.0).keys().copied().collect()
    }

    /// Whether the attempt runs here.
    pub(crate) fn contains(&self, task: TaskId, attempt: Attempt) -> bool {
        lock(&self.0).contains_key(&(task, attempt))
    }

    /// Returns the task of the run with this prompt.
    pub(crate) fn task_of(&self, prompt: Uuid) -> Option<TaskId> {
        lock(&self.0).iter().find(|(_, running)| running.prompt == prompt).map(|((task, _), _)| *task)
    }

    /// Cancels all runs of a cancelled task.
    pub(crate) fn cancel_task(&self, task: TaskId) {
        lock(&self.0).iter().filter(|((id, _), _)| *id == task).for_each(|(_, running)| running.cancelled.cancel());
    }

    /// Cancels the run of an attempt that is not in flight any more.
    pub(crate) fn cancel(&self, task: TaskId, attempt: Attempt) {
        if let Some(running) = lock(&self.0).get(&(task, attempt)) {
            running.cancelled.cancel();
        }
    }

    /// Passes an event to the run with this prompt.
    pub(crate) fn route(&self, prompt: Uuid, event: PromptEvent) {
        if let Some(running) = lock(&self.0).values().find(|running| running.prompt == prompt) {
            running.events.push(event);
        }
    }
}
