//! Replies of the server: the frame of an event plus the `requestId` of the request.

use super::{frames::reply, outbox::Frame, requests::Refusal};
use crate::{
    auth::Caller,
    task::{TaskId, TaskView},
};
use serde::Serialize;

/// Makes a `resync`: endings may have been missed; the client reads its tasks again and continues from `cursor`.
pub fn resync(cursor: &str, request_id: Option<&str>) -> Frame {
    let message =
        serde_json::json!({ "cursor": cursor, "reason": "endings may have been missed: read the tasks again" });
    reply("resync", request_id, message)
}

/// Makes an `auth_ok`.
pub fn auth_ok(caller: &Caller, cursor: &str, request_id: Option<&str>) -> Frame {
    let expires_at = crate::task::rfc3339(caller.expires_at.saturating_mul(1_000));
    let user = serde_json::json!({ "username": caller.username, "role": caller.role });
    reply("auth_ok", request_id, serde_json::json!({ "user": user, "expiresAt": expires_at, "cursor": cursor }))
}

/// Makes a `pong`.
pub fn pong(request_id: Option<&str>) -> Frame {
    reply("pong", request_id, serde_json::json!({}))
}

/// Makes a `task`.
pub fn task(view: &TaskView, request_id: Option<&str>) -> Frame {
    reply("task", request_id, view)
}

/// Makes a `subscribed`, the reply to `subscribe` and `unsubscribe`.
pub fn subscribed(data: &Subscribed<'_>, request_id: Option<&str>) -> Frame {
    reply("subscribed", request_id, data)
}

/// Makes an `error`.
pub fn error(refusal: &Refusal, request_id: Option<&str>) -> Frame {
    let data = serde_json::json!({ "type": refusal.kind, "message": refusal.message });
    reply("error", request_id, data)
}

/// The `data` of `subscribed`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscribed<'a> {
    /// Whether the session is subscribed to all tasks except muted ones.
    pub all: bool,
    /// Tasks of this request that exist and that the caller may see.
    pub task_ids: Vec<TaskId>,
    /// The other tasks of this request.
    pub unknown: Vec<TaskId>,
    /// A snapshot of each of `task_ids`.
    pub tasks: Vec<TaskView>,
    /// Whether another `subscribed` with more tasks of the request follows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Cursor to continue from.
    pub cursor: &'a str,
}
