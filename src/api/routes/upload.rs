//! `POST /api/files/upload`: one file of a multipart form, streamed into the store; nothing is left of one that does not end well.

use super::files::FileView;
use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{
            body::{refuse_declared_length, refuse_encoding},
            envelope::Answer,
            multipart::{Form, Part},
        },
    },
    auth::Caller,
    metrics,
    queue::{FileKind, FileRecord},
    store::{self, Stored, Writer},
    task::FileId,
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
};

/// The field that holds the file.
const FIELD: &str = "file";
/// What a form may hold beside its file.
const FORM_OVERHEAD_BYTES: u64 = 1 << 20;
/// A field that is not the file.
const FIELD_BYTES_MAX: usize = 64 * 1024;

/// Stores the field `file` and answers with its id and link.
#[utoipa::path(
    post, path = "/api/files/upload", operation_id = "uploadFile", tag = "files",
    request_body(content = crate::api::openapi::UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "the file", body = crate::api::openapi::Envelope<FileView>)),
    extensions(("x-errors" = json!([
        "invalid_upload", "unsupported_media_type", "too_large", "rate_limited", "storage_unavailable", "storage_full"
    ])))
)]
pub(crate) async fn upload(
    State(state): State<ApiState>,
    caller: Caller,
    request: Request,
) -> Result<Answer<FileView>> {
    state.rates.take(&caller.username)?;
    refuse_encoding(request.headers())?;
    if !is_multipart(request.headers()) {
        return Err(ApiError::UnsupportedMediaType("the Content-Type must be multipart/form-data"));
    }
    let bytes_max = state.file_bytes_max.saturating_add(FORM_OVERHEAD_BYTES);
    refuse_declared_length(request.headers(), bytes_max).map_err(|_| ApiError::TooLarge(state.file_bytes_max))?;
    let mut form = Form::open(request, bytes_max).await?;
    let received = receive(&state, &mut form).await?;
    // Not to be torn apart by a client that goes away now: either both are there, bytes and entry, or neither.
    let registered = tokio::spawn(async move { register(&state, caller, received).await });
    registered.await.map_err(|_| ApiError::Internal)?.map(Answer)
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("multipart/form-data")
}

/// A file that has arrived whole and is not visible yet.
pub(crate) struct Received {
    pub(crate) id: FileId,
    pub(crate) filename: String,
    pub(crate) writer: Writer,
}

/// Reads the form to its closing boundary: what breaks off before has left nothing.
async fn receive(state: &ApiState, form: &mut Form) -> Result<Received> {
    let mut received = None;
    while let Some(part) = form.next().await? {
        if part.name() != FIELD {
            skip(part).await?;
        } else if received.is_some() {
            return Err(ApiError::InvalidUpload("the form has two files: upload one at a time".to_owned()));
        } else {
            received = Some(receive_file(state, part).await?);
        }
    }
    received.ok_or_else(|| ApiError::InvalidUpload(format!("the form has no field `{FIELD}`")))
}

async fn receive_file(state: &ApiState, mut part: Part<'_>) -> Result<Received> {
    let id = FileId::new();
    let filename = store::clean_filename(part.filename());
    let mut writer = state.store.create(id, state.file_bytes_max).await?;
    let mut is_empty = true;
    while let Some(chunk) = part.chunk().await? {
        is_empty &= chunk.is_empty();
        writer.write(chunk).await?;
    }
    if is_empty {
        return Err(ApiError::InvalidUpload("the file is empty".to_owned()));
    }
    Ok(Received { id, filename, writer })
}

async fn skip(mut part: Part<'_>) -> Result<()> {
    let mut seen = 0;
    while let Some(chunk) = part.chunk().await? {
        seen += chunk.len();
        if seen > FIELD_BYTES_MAX {
            return Err(ApiError::InvalidUpload(format!("a field other than `{FIELD}` is too large")));
        }
    }
    Ok(())
}

/// Makes it visible: bytes and entry.
pub(crate) async fn register(state: &ApiState, caller: Caller, received: Received) -> Result<FileView> {
    let Received { id, filename, writer } = received;
    let Stored { size_bytes, sha256, head } = writer.finish().await?;
    let record = FileRecord {
        id,
        kind: FileKind::Upload,
        content_type: store::content_type(&head, &filename).to_owned(),
        filename,
        size_bytes,
        sha256,
        owner: caller.username,
        task_id: None,
        created_ms: 0,
        shares: None,
    };
    match state.queue.add_file(&record).await {
        Ok(None) => {}
        Ok(Some(object)) => {
            // A copy that stays behind is deleted in an hour.
            if let Err(error) = state.store.share(id, object, size_bytes).await {
                tracing::warn!(file = %id, %error, "the second copy of a file is still there");
            }
        }
        Err(error) => {
            // Not waited for: the caller is owed an answer now, and whatever stays behind is found and deleted in time.
            let state = state.clone();
            tokio::spawn(async move { take_back(&state, id).await });
            return Err(error.into());
        }
    }
    metrics::uploaded(size_bytes);
    // The entry has the time of Redis.
    let stored = state.queue.file(id).await.ok().flatten().unwrap_or(record);
    Ok(FileView::new(stored, &state.links))
}

/// The entry may exist although its writing failed. Bytes are only deleted when it is certain that no entry needs them.
pub(crate) async fn take_back(state: &ApiState, id: FileId) {
    let undone = async {
        for object in state.queue.retract_file(id).await.map_err(|error| error.to_string())? {
            state.store.delete(object).await.map_err(|error| error.to_string())?;
        }
        Ok::<(), String>(())
    };
    if let Err(error) = undone.await {
        tracing::warn!(file = %id, %error, "an upload that was not registered may have left its bytes");
    }
}
