//! Reasons why a submission is refused or fails, one variant for each thing that the caller can do about it.

use crate::{
    problem::Problem,
    queue,
    secrets::NoSecretKey,
    store,
    task::{FileId, WorkflowVersion},
};
use std::time::Duration;

/// Result of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Reason why a submission was not accepted, or a workflow not published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A member of the submission has a value that does not fit.
    #[error("{message}")]
    InvalidMember {
        /// JSON pointer to the member, such as `/startBy`.
        pointer: &'static str,
        /// Stable machine word.
        code: &'static str,
        /// Sentence that says what to do.
        message: String,
    },
    /// Every problem of the graph.
    #[error("invalid workflow: {}", first_message(.0))]
    InvalidWorkflow(Vec<Problem>),
    /// Every problem of the params, and of the graph if both have some.
    #[error("invalid params: {}", first_message(.0))]
    InvalidParams(Vec<Problem>),
    /// Resolving the submission takes more work, or more memory, than a request may use.
    #[error("{0}")]
    TooComplex(&'static str),
    /// No published workflow has this name, or this version.
    #[error("{}", .0.message)]
    UnknownWorkflow(Box<Problem>),
    /// The idempotency key was used before with another body.
    #[error("the idempotency key was used before with another body")]
    KeyReused,
    /// A file that the submission names does not exist, or the caller may not read it.
    #[error("no such file: {0}")]
    NoSuchFile(FileId),
    /// The caller's rate limit is exhausted for this time.
    #[error("rate limit exceeded; retry in {0:?}")]
    RateLimited(Duration),
    /// The queue is full; a retry after this time may succeed.
    #[error("the queue is full; retry in {0:?}")]
    QueueFull(Duration),
    /// The graphs and params of waiting tasks exceed a quota of bytes; a retry may succeed once some have ended.
    #[error("the waiting tasks exceed a quota: {0:?}")]
    WaitingQuota(queue::QuotaExceeded),
    /// An uploaded or fetched file exceeds a quota of bytes.
    #[error("the files exceed a quota: {0:?}")]
    QuotaExceeded(queue::QuotaExceeded),
    /// A limit of concurrent work is reached; a retry in a moment may succeed.
    #[error("too much work at once")]
    Busy,
    /// The workflow has another newest version than expected: this one, 0 if it has none.
    #[error("the newest version is {0}")]
    VersionConflict(u64),
    /// The limit of published workflows is reached: this many.
    #[error("{0} workflows are published already")]
    TooManyWorkflows(u64),
    /// The workflow was deleted while it was being published.
    #[error("the workflow was deleted meanwhile")]
    WorkflowDeleted,
    /// Keys for API nodes cannot be encrypted here.
    #[error(transparent)]
    NoSecretKey(#[from] NoSecretKey),
    /// The declared params of a published workflow cannot be read back: a fault of ours.
    #[error("the stored params of the workflow {0} cannot be read")]
    UnreadableWorkflow(WorkflowVersion),
    /// Redis failed.
    #[error("the queue failed")]
    Queue(#[from] queue::Error),
    /// The file store failed.
    #[error("the file store failed")]
    Store(#[from] store::Error),
}

impl Error {
    /// Returns the error of a batch that exceeds a limit of its size.
    pub(super) fn batch_too_large(message: String) -> Self {
        Self::InvalidMember { pointer: "/workflow", code: "batch_too_large", message }
    }
}

impl From<Vec<Problem>> for Error {
    /// Problems of the graph alone are an invalid workflow; with any other they are invalid params.
    fn from(problems: Vec<Problem>) -> Self {
        if problems.iter().all(|problem| problem.pointer.starts_with("/workflow")) {
            Self::InvalidWorkflow(problems)
        } else {
            Self::InvalidParams(problems)
        }
    }
}

fn first_message(problems: &[Problem]) -> &str {
    problems.first().map_or("", |problem| problem.message.as_str())
}
