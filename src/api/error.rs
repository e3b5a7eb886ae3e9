//! Errors of requests: HTTP status, stable `type` word, message. The only file with statuses.

mod composed_messages;
mod from_lower;
mod table;

pub use table::{ERROR_TYPES, ErrorType};

use crate::{
    auth::Denied,
    problem::Problem,
    process,
    queue::QuotaExceeded,
    secrets::NoSecretKey,
    store::DiskRoom,
    task::{FileId, Status, WorkflowVersion},
    text::size,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use composed_messages::{conflict, first_of, needed_by, quota, task_too_large, waiting_quota};
use serde_json::Value;
use std::time::Duration;

/// Result of this room.
pub(super) type Result<T, E = ApiError> = std::result::Result<T, E>;

/// Reason why a request failed, one variant for each thing that the client gets to know.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is not one JSON document.
    #[error("{0}")]
    InvalidJson(String),
    /// An object of the body has a duplicate key.
    #[error("{}", .0.message)]
    DuplicateKey(Box<Problem>),
    /// Every member of a wrong type or value.
    #[error("{}", first_of(.0.iter().map(|problem| problem.message.as_str())))]
    InvalidRequest(Vec<Problem>),
    /// Every unknown member.
    #[error("{}", first_of(.0.iter().map(|problem| problem.message.as_str())))]
    UnknownField(Vec<Problem>),
    /// Invalid query parameter.
    #[error("{0}")]
    InvalidQuery(String),
    /// Invalid header.
    #[error("{0}")]
    InvalidHeader(String),
    /// Invalid multipart body.
    #[error("{0}")]
    InvalidUpload(String),
    /// Every problem of the graph.
    #[error("{}", first_of(.0.iter().map(|problem| problem.message.as_str())))]
    InvalidWorkflow(Vec<Problem>),
    /// Every problem of the params.
    #[error("{}", first_of(.0.iter().map(|problem| problem.message.as_str())))]
    InvalidParams(Vec<Problem>),
    /// Resolving the request takes too much work or memory.
    #[error("{0}")]
    WorkflowTooComplex(&'static str),
    /// Unknown name or version of a published workflow.
    #[error("{}", .0.message)]
    WorkflowUnknown(Box<Problem>),
    /// The limit of published workflows is reached.
    #[error("the limit of {0} published workflows is reached: delete one first")]
    WorkflowsFull(u64),
    /// Every problem of the fleet config.
    #[error("{}", first_of(.0.iter().map(|problem| problem.message.as_str())))]
    InvalidConfig(Vec<Problem>),
    /// Missing or invalid token, or failed login.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Expired link of private mode.
    #[error("the link has expired: read the task or the list of files again for a fresh one")]
    LinkExpired,
    /// The role of the caller does not allow it.
    #[error("this needs the role admin")]
    Forbidden,
    /// Not found: `such task`, `such path`.
    #[error("there is no {0}")]
    NotFound(&'static str),
    /// The path does not support the method.
    #[error("this path does not support this method")]
    MethodNotAllowed,
    /// Version conflict: the current version, 0 = none.
    #[error("{}", conflict(*.0))]
    VersionConflict(u64),
    /// The task has ended and cannot be cancelled.
    #[error("the task has ended already: it is {}", .0.as_str())]
    TaskEnded(Status),
    /// The task waits or runs and cannot be retried.
    #[error("the task has not ended: it is {}", .0.as_str())]
    TaskNotEnded(Status),
    /// The instance of the task must confirm its end first.
    #[error("the instance has not stopped the task yet: try again in a moment")]
    TaskStopping,
    /// The graph of the task is no longer stored, so it cannot run again.
    #[error("the workflow of the task no longer exists: submit it again")]
    WorkflowGone,
    /// The keys of the task are gone since it ended, and it needs them.
    #[error(
        "the keys of the task were deleted when it ended: send them again, {{\"extraData\": {{\"api_key_comfy_org\": \"…\"}}}}"
    )]
    KeysGone,
    /// Keys for API nodes cannot be encrypted.
    #[error(transparent)]
    NoSecretKey(#[from] NoSecretKey),
    /// The file is used by this version of a published workflow, or by a task.
    #[error("{}", needed_by(.0.as_ref()))]
    FileInUse(Option<WorkflowVersion>),
    /// The body is larger than this limit, bytes.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// The same for a task.
    #[error("{}", task_too_large(*.0))]
    TaskTooLarge(u64),
    /// Unsupported Content-Type or Content-Encoding.
    #[error("{0}")]
    UnsupportedMediaType(&'static str),
    /// The range is outside a file of this size, bytes.
    #[error("the range lies outside the file of {0} bytes")]
    RangeNotSatisfiable(u64),
    /// The idempotency key was used with another body.
    #[error("this Idempotency-Key was used with another body before")]
    KeyReused,
    /// A required file does not exist.
    #[error("there is no file {0}")]
    NoSuchFile(FileId),
    /// The rate limit of the user is exhausted for this time.
    #[error("too many requests: slow down")]
    RateLimited(Duration),
    /// Too many failed logins; they are forgotten after this time.
    #[error("too many failed logins: wait before the next one")]
    LoginsLimited(Duration),
    /// Too many tasks wait; a retry after this time may succeed.
    #[error("the queue is full: try again later")]
    QueueFull(Duration),
    /// A fault of ours, which was logged where it happened.
    #[error("internal error; find it in the log by the request id")]
    Internal,
    /// A limit of concurrent work is reached.
    #[error("the server is busy: try again in a moment")]
    Busy,
    /// Redis is unreachable or refuses writes.
    #[error("the queue is unavailable: try again in a moment")]
    RedisUnavailable,
    /// Redis refuses writes, for this reason.
    #[error("the queue is unavailable: {0}")]
    RedisRefuses(String),
    /// Too few replicas, or not the disk, confirmed the write in time.
    #[error("{0}: repeat the request, with the same Idempotency-Key")]
    NotConfirmed(String),
    /// Redis was emptied or replaced.
    #[error("the database lost the data of this system: nothing is accepted until it is restored")]
    QueueLost,
    /// The memory of Redis is full.
    #[error("the queue's memory is full: nothing new is accepted until ended tasks expire or it gets more memory")]
    QueueMemoryFull,
    /// The file store is unreachable.
    #[error("the file store is unavailable: try again in a moment")]
    StorageUnavailable,
    /// The file store is full.
    #[error("the file store is full")]
    StorageFull,
    /// The free space of the file store's disk is at its reserve.
    #[error(
        "the disk of the file store has only {} free, and {} are reserved: delete files, or add space", size(.0.free), size(.0.reserve)
    )]
    StorageReserve(DiskRoom),
    /// A quota of bytes of waiting tasks is used up.
    #[error("{}", waiting_quota(*.0))]
    WaitingQuota(QuotaExceeded),
    /// A quota of uploaded bytes is used up.
    #[error("{}", quota(*.0))]
    UploadQuota(QuotaExceeded),
}

