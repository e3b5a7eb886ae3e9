//! `POST /api/tasks/:id/retry`: runs a task again that failed or was cancelled.

use super::tasks::own_task_id;
use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{envelope::Answer, extract::PathId, spans},
    },
    auth::Caller,
    queue::Revived,
    task::{Status, TaskView},
    trace::Name,
};
use axum::extract::State;
use std::time::Instant;

/// Puts the task back into its lane with new attempts, and returns it. Until it ends again, a repeat changes nothing.
#[utoipa::path(
    post, path = "/api/tasks/{id}/retry", operation_id = "retryTask", tag = "tasks",
    params(("id" = crate::task::TaskId, Path, description = "the task")),
    responses((status = 200, description = "the task", body = crate::api::openapi::Envelope<TaskView>)),
    extensions(("x-errors" = json!([
        "not_found", "task_ended", "task_not_ended", "workflow_gone", "no_such_file", "rate_limited", "queue_full", "queue_memory_full"
    ])))
)]
pub(crate) async fn retry(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Answer<TaskView>> {
    let begun = Instant::now();
    state.submitter.admit(&caller)?;
    let id = own_task_id(&state, &caller, &id).await?;
    match state.queue.revive(id).await? {
        Revived::Revived(task) => {
            spans::record(id, Name::Retry, begun);
            Ok(Answer(TaskView::new(&task, &state.links)))
        }
        Revived::NotFound => Err(ApiError::NotFound("such task")),
        Revived::Completed => Err(ApiError::TaskEnded(Status::Completed)),
        Revived::NotEnded(status) => Err(ApiError::TaskNotEnded(status)),
        Revived::Stopping => Err(ApiError::TaskStopping),
        Revived::PayloadGone => Err(ApiError::WorkflowGone),
        Revived::NoSuchFile(id) => Err(ApiError::NoSuchFile(id)),
        Revived::Full(wait) => Err(ApiError::QueueFull(wait)),
    }
}
