//! The table and the errors agree.

use super::{ApiError, ERROR_TYPES, Problem, first_of, whole_seconds};
use crate::{
    auth::Denied,
    queue::QuotaExceeded,
    store::DiskRoom,
    task::{FileId, Status},
};
use axum::response::IntoResponse;
use std::{collections::BTreeSet, time::Duration};

fn problem(is_shape: bool) -> Problem {
    Problem { is_shape, ..Problem::unfit("", "", "") }
}

fn every_error() -> Vec<ApiError> {
    let text = String::new;
    vec![
        ApiError::InvalidJson(text()),
        ApiError::DuplicateKey(Box::new(problem(true))),
        ApiError::InvalidRequest(vec![problem(true)]),
        ApiError::InvalidRequest(vec![problem(false)]),
        ApiError::UnknownField(Vec::new()),
        ApiError::InvalidQuery(text()),
        ApiError::InvalidHeader(text()),
        ApiError::InvalidUpload(text()),
        ApiError::InvalidWorkflow(vec![problem(true)]),
        ApiError::InvalidWorkflow(vec![problem(false)]),
        ApiError::InvalidParams(vec![problem(true)]),
        ApiError::InvalidParams(vec![problem(false)]),
        ApiError::WorkflowTooComplex(""),
        ApiError::WorkflowUnknown(Box::new(problem(false))),
        ApiError::WorkflowsFull(500),
        ApiError::InvalidConfig(vec![problem(true)]),
        ApiError::InvalidConfig(vec![problem(false)]),
        ApiError::Denied(Denied::Token),
        ApiError::Denied(Denied::Credentials),
        ApiError::Forbidden,
        ApiError::LinkExpired,
        ApiError::NotFound("task"),
        ApiError::MethodNotAllowed,
        ApiError::VersionConflict(1),
        ApiError::TaskEnded(Status::Completed),
        ApiError::TaskNotEnded(Status::Running),
        ApiError::TaskStopping,
        ApiError::WorkflowGone,
        ApiError::KeysGone,
        ApiError::NoSecretKey(crate::secrets::NoSecretKey),
        ApiError::FileInUse(None),
        ApiError::TooLarge(1),
        ApiError::TaskTooLarge(1),
        ApiError::UnsupportedMediaType(""),
        ApiError::RangeNotSatisfiable(1),
        ApiError::KeyReused,
        ApiError::NoSuchFile(FileId::new()),
        ApiError::RateLimited(Duration::ZERO),
        ApiError::LoginsLimited(Duration::ZERO),
        ApiError::QueueFull(Duration::ZERO),
        ApiError::WaitingQuota(QuotaExceeded::User(1)),
        ApiError::UploadQuota(QuotaExceeded::All(1)),
        ApiError::StorageReserve(DiskRoom { free: 0, reserve: 1 }),
        ApiError::Internal,
        ApiError::Busy,
        ApiError::RedisUnavailable,
        ApiError::NotConfirmed(text()),
        ApiError::QueueLost,
        ApiError::QueueMemoryFull,
        ApiError::StorageUnavailable,
        ApiError::StorageFull,
    ]
}

#[test]
fn the_table_lists_every_word_with_its_statuses_and_no_other() {
    let said: BTreeSet<(&str, u16)> =
        every_error().iter().map(|error| (error.word(), error.status().as_u16())).collect();
    let listed: BTreeSet<(&str, u16)> =
        ERROR_TYPES.iter().flat_map(|one| one.statuses.iter().map(|status| (one.word, *status))).collect();
    assert_eq!(said, listed);
}

#[test]
fn whoever_must_wait_or_log_in_is_told_how() {
    for error in every_error() {
        let status = error.status().as_u16();
        let said = format!("{error:?}");
        let headers = error.into_response().headers().clone();
        let has = ["www-authenticate", "content-range", "retry-after"].map(|name| headers.contains_key(name));
        assert_eq!(has, [status == 401, status == 416, status == 429 || status == 503], "{said}");
    }
}

#[test]
fn a_wait_is_never_told_as_zero() {
    assert_eq!(whole_seconds(Duration::ZERO), 1);
    assert_eq!(whole_seconds(Duration::from_millis(1_001)), 2);
    assert_eq!(whole_seconds(Duration::from_secs(3)), 3);
}

#[test]
fn the_sentence_counts_what_it_leaves_out() {
    assert_eq!(first_of(["a"].into_iter()), "a");
    assert_eq!(first_of(["a", "b"].into_iter()), "a (and 1 more problem)");
    assert_eq!(first_of(["a", "b", "c"].into_iter()), "a (and 2 more problems)");
}
