//! Destination of ended spans. Without an exporter there is none, and no spans are made.

use super::{record::SpanRecord, sampler::Sampler};
use crate::{metrics, task::TaskId};
use std::sync::OnceLock;
use tokio::sync::mpsc;

static SLOT: OnceLock<ExporterSlot> = OnceLock::new();

/// Queue to the exporter.
#[derive(Debug)]
pub(super) struct ExporterSlot {
    spans: mpsc::Sender<SpanRecord>,
    sampler: Sampler,
}

impl ExporterSlot {
    /// Installs the queue; returns false if there is one already.
    pub(super) fn open(spans: mpsc::Sender<SpanRecord>, sampler: Sampler) -> bool {
        SLOT.set(Self { spans, sampler }).is_ok()
    }

    /// Returns the queue; `None` if traces are off.
    pub(super) fn get() -> Option<&'static Self> {
        if cfg!(feature = "otel") { SLOT.get() } else { None }
    }

    /// Returns the queue for spans of this task; `None` if it is not traced.
    pub(super) fn of(task: TaskId) -> Option<&'static Self> {
        Self::get().filter(|slot| slot.sampler.takes(task))
    }

    /// Queues a span; never waits.
    pub(super) fn send(&self, record: SpanRecord) {
        if self.spans.try_send(record).is_err() {
            metrics::spans("dropped", 1);
        }
    }
}
