//! Brings the stored files that a graph names to the instance, and writes the instance's names for them into the graph.

use super::scene::{Exit, Scene, until_answered};
use crate::{
    comfy::Error,
    graph::Workflow,
    store,
    task::{Failure, FailureKind, FileInput},
};
use futures_util::StreamExt as _;

/// Folder of our uploads in the instance's input folder.
const FOLDER: &str = "shuzhiren";

/// Uploads what the instance lacks, by content: the same bytes are sent once and hit ComfyUI's cache.
pub(super) async fn upload(scene: &Scene, workflow: &mut Workflow) -> Result<(), Exit> {
    for input in &scene.claim.payload.files {
        let name = tokio::select! {
            biased;
            () = scene.ears.cancelled.cancelled() => return Err(Exit::NotOurs),
            name = upload_one(scene, input) => name?,
        };
        workflow.set_text(&input.node_id, &input.input, &name);
    }
    Ok(())
}

async fn upload_one(scene: &Scene, input: &FileInput) -> Result<String, Exit> {
    let instance = &scene.instance;
    // An outage of Redis is not the task's fault: it is waited for, no attempt is used.
    let Some(record) = until_answered(|| instance.queue().file(input.file_id)).await else {
        return Err(unavailable(input, "the file does not exist any more"));
    };
    let subfolder = format!("{FOLDER}/{}", record.sha256.get(..2).unwrap_or("00"));
    let filename = format!("{}{}", record.sha256, extension(&record.filename));
    if instance.has_upload(&filename) {
        return Ok(format!("{subfolder}/{filename}"));
    }
    let download = match instance.shared.parts.store.read(record.object(), None).await {
        Ok(download) => download,
        Err(store::Error::NotFound) => return Err(unavailable(input, "the file's bytes are gone")),
        Err(error) => {
            return Err(Exit::failed(Failure::new(FailureKind::StorageFailed, error.to_string())));
        }
    };
    let bytes = download.bytes.map(|chunk| chunk.map_err(std::io::Error::other)).boxed();
    match instance.client.upload(&subfolder, &filename, download.size_bytes, bytes).await {
        Ok(name) => {
            instance.remember_upload(&filename);
            Ok(name)
        }
        Err(Error::Refused(why)) => Err(unavailable(input, &format!("the instance refused it: {why}"))),
        Err(error) => {
            Err(Exit::infrastructure(FailureKind::InstanceUnreachable, format!("uploading an input failed: {error}")))
        }
    }
}

fn unavailable(input: &FileInput, why: &str) -> Exit {
    let mut failure = Failure::new(FailureKind::InputUnavailable, format!("input `{}`: {why}", input.input));
    failure.node_id = Some(input.node_id.clone());
    Exit::failed(failure)
}

/// `.png` of `a.png`: at most 10 ASCII letters and digits, lower case; nodes choose their reader by it.
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
