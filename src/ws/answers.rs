//! What the server answers: the same frame as what it says unasked, with the `requestId` of the question.

use super::{frames::answer, inbound::Refusal, outbox::Frame};
use crate::{
    auth::Caller,
    task::{TaskId, TaskView},
};
use serde::Serialize;

/// `resync`: endings may have been missed; read the tasks again, and go on from `cursor`.
pub fn resync(cursor: &str, request_id: Option<&str>) -> Frame {
    let message =
        serde_json::json!({ "cursor": cursor, "reason": "endings may have been missed: read the tasks again" });
    answer("resync", request_id, message)
}

/// `auth_ok`.
pub fn auth_ok(caller: &Caller, cursor: &str, request_id: Option<&str>) -> Frame {
    let expires_at = crate::task::rfc3339(caller.expires_at.saturating_mul(1_000));
    let user = serde_json::json!({ "username": caller.username, "role": caller.role });
    answer("auth_ok", request_id, serde_json::json!({ "user": user, "expiresAt": expires_at, "cursor": cursor }))
}

/// `pong`.
pub fn pong(request_id: Option<&str>) -> Frame {
    answer("pong", request_id, serde_json::json!({}))
}

/// `task`.
pub fn task(view: &TaskView, request_id: Option<&str>) -> Frame {
    answer("task", request_id, view)
}

/// `subscribed`, also the answer to `unsubscribe`.
pub fn subscribed(data: &Subscribed<'_>, request_id: Option<&str>) -> Frame {
    answer("subscribed", request_id, data)
}

/// `error`.
pub fn error(refusal: &Refusal, request_id: Option<&str>) -> Frame {
    let data = serde_json::json!({ "type": refusal.kind, "message": refusal.message });
    answer("error", request_id, data)
}

/// `data` of `subscribed`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscribed<'a> {
    /// Whether every task is watched, muted ones aside.
    pub all: bool,
    /// The tasks of this request that exist and may be seen.
    pub task_ids: Vec<TaskId>,
    /// The others.
    pub unknown: Vec<TaskId>,
    /// A snapshot of each of `task_ids`, as `GET /api/tasks` shows it.
    pub tasks: Vec<TaskView>,
    /// Where the client stands now.
    pub cursor: &'a str,
}
