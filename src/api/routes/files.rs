//! `GET /api/files`, `DELETE /api/files/:id`, and the view of a file.

use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{envelope::Answer, extract::PathId, query::Query},
    },
    auth::Caller,
    queue::{self, FileDeleted, FileKind, FileRecord, Retention},
    task::{FileId, Links, TaskId, rfc3339},
};
use axum::extract::State;
use serde::Serialize;
use std::time::Duration;

/// Tries to delete the entry of a file whose bytes were deleted, until Redis takes writes again.
const WRITABLE_TRIES: u32 = 12;
/// Delay between two of them.
const WRITABLE_PAUSE: Duration = Duration::from_millis(300);

/// A file: `{"fileId","filename","url","kind","contentType","sizeBytes","sha256","createdAt","expiresAt"?,"owner","taskId"?}`
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileView {
    file_id: FileId,
    filename: String,
    url: String,
    kind: FileKind,
    content_type: String,
    size_bytes: u64,
    sha256: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Time from which it may be deleted, if known: of an output that is kept with its task, after the task has ended. Files in
    /// use stay longer; `--keep-bytes` may delete outputs earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<TaskId>,
}

impl FileView {
    /// Returns the view of a registered file.
    pub(crate) fn new(record: FileRecord, links: &Links, retention: &Retention) -> Self {
        Self {
            expires_at: retention.expires_ms(&record).map(rfc3339),
            url: links.file(record.id),
            file_id: record.id,
            filename: record.filename,
            kind: record.kind,
            content_type: record.content_type,
            size_bytes: record.size_bytes,
            sha256: record.sha256,
            created_at: rfc3339(record.created_ms),
            owner: record.owner,
            task_id: record.task_id,
        }
    }
}

/// `{"total":2,"items":[…]}`, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = FilePage)]
pub(crate) struct Page {
    total: u64,
    items: Vec<FileView>,
}

/// Lists files: `kind` (`upload` or `output`, both by default), `limit`, `offset`. It covers the files of all users, hence is for admins.
#[utoipa::path(
    get, path = "/api/files", operation_id = "listFiles", tag = "files",
    params(
        ("kind" = Option<FileKind>, Query, description = "both when not given"),
        ("limit" = Option<u64>, Query, minimum = 1, description = "20 when not given; more than 200 is 200"),
        ("offset" = Option<u64>, Query, description = "number of entries to skip"),
    ),
    responses((status = 200, description = "one page", body = crate::api::openapi::Envelope<Page>)),
    extensions(("x-errors" = json!(["forbidden"])))
)]
pub(crate) async fn list(State(state): State<ApiState>, caller: Caller, query: Query) -> Result<Answer<Page>> {
    if !caller.may_manage() {
        return Err(ApiError::Forbidden);
    }
    query.only(&["kind", "limit", "offset"])?;
    let kind = match query.one("kind")? {
        None => None,
        Some("upload") => Some(FileKind::Upload),
        Some("output") => Some(FileKind::Output),
        Some(_) => return Err(ApiError::InvalidQuery("`kind` must be upload or output".to_owned())),
    };
    let (total, records) = state.queue.files(kind, query.offset()?.unwrap_or(0), query.limit()?).await?;
    let items = records.into_iter().map(|record| FileView::new(record, &state.links, &state.retention)).collect();
    Ok(Answer(Page { total, items }))
}

/// Deletes a file that no waiting or running task and no published workflow needs. Returns the deleted file.
#[utoipa::path(
    delete, path = "/api/files/{id}", operation_id = "deleteFile", tag = "files",
    params(("id" = FileId, Path, description = "the file")),
    responses((status = 200, description = "what it was", body = crate::api::openapi::Envelope<FileView>)),
    extensions(("x-errors" = json!(["not_found", "file_in_use"])))
)]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Answer<FileView>> {
    let id: FileId = id.parse().map_err(|_| ApiError::NotFound("such file"))?;
    if !caller.may_manage() {
        let record = state.queue.file(id).await?;
        record.filter(|record| caller.may_read(&record.owner)).ok_or(ApiError::NotFound("such file"))?;
    }
    let deleted = match state.queue.delete_file(id).await {
        Err(queue::Error::Refused(why)) if why.contains("MISCONF") => free_space_and_delete(&state, id).await?,
        deleted => deleted?,
    };
    match deleted {
        FileDeleted::Deleted(record, objects) => {
            for object in objects {
                // The link no longer works; remaining bytes only cost space.
                if let Err(error) = state.store.delete(object).await {
                    tracing::warn!(file = %id, %object, %error, "bytes of a deleted file not deleted");
                }
            }
            Ok(Answer(FileView::new(record, &state.links, &state.retention)))
        }
        FileDeleted::InUse(by) => Err(ApiError::FileInUse(by)),
        FileDeleted::NotFound => Err(ApiError::NotFound("such file")),
    }
}

/// Deletes a file while Redis refuses writes because it cannot write to its disk. If its disk is that of the store, the
/// bytes of the file are what frees it, so they are deleted first. Nothing can start to use the file meanwhile, because that
/// would be a write too. Redis writes again within a second.
async fn free_space_and_delete(state: &ApiState, id: FileId) -> queue::Result<FileDeleted> {
    for object in state.queue.deletable_objects(id).await?.unwrap_or_default() {
        if let Err(error) = state.store.delete(object).await {
            tracing::warn!(file = %id, %object, %error, "bytes of a file not deleted");
        }
    }
    for _ in 1..WRITABLE_TRIES {
        tokio::time::sleep(WRITABLE_PAUSE).await;
        match state.queue.delete_file(id).await {
            Err(queue::Error::Refused(_)) => {}
            answered => return answered,
        }
    }
    state.queue.delete_file(id).await
}