impl ApiError {
    /// A member of the body that is missing or of the wrong type.
    pub(super) fn shape(pointer: &str, code: &'static str, message: &str) -> Self {
        Self::InvalidRequest(vec![Problem::shape(pointer, code, message)])
    }

    /// Returns the stable word.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::InvalidJson(_) | Self::DuplicateKey(_) => "invalid_json",
            Self::InvalidRequest(_) => "invalid_request",
            Self::UnknownField(_) => "unknown_field",
            Self::InvalidQuery(_) => "invalid_query",
            Self::InvalidHeader(_) => "invalid_header",
            Self::InvalidUpload(_) => "invalid_upload",
            Self::InvalidWorkflow(_) => "invalid_workflow",
            Self::InvalidParams(_) => "invalid_params",
            Self::WorkflowTooComplex(_) => "workflow_too_complex",
            Self::WorkflowUnknown(_) => "workflow_unknown",
            Self::WorkflowsFull(_) => "too_many_workflows",
            Self::InvalidConfig(_) => "invalid_config",
            Self::Denied(Denied::Token) => "unauthorized",
            Self::Denied(Denied::Credentials) => "invalid_credentials",
            Self::LinkExpired => "link_expired",
            Self::Forbidden => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::VersionConflict(_) => "version_conflict",
            Self::TaskEnded(_) => "task_ended",
            Self::TaskNotEnded(_) | Self::TaskStopping => "task_not_ended",
            Self::WorkflowGone => "workflow_gone",
            Self::KeysGone => "keys_gone",
            Self::NoSecretKey(_) => "secret_key_missing",
            Self::FileInUse(_) => "file_in_use",
            Self::TooLarge(_) | Self::TaskTooLarge(_) => "too_large",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::RangeNotSatisfiable(_) => "range_not_satisfiable",
            Self::KeyReused => "idempotency_key_reused",
            Self::NoSuchFile(_) => "no_such_file",
            Self::RateLimited(_) => "rate_limited",
            Self::LoginsLimited(_) => "too_many_logins",
            Self::QueueFull(_) => "queue_full",
            Self::Internal => "internal",
            Self::Busy => "busy",
            Self::RedisUnavailable | Self::RedisRefuses(_) => "redis_unavailable",
            Self::NotConfirmed(_) => "not_confirmed",
            Self::QueueLost => "queue_lost",
            Self::QueueMemoryFull => "queue_memory_full",
            Self::StorageUnavailable => "storage_unavailable",
            Self::StorageFull => "storage_full",
            Self::StorageReserve(_) => "storage_reserve",
            Self::UploadQuota(_) => "upload_quota",
            Self::WaitingQuota(_) => "waiting_quota",
        }
    }

    /// Returns the HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::InvalidJson(_)
            | Self::DuplicateKey(_)
            | Self::UnknownField(_)
            | Self::InvalidQuery(_)
            | Self::InvalidHeader(_)
            | Self::InvalidUpload(_) => StatusCode::BAD_REQUEST,
            Self::InvalidRequest(problems)
            | Self::InvalidWorkflow(problems)
            | Self::InvalidParams(problems)
            | Self::InvalidConfig(problems) => shape_or_fit(problems.iter().any(|problem| problem.is_shape)),
            Self::Denied(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::LinkExpired => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::VersionConflict(_)
            | Self::TaskEnded(_)
            | Self::TaskNotEnded(_)
            | Self::TaskStopping
            | Self::WorkflowGone
            | Self::KeysGone
            | Self::FileInUse(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) | Self::TaskTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RangeNotSatisfiable(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::WorkflowTooComplex(_)
            | Self::WorkflowUnknown(_)
            | Self::WorkflowsFull(_)
            | Self::KeyReused
            | Self::NoSecretKey(_)
            | Self::NoSuchFile(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited(_) | Self::LoginsLimited(_) | Self::QueueFull(_) | Self::WaitingQuota(_) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy
            | Self::RedisUnavailable
            | Self::RedisRefuses(_)
            | Self::NotConfirmed(_)
            | Self::QueueLost
            | Self::QueueMemoryFull
            | Self::StorageUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::StorageFull | Self::StorageReserve(_) | Self::UploadQuota(_) => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    fn details(&self) -> Value {
        let list = match self {
            Self::DuplicateKey(problem) | Self::WorkflowUnknown(problem) => serde_json::to_value([problem]),
            Self::InvalidRequest(problems)
            | Self::UnknownField(problems)
            | Self::InvalidWorkflow(problems)
            | Self::InvalidParams(problems)
            | Self::InvalidConfig(problems) => serde_json::to_value(problems),
            _ => return Value::Array(Vec::new()),
        };
        list.unwrap_or_default()
    }

    /// Returns the header that says what to do next, if it depends on more than the status.
    fn hint(&self) -> Option<(header::HeaderName, HeaderValue)> {
        match self {
            Self::RangeNotSatisfiable(size) => {
                Some((header::CONTENT_RANGE, HeaderValue::from_str(&format!("bytes */{size}")).ok()?))
            }
            Self::RateLimited(wait) | Self::LoginsLimited(wait) | Self::QueueFull(wait) => {
                Some((header::RETRY_AFTER, HeaderValue::from(whole_seconds(*wait))))
            }
            // Both last until an operator has acted, or tasks have expired.
            Self::QueueLost | Self::QueueMemoryFull => Some((header::RETRY_AFTER, HeaderValue::from(30))),
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = process::error_response(self.status(), self.word(), &self.to_string(), self.details());
        if let Some((name, value)) = self.hint() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

fn shape_or_fit(is_shape: bool) -> StatusCode {
    if is_shape { StatusCode::BAD_REQUEST } else { StatusCode::UNPROCESSABLE_ENTITY }
}

fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests;
