//! Conversion of errors of the rooms below into the error that a client gets.

use super::ApiError;
use crate::{problem::Problem, process::LogLimit, queue, store, submit};

impl From<queue::Error> for ApiError {
    fn from(error: queue::Error) -> Self {
        match error {
            queue::Error::Unavailable(_)
            | queue::Error::Refused(_)
            | queue::Error::Unusable(_)
            | queue::Error::NotConfirmed(_) => {
                static LIMIT: LogLimit = LogLimit::new();
                if let Some(omitted) = LIMIT.admit() {
                    tracing::warn!(%error, omitted, "requests failed: redis is unavailable");
                }
                if matches!(error, queue::Error::NotConfirmed(_)) {
                    return Self::NotConfirmed(error.to_string());
                }
                error.refusal().map_or(Self::RedisUnavailable, Self::RedisRefuses)
            }
            // Logged when it began, not for each request.
            queue::Error::Lost(_) => Self::QueueLost,
            queue::Error::MemoryFull(_) => Self::QueueMemoryFull,
            queue::Error::Corrupt(_) => {
                tracing::error!(%error, "request failed: invalid content in redis");
                Self::Internal
            }
        }
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NotFound => Self::NotFound("such file"),
            store::Error::TooLarge { limit } => Self::TooLarge(limit),
            store::Error::Full => {
                tracing::error!(%error, "request failed: the file store is full");
                Self::StorageFull
            }
            store::Error::ReserveReached(room) => Self::StorageReserve(room),
            store::Error::Unusable(_) | store::Error::Unavailable(_) => {
                tracing::error!(%error, "request failed: the file store is unavailable");
                Self::StorageUnavailable
            }
        }
    }
}

impl From<submit::Error> for ApiError {
    fn from(error: submit::Error) -> Self {
        match error {
            submit::Error::InvalidMember { pointer, code, message } => {
                Self::InvalidRequest(vec![Problem::unfit(pointer, code, &message)])
            }
            submit::Error::InvalidWorkflow(problems) => Self::InvalidWorkflow(problems),
            submit::Error::InvalidParams(problems) => Self::InvalidParams(problems),
            submit::Error::TooComplex(message) => Self::WorkflowTooComplex(message),
            submit::Error::UnknownWorkflow(problem) => Self::WorkflowUnknown(problem),
            submit::Error::KeyReused => Self::KeyReused,
            submit::Error::NoSuchFile(id) => Self::NoSuchFile(id),
            submit::Error::RateLimited(wait) => Self::RateLimited(wait),
            submit::Error::QueueFull(wait) => Self::QueueFull(wait),
            submit::Error::WaitingQuota(exceeded) => Self::WaitingQuota(exceeded),
            submit::Error::QuotaExceeded(exceeded) => Self::UploadQuota(exceeded),
            submit::Error::Busy => Self::Busy,
            submit::Error::VersionConflict(version) => Self::VersionConflict(version),
            submit::Error::TooManyWorkflows(count) => Self::WorkflowsFull(count),
            submit::Error::NoSecretKey(error) => error.into(),
            submit::Error::WorkflowDeleted => Self::NotFound("such workflow"),
            submit::Error::UnreadableWorkflow(_) => Self::Internal,
            submit::Error::Queue(error) => error.into(),
            submit::Error::Store(error) => error.into(),
        }
    }
}
