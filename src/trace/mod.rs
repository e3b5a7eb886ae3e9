//! Traces: a task's way from the request to the instance, as spans for OpenTelemetry. Only in builds with the feature `otel`,
//! and there only where the environment names a collector; everywhere else everything here does nothing.
//!
//! The trace id is the task's id and the root span's id is the end of it: every process adds its spans without being told
//! anything, nothing of this is in Redis, and who knows a task knows its trace.
//!
//! | span | under | from … to | says |
//! |---|---|---|---|
//! | `submit` | root | the request's head … the answer | priority, published workflow, batch; a link to the `traceparent` sent with it |
//! | `retry`, `cancel` | `submit` | the request … the answer | |
//! | `wait` | `submit` | accepted, revived or given back … claimed | attempt |
//! | `attempt` | `submit` | claimed (or taken over) … settled, or left to another | attempt, instance, dispatcher, outcome |
//! | `upload` | `attempt` | first … last input file | files; how many of them the instance had |
//! | `run` | `attempt` | POST /prompt … its end is seen | prompt, address; events `accepted`, `started`, `node` |
//! | `collect` | `attempt` | the end … settled: outputs stored, Redis told | outputs |
//!
//! What failed has the status error, and the failure's kind as `error.type`. Whether a task is traced is a function of its id
//! (`sampler`): all processes agree. Spans leave through one bounded queue and one task of their own (`export`): a collector
//! that is away, slow or refuses costs spans, which are counted, and nothing else.
//!
//! Invariant: nobody waits for a span; no text of a user (params, prompts, names of files, messages of nodes) and no secret is
//! in one; of node ids only what looks like an id.

#![cfg_attr(not(feature = "otel"), allow(dead_code, reason = "what only an exporter reads or begins"))]

mod caller;
#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod export;
mod sampler;
mod sink;
mod span;

pub use caller::Caller;
pub use span::Span;

#[cfg(feature = "otel")]
use export::begin;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Sends the spans of this process until it is ended.
#[derive(Debug)]
pub struct Traces(Option<(CancellationToken, JoinHandle<()>)>);

/// Begins to trace, as the environment says; called once, inside the runtime.
pub fn start(role: &'static str) -> Traces {
    Traces(begin(role))
}

impl Traces {
    /// Sends what is left, within two seconds.
    pub async fn end(self) {
        let Some((stop, line)) = self.0 else { return };
        stop.cancel();
        if let Err(error) = line.await {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Says so when somebody expects traces of a build that has none.
#[cfg(not(feature = "otel"))]
fn begin(_role: &'static str) -> Option<(CancellationToken, JoinHandle<()>)> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    if let Some(name) = names.into_iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        tracing::warn!("{name} is set, but this build has no traces: it was made without the feature `otel`");
    }
    None
}

/// Said by `--help` of the processes that trace.
#[cfg(feature = "otel")]
pub const HELP: &str = "\
Traces (OpenTelemetry):
Where OTEL_EXPORTER_OTLP_ENDPOINT is set (e.g. http://127.0.0.1:4318), every task is one trace, under the task's id without its \
hyphens, sent as OTLP http/protobuf. A collector that is away costs spans only. A `traceparent` sent with POST /api/tasks becomes a link.
Read, too: OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _COMPRESSION (gzip), the same with _TRACES_ in them, OTEL_SERVICE_NAME, \
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_TRACES_EXPORTER=none, OTEL_SDK_DISABLED.";
/// Said by `--help` of the processes that would trace.
#[cfg(not(feature = "otel"))]
pub const HELP: &str =
    "Traces (OpenTelemetry): not in this build; `cargo build --release --features otel` makes one that has them";

/// What a span can be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// POST /api/tasks.
    Submit,
    /// POST /api/tasks/:id/retry.
    Retry,
    /// DELETE /api/tasks/:id.
    Cancel,
    /// In its lane.
    Wait,
    /// One try, as far as one process saw to it.
    Attempt,
    /// Inputs.
    Upload,
    /// At the instance.
    Run,
    /// Outputs.
    Collect,
}

impl Name {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Wait => "wait",
            Self::Attempt => "attempt",
            Self::Upload => "upload",
            Self::Run => "run",
            Self::Collect => "collect",
        }
    }
}

/// Names of attributes.
pub mod key {
    /// The task, as users write it.
    pub const TASK: &str = "shuzhiren.task";
    /// `high`, `normal`, `low`.
    pub const PRIORITY: &str = "shuzhiren.priority";
    /// Name of a published workflow.
    pub const WORKFLOW: &str = "shuzhiren.workflow";
    /// Its version.
    pub const WORKFLOW_VERSION: &str = "shuzhiren.workflow.version";
    /// The batch.
    pub const BATCH: &str = "shuzhiren.batch";
    /// Number of the try.
    pub const ATTEMPT: &str = "shuzhiren.attempt";
    /// Where.
    pub const INSTANCE: &str = "shuzhiren.instance";
    /// The dispatcher that held the lease: what its log calls `dispatcher`.
    pub const DISPATCHER: &str = "shuzhiren.dispatcher";
    /// True when this process found it in flight.
    pub const TAKEOVER: &str = "shuzhiren.takeover";
    /// `completed`, a failure's kind, `cancelled`, `released`, `lost`, or how this process left it: `handed_over`, `lease_lost`.
    pub const OUTCOME: &str = "shuzhiren.outcome";
    /// What Redis said to the outcome: `done`, `retrying`, or that it was somebody else's by then.
    pub const SETTLED: &str = "shuzhiren.settled";
    /// ComfyUI's id of the prompt.
    pub const PROMPT: &str = "shuzhiren.prompt";
    /// Input files.
    pub const FILES: &str = "shuzhiren.files";
    /// Input files that the instance had.
    pub const FILES_KNOWN: &str = "shuzhiren.files.known";
    /// Outputs.
    pub const OUTPUTS: &str = "shuzhiren.outputs";
    /// Host of the instance.
    pub const SERVER_ADDRESS: &str = "server.address";
    /// Port of the instance.
    pub const SERVER_PORT: &str = "server.port";
}
