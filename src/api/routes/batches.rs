//! `GET|DELETE /api/batches/:id`: progress of a batch, and its cancellation.

use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{envelope::Answer, extract::PathId},
    },
    auth::Caller,
    queue::BatchOverview,
    task::{BatchId, Status, WorkflowName, rfc3339},
};
use axum::extract::State;
use serde::Serialize;
use std::collections::BTreeMap;

/// `{"batchId","count","counts":{"pending":2,…},"progress":40,"owner","createdAt","updatedAt",…}`; `counts` cover the tasks that
/// still exist, `cancelled` is the number of tasks that a `DELETE` has just ended.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchSummary {
    batch_id: BatchId,
    count: u64,
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    counts: BTreeMap<&'static str, u64>,
    /// Progress of all tasks, 0–100; 100 when all have ended.
    #[schema(minimum = 0, maximum = 100)]
    progress: u64,
    owner: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_name: Option<WorkflowName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled: Option<u64>,
}

impl BatchSummary {
    fn new(batch_id: BatchId, stand: BatchOverview, cancelled: Option<u64>) -> Self {
        let kept: u64 = stand.counts.iter().sum();
        let count = stand.facts.batch.map_or(kept, |batch| batch.size.into()).max(kept);
        let live: u64 = Status::ALL
            .iter()
            .zip(stand.counts)
            .filter(|(status, _)| matches!(status, Status::Pending | Status::Running))
            .map(|(_, count)| count)
            .sum();
        // Tasks that were collected have ended.
        let progress = (stand.percent_sum + (count - kept) * 100) / count.max(1);
        let workflow = stand.facts.workflow;
        Self {
            batch_id,
            count,
            counts: Status::ALL.map(Status::as_str).into_iter().zip(stand.counts).collect(),
            progress: progress.min(if live == 0 { 100 } else { 99 }),
            owner: stand.owner,
            created_at: rfc3339(stand.created_ms),
            updated_at: rfc3339(stand.updated_ms),
            workflow_version: workflow.as_ref().map(|workflow| workflow.version),
            workflow_name: workflow.map(|workflow| workflow.name),
            cancelled,
        }
    }
}

/// Returns the progress of a batch.
#[utoipa::path(
    get, path = "/api/batches/{id}", operation_id = "getBatch", tag = "batches",
    params(("id" = crate::task::BatchId, Path, description = "the batch")),
    responses((status = 200, description = "what stands of it", body = crate::api::openapi::Envelope<BatchSummary>)),
    extensions(("x-errors" = json!(["not_found"])))
)]
pub(crate) async fn detail(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Answer<BatchSummary>> {
    let (id, stand) = own(&state, &caller, &id).await?;
    Ok(Answer(BatchSummary::new(id, stand, None)))
}

/// Cancels all tasks of a batch that have not ended. Idempotent.
#[utoipa::path(
    delete, path = "/api/batches/{id}", operation_id = "cancelBatch", tag = "batches",
    params(("id" = crate::task::BatchId, Path, description = "the batch")),
    responses((status = 200, description = "what stands of it", body = crate::api::openapi::Envelope<BatchSummary>)),
    extensions(("x-errors" = json!(["not_found"])))
)]
pub(crate) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Answer<BatchSummary>> {
    let (id, _) = own(&state, &caller, &id).await?;
    let cancelled = state.queue.cancel_batch(id).await?;
    let stand = state.queue.batch(id).await?.ok_or(ApiError::NotFound("such batch"))?;
    Ok(Answer(BatchSummary::new(id, stand, Some(cancelled))))
}

/// Returns a batch that the caller may read. Another user's batch is reported as not found.
async fn own(state: &ApiState, caller: &Caller, id: &str) -> Result<(BatchId, BatchOverview)> {
    let id: BatchId = id.parse().map_err(|_| ApiError::NotFound("such batch"))?;
    let stand = state.queue.batch(id).await?;
    let stand = stand.filter(|stand| caller.may_read(&stand.owner));
    Ok((id, stand.ok_or(ApiError::NotFound("such batch"))?))
}
