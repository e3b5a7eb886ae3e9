//! The span of a submission: the root of the trace of each task that it made.

use crate::{
    task::{BatchId, Task},
    trace::{Name, RemoteSpan, Span, key},
};
use std::time::Instant;

/// Start of a request, and the trace that it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    started: Instant,
    parent: Option<RemoteSpan>,
}

impl Origin {
    /// Returns an origin that starts now and belongs to no trace.
    pub fn now() -> Self {
        Self::within(None)
    }

    /// Returns an origin that starts now, in the trace `parent` if there is one.
    pub fn within(parent: Option<RemoteSpan>) -> Self {
        Self { started: Instant::now(), parent }
    }

    /// Records the span of each new task.
    pub(super) fn record(&self, tasks: &[Task]) {
        for task in tasks {
            let mut span = Span::root(task.id, Name::Submit, self.started.elapsed());
            if !span.is_recorded() {
                continue;
            }
            span.link(self.parent);
            span.text(key::TASK, task.id);
            span.text(key::PRIORITY, task.priority.as_str());
            if let Some(workflow) = &task.facts.workflow {
                span.text(key::WORKFLOW, &workflow.name);
                span.count(key::WORKFLOW_VERSION, workflow.version);
            }
            if task.facts.batch.is_some() {
                span.text(key::BATCH, BatchId::of(task.id));
            }
        }
    }
}
