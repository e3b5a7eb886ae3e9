//! `POST /api/tasks/:id/retry`: runs a task again that failed or was cancelled.

use super::tasks::own_task_id;
use crate::{
    api::{
        ApiState,
        bodies::keys_of_retry,
        error::{ApiError, Result},
        http::{body, envelope::Answer, extract::PathId, spans, strict_json},
    },
    auth::Caller,
    queue::Revived,
    secrets::NodeKeys,
    settings::limits::JSON_BODY_BYTES,
    task::{Status, TaskView},
    trace::Name,
};
use axum::{
    extract::{Request, State},
    http::header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use std::time::Instant;

/// Puts the task back into its lane with new attempts, and returns it. Until it ends again, a repeat changes nothing. A task
/// that had keys for API nodes needs them again, as the JSON body `{"extraData": {"api_key_comfy_org": "…"}}`.
#[utoipa::path(
    post, path = "/api/tasks/{id}/retry", operation_id = "retryTask", tag = "tasks",
    params(("id" = crate::task::TaskId, Path, description = "the task")),
    responses((status = 200, description = "the task", body = crate::api::openapi::Envelope<TaskView>)),
    extensions(("x-errors" = json!([
        "not_found", "task_ended", "task_not_ended", "workflow_gone", "keys_gone", "no_such_file", "invalid_json", "invalid_request", "unknown_field",
        "unsupported_media_type", "too_large", "rate_limited",
        "queue_full", "waiting_quota", "queue_memory_full", "secret_key_missing"
    ])))
)]
pub(crate) async fn retry(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId,
    request: Request,
) -> Result<Answer<TaskView>> {
    let begun = Instant::now();
    state.submitter.admit(&caller)?;
    let id = own_task_id(&state, &caller, &id).await?;
    let keys = keys(request).await?;
    let encrypt = || state.submitter.encryption().encrypt_keys(&id.key_owner(), &keys);
    let keys = (!keys.is_empty()).then(encrypt).transpose()?;
    match state.queue.revive_with(id, keys.as_deref()).await? {
        Revived::Revived(task) => {
            spans::record(id, Name::Retry, begun);
            Ok(Answer(TaskView::new(&task, &state.links)))
        }
        Revived::NotFound => Err(ApiError::NotFound("such task")),
        Revived::Completed => Err(ApiError::TaskEnded(Status::Completed)),
        Revived::NotEnded(status) => Err(ApiError::TaskNotEnded(status)),
        Revived::Stopping => Err(ApiError::TaskStopping),
        Revived::PayloadGone => Err(ApiError::WorkflowGone),
        Revived::KeysGone => Err(ApiError::KeysGone),
        Revived::NoSuchFile(id) => Err(ApiError::NoSuchFile(id)),
        Revived::Full(wait) => Err(ApiError::QueueFull(wait)),
        Revived::OverQuota(exceeded) => Err(ApiError::WaitingQuota(exceeded)),
    }
}

/// Reads the body, which most retries do not have.
async fn keys(request: Request) -> Result<NodeKeys> {
    let length = request.headers().get(CONTENT_LENGTH);
    let is_empty = length.map_or_else(|| !request.headers().contains_key(CONTENT_TYPE), |length| length == "0");
    if is_empty {
        return Ok(NodeKeys::default());
    }
    let bytes = body::read_json(request, JSON_BODY_BYTES).await?;
    keys_of_retry(strict_json::check(&bytes)?)
}
