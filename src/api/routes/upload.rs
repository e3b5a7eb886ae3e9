//! `POST /api/files/upload`: one file of a multipart form, streamed into the store. A failed upload leaves nothing.

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
    store,
    submit::{FileRegistry, ReceivedFile},
    task::FileId,
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
};

/// Name of the field with the file.
const FIELD: &str = "file";
/// Size of a form without its file.
const FORM_OVERHEAD_BYTES: u64 = 1 << 20;
/// Largest other field, bytes.
const FIELD_BYTES_MAX: usize = 64 * 1024;

/// Stores the field `file`, and returns its id and link.
#[utoipa::path(
    post, path = "/api/files/upload", operation_id = "uploadFile", tag = "files",
    request_body(content = crate::api::openapi::UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "the file", body = crate::api::openapi::Envelope<FileView>)),
    extensions(("x-errors" = json!([
        "invalid_upload", "unsupported_media_type", "too_large", "rate_limited", "queue_memory_full", "storage_unavailable",
        "storage_full", "storage_reserve", "upload_quota"
    ])))
)]
pub(crate) async fn upload(
    State(state): State<ApiState>,
    caller: Caller,
    request: Request,
) -> Result<Answer<FileView>> {
    state.submitter.admit(&caller)?;
    state.queue.check_memory()?;
    refuse_encoding(request.headers())?;
    if !is_multipart(request.headers()) {
        return Err(ApiError::UnsupportedMediaType("the Content-Type must be multipart/form-data"));
    }
    let files = state.submitter.files();
    let bytes_max = files.bytes_max().saturating_add(FORM_OVERHEAD_BYTES);
    refuse_declared_length(request.headers(), bytes_max).map_err(|_| ApiError::TooLarge(files.bytes_max()))?;
    files.refuse_over_quota(&caller.username).await?;
    let mut form = Form::open(request, bytes_max).await?;
    let received = receive(files, &mut form).await?;
    // In a task of its own, so that a client that disconnects now does not leave bytes without an entry.
    let files = files.clone();
    let registered = tokio::spawn(async move { files.register(&caller.username, received).await });
    let record = registered.await.map_err(|_| ApiError::Internal)??;
    Ok(Answer(FileView::new(record, &state.links, &state.retention)))
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("multipart/form-data")
}

/// Reads the form to its closing boundary. A form that ends before leaves nothing.
async fn receive(files: &FileRegistry, form: &mut Form) -> Result<ReceivedFile> {
    let mut received = None;
    while let Some(part) = form.next().await? {
        if part.name() != FIELD {
            skip(part).await?;
        } else if received.is_some() {
            return Err(ApiError::InvalidUpload("the form has two files: upload one at a time".to_owned()));
        } else {
            received = Some(receive_file(files, part).await?);
        }
    }
    received.ok_or_else(|| ApiError::InvalidUpload(format!("the form has no field `{FIELD}`")))
}

async fn receive_file(files: &FileRegistry, mut part: Part<'_>) -> Result<ReceivedFile> {
    let id = FileId::new();
    let filename = store::clean_filename(part.filename());
    let mut writer = files.create(id).await?;
    let mut is_empty = true;
    while let Some(chunk) = part.chunk().await? {
        is_empty &= chunk.is_empty();
        writer.write(chunk).await?;
    }
    if is_empty {
        return Err(ApiError::InvalidUpload("the file is empty".to_owned()));
    }
    Ok(ReceivedFile { id, filename, writer })
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
