//! Uploads the stored files that a graph needs to the instance, and writes the instance's names for them into the
//! graph.

use super::{context::AttemptContext, input_cache::Upload, stage_error::StageError};
use crate::{
    comfy::Error,
    dispatcher::redis_retry::until_answered,
    graph::Workflow,
    queue::FileRecord,
    store,
    task::{Failure, FailureKind, FileInput},
    trace::Name,
};
use futures_util::StreamExt as _;

/// Folder of uploads below the instance's input folder.
const FOLDER: &str = "fleet";

/// An input that was not uploaded for this attempt, because the input cache lists it for the instance.
pub(crate) struct CachedInput {
    file: String,
    node_id: String,
}

/// Uploads the inputs that the instance lacks, named by content: the same bytes are sent once and hit ComfyUI's cache.
/// Returns the inputs that were not sent.
pub(crate) async fn upload(
    context: &mut AttemptContext,
    workflow: &mut Workflow,
) -> Result<Vec<CachedInput>, StageError> {
    let mut cached = Vec::new();
    let inputs = context.claim.payload.files.clone();
    if !inputs.is_empty() {
        context.spans.enter(Name::Upload);
    }
    for input in &inputs {
        let (file, upload) = tokio::select! {
            biased;
            () = context.signals.cancelled.cancelled() => return Err(StageError::NotOurs),
            uploaded = upload_one(context, input) => uploaded?,
        };
        workflow.set_text(&input.node_id, &input.input, &upload.name);
        if upload.is_cached {
            cached.push(CachedInput { file, node_id: input.node_id.clone() });
        }
    }
    if !inputs.is_empty() {
        context.spans.uploaded(inputs.len(), cached.len());
    }
    Ok(cached)
}

/// Removes the attempt's cached inputs from the input cache if the refusal names one of them. Returns true if it does:
/// another upload may then help, and only once, because the next one finds nothing in the cache.
pub(crate) fn forget_refused(context: &AttemptContext, cached: &[CachedInput], failure: &Failure) -> bool {
    let is_missing = cached
        .iter()
        .any(|input| failure.message.contains(&input.file) || failure.node_id.as_ref() == Some(&input.node_id));
    if is_missing {
        // If one file is gone, the others may be, too.
        cached.iter().for_each(|input| context.instance.input_cache.forget(&input.file));
    }
    is_missing
}

/// Like [`forget_refused`], for a node that raised `FileNotFoundError`.
pub(crate) fn forget_unfound(context: &AttemptContext, cached: &[CachedInput], failure: &Failure) -> bool {
    let is_unfound = failure.exception_type.as_ref().is_some_and(|name| name.ends_with("FileNotFoundError"));
    is_unfound && forget_refused(context, cached, failure)
}

async fn upload_one(context: &AttemptContext, input: &FileInput) -> Result<(String, Upload), StageError> {
    // A Redis outage is not the task's fault: wait for the end of it instead of using up an attempt.
    let Some(record) = until_answered(context.call("file"), || context.instance.queue().file(input.file_id)).await
    else {
        return Err(unavailable(input, "the file no longer exists"));
    };
    let file = format!("{}{}", record.sha256, extension(&record.filename));
    let upload = context.instance.input_cache.get_or_upload(&file, send(context, input, &record, &file)).await?;
    Ok((file, upload))
}

async fn send(
    context: &AttemptContext,
    input: &FileInput,
    record: &FileRecord,
    file: &str,
) -> Result<String, StageError> {
    let instance = &context.instance;
    let download = match instance.shared.parts.store.read(record.object(), None).await {
        Ok(download) => download,
        Err(store::Error::NotFound) => {
            return Err(unavailable(input, "the bytes of the file are missing in the store"));
        }
        Err(error) => {
            return Err(StageError::failed(Failure::new(FailureKind::StorageFailed, error.to_string())));
        }
    };
    let subfolder = format!("{FOLDER}/{}", record.sha256.get(..2).unwrap_or("00"));
    let bytes = download.bytes.map(|chunk| chunk.map_err(std::io::Error::other)).boxed();
    match instance.client.upload(&subfolder, file, download.size_bytes, bytes).await {
        Ok(name) => Ok(name),
        Err(Error::Refused(reason)) => Err(unavailable(input, &format!("the instance refused the upload: {reason}"))),
        Err(error) => {
            Err(StageError::infrastructure(FailureKind::InstanceUnreachable, format!("input upload failed: {error}")))
        }
    }
}

fn unavailable(input: &FileInput, reason: &str) -> StageError {
    let mut failure = Failure::new(FailureKind::InputUnavailable, format!("input `{}`: {reason}", input.input));
    failure.node_id = Some(input.node_id.clone());
    StageError::failed(failure)
}

/// Returns the extension of a file name with its dot, in lower case, if it has at most 10 ASCII letters and digits:
/// `.png` of `a.PNG`. Nodes choose their decoder by it.
fn extension(filename: &str) -> String {
    match filename.rsplit_once('.') {
        Some((_, end)) if (1..=10).contains(&end.len()) && end.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!(".{}", end.to_ascii_lowercase())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::extension;

    #[test]
    fn only_a_plain_extension_is_kept() {
        assert_eq!(extension("a.PNG"), ".png");
        for odd in ["a", "a.", "a.b/c", "a.waytoolongextension", "a.p\u{202e}g"] {
            assert_eq!(extension(odd), "");
        }
    }
}
