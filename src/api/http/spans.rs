//! Spans of requests that change a task.

use crate::{
    task::TaskId,
    trace::{Name, Span, key},
};
use std::time::Instant;

/// Records that a request, started at `begun`, did `name` to a task.
pub(crate) fn record(task: TaskId, name: Name, begun: Instant) {
    Span::of(task, name, begun.elapsed()).text(key::TASK, task);
}
