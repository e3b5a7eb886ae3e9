//! Destination of ended spans. Without an exporter there is none, and no spans are made.

use super::{sampler::Sampler, span::Told};
use crate::{metrics, task::TaskId};
use std::sync::OnceLock;
use tokio::sync::mpsc;

static SINK: OnceLock<Sink> = OnceLock::new();

/// Queue to the exporter.
#[derive(Debug)]
pub(super) struct Sink {
    spans: mpsc::Sender<Told>,
    sampler: Sampler,
}

impl Sink {
    /// Installs the queue; returns false if there is one already.
    pub(super) fn open(spans: mpsc::Sender<Told>, sampler: Sampler) -> bool {
        SINK.set(Self { spans, sampler }).is_ok()
    }

    /// Returns the queue; `None` if traces are off.
    pub(super) fn get() -> Option<&'static Self> {
        if cfg!(feature = "otel") { SINK.get() } else { None }
    }

    /// Returns the queue for spans of this task; `None` if it is not traced.
    pub(super) fn of(task: TaskId) -> Option<&'static Self> {
        Self::get().filter(|sink| sink.sampler.takes(task))
    }

    /// Queues a span; never waits.
    pub(super) fn send(&self, told: Told) {
        if self.spans.try_send(told).is_err() {
            metrics::spans("dropped", 1);
        }
    }
}
