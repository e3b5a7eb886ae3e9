//! Names of spans and of their attributes.

/// Name of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// `POST /api/tasks`.
    Submit,
    /// `POST /api/tasks/:id/retry`.
    Retry,
    /// `DELETE /api/tasks/:id`.
    Cancel,
    /// Waiting in its lane.
    Wait,
    /// An attempt, or the part of it in one process.
    Attempt,
    /// Upload of inputs.
    Upload,
    /// Run at the instance.
    Run,
    /// Collection of outputs.
    Collect,
}

impl Name {
    /// Returns the name as a text.
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

/// Attribute names.
pub mod key {
    /// Id of the task.
    pub const TASK: &str = "shuzhiren.task";
    /// Priority: `high`, `normal`, `low`.
    pub const PRIORITY: &str = "shuzhiren.priority";
    /// Name of the published workflow.
    pub const WORKFLOW: &str = "shuzhiren.workflow";
    /// Version of the published workflow.
    pub const WORKFLOW_VERSION: &str = "shuzhiren.workflow.version";
    /// Id of the batch.
    pub const BATCH: &str = "shuzhiren.batch";
    /// Number of the attempt.
    pub const ATTEMPT: &str = "shuzhiren.attempt";
    /// Id of the instance.
    pub const INSTANCE: &str = "shuzhiren.instance";
    /// Dispatcher that held the lease, as in the field `dispatcher` of its log.
    pub const DISPATCHER: &str = "shuzhiren.dispatcher";
    /// True if this process took the attempt over.
    pub const TAKEOVER: &str = "shuzhiren.takeover";
    /// Outcome: `completed`, a failure kind, `cancelled`, `released`, `lost`, or `handed_over`, `lease_lost`.
    pub const OUTCOME: &str = "shuzhiren.outcome";
    /// Redis' reply to the outcome: `done`, `retrying`, or that the attempt was no longer this process'.
    pub const SETTLED: &str = "shuzhiren.settled";
    /// Id of the prompt in ComfyUI.
    pub const PROMPT: &str = "shuzhiren.prompt";
    /// Number of input files.
    pub const FILES: &str = "shuzhiren.files";
    /// Number of input files that the instance had already.
    pub const FILES_KNOWN: &str = "shuzhiren.files.known";
    /// Number of outputs.
    pub const OUTPUTS: &str = "shuzhiren.outputs";
    /// Host of the instance.
    pub const SERVER_ADDRESS: &str = "server.address";
    /// Port of the instance.
    pub const SERVER_PORT: &str = "server.port";
}
