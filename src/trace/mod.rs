//! Traces: the path of a task from the request to the instance, as OpenTelemetry spans. Only in builds with the feature
//! `otel`, and only if the environment configures a collector; otherwise all functions do nothing.
//!
//! The trace id is the task's id, and the id of the root span is the end of it: every process adds its spans without
//! any coordination, nothing is stored in Redis, and the id of a task is enough to find its trace.
//!
//! | span | parent | from … to | attributes |
//! |---|---|---|---|
//! | `submit` | root | the request's head … the response | priority, published workflow, batch; a link to the client's `traceparent` |
//! | `retry`, `cancel` | `submit` | the request … the response | |
//! | `wait` | `submit` | accepted, revived or released … claimed | attempt |
//! | `attempt` | `submit` | claimed (or taken over) … settled, or handed over | attempt, instance, dispatcher, outcome |
//! | `upload` | `attempt` | first … last input file | files, and the number that the instance had already |
//! | `run` | `attempt` | POST /prompt … end of the prompt | prompt, address; events `accepted`, `started`, `node` |
//! | `collect` | `attempt` | end of the prompt … outputs stored, outcome in Redis | outputs |
//!
//! A failed span has the status error and the failure kind as `error.type`. Whether a task is traced is a function of
//! its id (`sampler`), so all processes agree. Spans are exported through one bounded queue and one task (`export`): if
//! the collector is down, slow or refuses, spans are dropped and counted, and nothing else is affected.
//!
//! Invariant: no caller waits for a span; spans contain no texts of users (params, prompts, file names, messages of
//! nodes) and no secrets; node ids only if they have the form of an id.

#![cfg_attr(not(feature = "otel"), allow(dead_code, reason = "used only by an exporter"))]

#[cfg(feature = "otel")]
mod export;
mod exporter_slot;
mod names;
#[cfg(feature = "otel")]
mod otel_env;
mod record;
mod sampler;
mod span;
mod traceparent;

pub use names::{Name, key};
pub use record::RemoteSpan;
pub use span::Span;

#[cfg(feature = "otel")]
use export::start_exporter;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The running exporter of this process.
#[derive(Debug)]
pub struct Traces(Option<(CancellationToken, JoinHandle<()>)>);

/// Starts tracing as configured in the environment; called once, inside the runtime.
pub fn start(role: &'static str) -> Traces {
    Traces(start_exporter(role))
}

impl Traces {
    /// Sends the remaining spans, within two seconds.
    pub async fn end(self) {
        let Some((stop, exporter)) = self.0 else { return };
        stop.cancel();
        if let Err(error) = exporter.await {
            tracing::warn!(%error, "sending the last spans failed");
        }
    }
}

/// Warns if traces are configured but this build has none.
#[cfg(not(feature = "otel"))]
fn start_exporter(_role: &'static str) -> Option<(CancellationToken, JoinHandle<()>)> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    if let Some(name) = names.into_iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        tracing::warn!("{name} is set, but this build has no traces: it was built without the feature `otel`");
    }
    None
}

/// Paragraph about traces in `--help`.
#[cfg(feature = "otel")]
pub const HELP: &str = "\
Traces (OpenTelemetry):
If OTEL_EXPORTER_OTLP_ENDPOINT is set (e.g. http://127.0.0.1:4318), every task is one trace, with the task's id without hyphens, \
sent as OTLP http/protobuf. A failing collector loses spans only. A `traceparent` sent with POST /api/tasks becomes a link.
Also read: OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _COMPRESSION (gzip), the same with _TRACES_ in them, OTEL_SERVICE_NAME, \
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_TRACES_EXPORTER=none, OTEL_SDK_DISABLED.";
/// Paragraph about traces in `--help`.
#[cfg(not(feature = "otel"))]
pub const HELP: &str =
    "Traces (OpenTelemetry): not in this build; `cargo build --release --features otel` makes a build with them";
