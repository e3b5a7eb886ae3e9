//! Error messages that need more than the variant.

use crate::{
    queue::{QuotaExceeded, WORKFLOW_LIMITS},
    task::WorkflowVersion,
};

/// Returns the first message, and the number of others.
pub(super) fn first_of<'a>(mut messages: impl Iterator<Item = &'a str>) -> String {
    let first = messages.next().unwrap_or("the request is not valid");
    match messages.count() {
        0 => first.to_owned(),
        1 => format!("{first} (and 1 more problem)"),
        more => format!("{first} (and {more} more problems)"),
    }
}

/// Returns the message for a file that is in use.
pub(super) fn needed_by(workflow: Option<&WorkflowVersion>) -> String {
    match workflow {
        Some(workflow) => format!(
            "the published workflow {workflow} needs this file: delete that workflow first; a version also goes when {} newer ones are there",
            WORKFLOW_LIMITS.versions_kept
        ),
        None => "a waiting or running task needs this file".to_owned(),
    }
}

/// Returns the message for a version conflict; 0 = no version.
pub(super) fn conflict(version: u64) -> String {
    match version {
        0 => "nothing is published under this name: leave the version out".to_owned(),
        version => format!("it has version {version} now: read it again"),
    }
}

/// Message for the body of a task that is larger than `limit` bytes.
pub(super) fn task_too_large(limit: u64) -> String {
    format!(
        "the body is larger than {limit} bytes (SHUZHIREN_TASK_BYTES_MAX): send each file to POST /api/files/upload, and write \
         {{\"$file\": \"<fileId>\"}} in `params` in its place"
    )
}

/// Message of an exceeded quota of uploads.
pub(super) fn quota(exceeded: QuotaExceeded) -> String {
    match exceeded {
        QuotaExceeded::User(bytes) => {
            format!("your uploads have reached their limit of {bytes} bytes: delete some first")
        }
        QuotaExceeded::All(bytes) => {
            format!("the uploads of all users have reached their limit of {bytes} bytes: delete some first")
        }
    }
}

/// Message of an exceeded quota of waiting tasks.
pub(super) fn waiting_quota(exceeded: QuotaExceeded) -> String {
    match exceeded {
        QuotaExceeded::User(bytes) => format!(
            "your waiting and running tasks would have more than {bytes} bytes of graphs and params: wait until some have ended"
        ),
        QuotaExceeded::All(bytes) => format!(
            "all waiting and running tasks would have more than {bytes} bytes of graphs and params: wait until some have ended"
        ),
    }
}
