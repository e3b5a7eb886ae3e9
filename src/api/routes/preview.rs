//! `GET /api/tasks/:id/preview`: the latest preview of a running task.

use super::tasks::task_id;
use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{extract::PathId, query::Query},
    },
    auth::Caller,
    task::TaskState,
};
use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};

/// Headers of a response that a browser neither executes nor caches.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
];

/// Returns the latest preview, at most ten seconds old. Previews are made as long as a client requests them.
#[utoipa::path(
    get, path = "/api/tasks/{id}/preview", operation_id = "getTaskPreview", tag = "tasks",
    params(("id" = crate::task::TaskId, Path, description = "a running task")),
    responses((status = 200, description = "the picture", content_type = "image/*", body = Vec<u8>)),
    extensions(("x-errors" = json!(["not_found"])))
)]
pub(crate) async fn preview(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId,
    query: Query,
) -> Result<Response> {
    query.only(&[])?;
    let id = task_id(&id)?;
    let task = state.queue.task(id).await?.filter(|task| caller.may_read(&task.owner));
    let task = task.ok_or(ApiError::NotFound("such task"))?;
    if task.state != TaskState::Running {
        return Err(ApiError::NotFound("preview: the task does not run"));
    }
    state.queue.want_preview(id).await?;
    let (content_type, picture) =
        state.queue.preview(id).await?.ok_or(ApiError::NotFound("preview yet: ask again in a second"))?;
    Ok(([(header::CONTENT_TYPE, content_type)], HEADERS, picture).into_response())
}
