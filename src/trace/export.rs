//! Export of spans: a bounded queue into one task, which sends them in batches. Ending a span never waits; spans that
//! the queue cannot hold or the collector does not accept are counted and dropped.

use super::{
    exporter_slot::ExporterSlot,
    names::Name,
    otel_env::{self, Collector},
    record::{AttributeValue, SpanRecord},
};
use crate::metrics;
use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::time::Duration;
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

/// Maximum number of waiting spans: some seconds of a busy system, some MB.
const WAITING_MAX: usize = 8_192;
/// Maximum number of spans in one request.
const BATCH_MAX: usize = 512;
/// Time that the first span of a batch waits for others.
const BATCH_WAIT: Duration = Duration::from_millis(500);
/// Time that a stop waits for the remaining spans to be sent.
const END_WAIT: Duration = Duration::from_secs(2);

/// Starts the exporter configured in the environment; it ends after the token is cancelled. Errors are only warnings:
/// traces never stop the process.
pub(super) fn start_exporter(role: &'static str) -> Option<(CancellationToken, JoinHandle<()>)> {
    let Collector { exporter, sampler, address } = match otel_env::named(role) {
        Ok(collector) => collector?,
        Err(why) => {
            tracing::warn!("traces disabled: {why}");
            return None;
        }
    };
    let (sender, spans) = mpsc::channel(WAITING_MAX);
    if !ExporterSlot::open(sender, sampler) {
        tracing::warn!("traces disabled: already started");
        return None;
    }
    tracing::info!(collector = address, "tracing tasks");
    let stop = CancellationToken::new();
    let scope = InstrumentationScope::builder("shuzhiren").with_version(env!("CARGO_PKG_VERSION")).build();
    let exporter_task = Exporter { spans, exporter, scope, batch: Vec::new(), in_flight: 0, was_refused: false };
    Some((stop.clone(), tokio::spawn(exporter_task.run(stop))))
}

struct Exporter {
    spans: mpsc::Receiver<SpanRecord>,
    exporter: SpanExporter,
    scope: InstrumentationScope,
    batch: Vec<SpanRecord>,
    /// Number of spans being sent.
    in_flight: usize,
    /// Whether the collector refused the last batch; logged once, not with every batch.
    was_refused: bool,
}

impl Exporter {
    async fn run(mut self, stop: CancellationToken) {
        let time_is_up = async {
            stop.cancelled().await;
            sleep(END_WAIT).await;
        };
        tokio::select! {
            () = self.serve(&stop) => {}
            () = time_is_up => {
                let left = self.in_flight + self.batch.len() + self.spans.len();
                metrics::spans("failed", left as u64);
                tracing::warn!(spans = left, "collector did not accept the last spans in time");
            }
        }
    }

    /// Sends batches until everything is sent after a stop.
    async fn serve(&mut self, stop: &CancellationToken) {
        loop {
            self.gather(stop).await;
            if self.batch.is_empty() {
                return;
            }
            self.send().await;
        }
    }

    /// Collects a batch: the first span and those that soon follow; after a stop, the waiting ones.
    async fn gather(&mut self, stop: &CancellationToken) {
        let (spans, batch) = (&mut self.spans, &mut self.batch);
        if stop.run_until_cancelled(spans.recv_many(batch, BATCH_MAX)).await.is_some() {
            let fill =
                async { while batch.len() < BATCH_MAX && spans.recv_many(batch, BATCH_MAX - batch.len()).await > 0 {} };
            tokio::select! {
                () = fill => {}
                () = sleep(BATCH_WAIT) => {}
                () = stop.cancelled() => {}
            }
        }
        while batch.len() < BATCH_MAX
            && let Ok(span) = spans.try_recv()
        {
            batch.push(span);
        }
    }

    async fn send(&mut self) {
        let batch: Vec<SpanData> = self.batch.drain(..).map(|record| data(record, self.scope.clone())).collect();
        self.in_flight = batch.len();
        let sent = self.exporter.export(batch).await;
        let count = std::mem::take(&mut self.in_flight) as u64;
        match sent {
            Ok(()) => {
                metrics::spans("sent", count);
                if std::mem::take(&mut self.was_refused) {
                    tracing::info!("collector accepts spans again");
                }
            }
            Err(error) => {
                metrics::spans("failed", count);
                if !std::mem::replace(&mut self.was_refused, true) {
                    tracing::warn!(%error, "collector refuses spans; they are dropped until it accepts them; tasks are not affected");
                }
            }
        }
    }
}

/// Converts a span to OpenTelemetry's form.
fn data(record: SpanRecord, scope: InstrumentationScope) -> SpanData {
    let mut attributes: Vec<KeyValue> =
        record.attributes.into_iter().map(|(key, attribute)| KeyValue::new(key, value(attribute))).collect();
    attributes.extend(record.failure.map(|kind| KeyValue::new("error.type", kind)));
    let mut events = SpanEvents::default();
    events.dropped_count = record.events_dropped;
    events.events.extend(record.events.into_iter().map(|event| {
        let node = event.node.map(|node| KeyValue::new("shuzhiren.node", node));
        Event::new(event.name, event.at, node.into_iter().collect(), 0)
    }));
    let mut links = SpanLinks::default();
    links.links.extend(record.remote.map(|remote| {
        let flags = if remote.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        Link::new(context(remote.trace, remote.span, flags, true), Vec::new(), 0)
    }));
    SpanData {
        span_context: context(record.trace, record.id, TraceFlags::SAMPLED, false),
        parent_span_id: SpanId::from_bytes(record.parent.to_be_bytes()),
        parent_span_is_remote: matches!(record.name, Name::Wait | Name::Attempt),
        span_kind: kind(record.name),
        name: record.name.as_str().into(),
        start_time: record.begun,
        end_time: record.ended,
        attributes,
        dropped_attributes_count: 0,
        events,
        links,
        status: record.failure.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope,
    }
}

fn value(value: AttributeValue) -> Value {
    match value {
        AttributeValue::Text(text) => text.into(),
        AttributeValue::Count(number) => i64::try_from(number).unwrap_or(i64::MAX).into(),
        AttributeValue::True => true.into(),
    }
}

fn context(trace: u128, span: u64, flags: TraceFlags, is_remote: bool) -> SpanContext {
    let (trace, span) = (TraceId::from_bytes(trace.to_be_bytes()), SpanId::from_bytes(span.to_be_bytes()));
    SpanContext::new(trace, span, flags, is_remote, TraceState::NONE)
}

const fn kind(name: Name) -> SpanKind {
    match name {
        Name::Submit | Name::Retry | Name::Cancel => SpanKind::Server,
        Name::Attempt => SpanKind::Consumer,
        Name::Run => SpanKind::Client,
        Name::Wait | Name::Upload | Name::Collect => SpanKind::Internal,
    }
}
