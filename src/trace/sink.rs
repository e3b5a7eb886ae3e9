//! Where ended spans go. Without an exporter there is none, and nobody makes a span.

use super::{sampler::Sampler, span::Told};
use crate::{metrics, task::TaskId};
use std::sync::OnceLock;
use tokio::sync::mpsc;

static SINK: OnceLock<Sink> = OnceLock::new();

/// The way to the exporter.
#[derive(Debug)]
pub(super) struct Sink {
    spans: mpsc::Sender<Told>,
    sampler: Sampler,
}

impl Sink {
    /// Opens the way; false when there is one already.
    pub(super) fn open(spans: mpsc::Sender<Told>, sampler: Sampler) -> bool {
        SINK.set(Self { spans, sampler }).is_ok()
    }

    /// `None`: there are no traces.
    pub(super) fn get() -> Option<&'static Self> {
        if cfg!(feature = "otel") { SINK.get() } else { None }
    }

    /// `None`: there are none of this task.
    pub(super) fn of(task: TaskId) -> Option<&'static Self> {
        Self::get().filter(|sink| sink.sampler.takes(task))
    }

    /// Gives a span away; never waits.
    pub(super) fn send(&self, told: Told) {
        if self.spans.try_send(told).is_err() {
            metrics::spans("dropped", 1);
        }
    }
}
