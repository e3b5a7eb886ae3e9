//! What the API adds to the traces of tasks.

use crate::{
    task::{TaskId, TaskView},
    trace::{Name, RemoteSpan, Span, key},
};
use axum::http::HeaderMap;
use std::time::Instant;

/// A request that may make tasks.
pub(super) struct Begun {
    at: Instant,
    caller: Option<RemoteSpan>,
}

impl Begun {
    /// Now.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        Self { at: Instant::now(), caller: RemoteSpan::of(headers) }
    }

    /// These are its tasks: each has a trace of its own.
    pub(super) fn made<'a>(self, tasks: impl IntoIterator<Item = &'a TaskView>) {
        for task in tasks {
            let mut span = Span::root(task.id, Name::Submit, self.at.elapsed());
            if !span.is_recorded() {
                continue;
            }
            span.link(self.caller);
            span.text(key::TASK, task.id);
            span.text(key::PRIORITY, task.priority.as_str());
            if let (Some(name), Some(version)) = (&task.workflow_name, task.workflow_version) {
                span.text(key::WORKFLOW, name);
                span.count(key::WORKFLOW_VERSION, version);
            }
            if let Some(batch) = task.batch_id {
                span.text(key::BATCH, batch);
            }
        }
    }
}

/// Somebody did this to the task, in a request that began then.
pub(super) fn done(task: TaskId, name: Name, begun: Instant) {
    Span::of(task, name, begun.elapsed()).text(key::TASK, task);
}
