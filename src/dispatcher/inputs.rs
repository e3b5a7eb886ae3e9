//! Brings the stored files that a graph names to the instance, and writes the instance's names for them into the graph.

use super::{
    scene::{Exit, Scene, until_answered},
    uploads::Brought,
};
use crate::{
    comfy::Error,
    graph::Workflow,
    queue::FileRecord,
    store,
    task::{Failure, FailureKind, FileInput},
    trace::Name,
};
use futures_util::StreamExt as _;

/// Folder of our uploads in the instance's input folder.
const FOLDER: &str = "fleet";

/// A file that was not sent for this attempt, because the instance is remembered to have it.
pub(super) struct Recalled {
    file: String,
    node_id: String,
}

/// Uploads what the instance lacks, by content: the same bytes are sent once and hit ComfyUI's cache.
pub(super) async fn upload(scene: &mut Scene, workflow: &mut Workflow) -> Result<(), Exit> {
    scene.recalled.clear();
    let inputs = scene.claim.payload.files.clone();
    if !inputs.is_empty() {
        scene.spans.enter(Name::Upload);
    }
    for input in &inputs {
        let (file, brought) = tokio::select! {
            biased;
            () = scene.ears.cancelled.cancelled() => return Err(Exit::NotOurs),
            brought = upload_one(scene, input) => brought?,
        };
        workflow.set_text(&input.node_id, &input.input, &brought.name);
        if brought.is_remembered {
            scene.recalled.push(Recalled { file, node_id: input.node_id.clone() });
        }
    }
    if !inputs.is_empty() {
        scene.spans.brought(inputs.len(), scene.recalled.len());
    }
    Ok(())
}

/// Forgets the files that this attempt relied upon, if the refusal is about one of them. Gives whether it was: then they are
/// worth sending again, and once, because nothing is recalled the next time.
pub(super) fn forget_refused(scene: &Scene, failure: &Failure) -> bool {
    let is_about = |recalled: &Recalled| {
        failure.message.contains(&recalled.file) || failure.node_id.as_ref() == Some(&recalled.node_id)
    };
    forget_if(scene, is_about)
}

/// The same for a node that raised because it did not find its file.
pub(super) fn forget_unfound(scene: &Scene, failure: &Failure) -> bool {
    let is_unfound = failure.exception_type.as_ref().is_some_and(|name| name.ends_with("FileNotFoundError"));
    is_unfound && forget_refused(scene, failure)
}

fn forget_if(scene: &Scene, is_about: impl Fn(&Recalled) -> bool) -> bool {
    let is_lost = scene.recalled.iter().any(is_about);
    if is_lost {
        // Where one is gone the others may be, too.
        scene.recalled.iter().for_each(|recalled| scene.instance.uploads.forget(&recalled.file));
    }
    is_lost
}

async fn upload_one(scene: &Scene, input: &FileInput) -> Result<(String, Brought), Exit> {
    // An outage of Redis is not the task's fault: it is waited for, no attempt is used.
    let Some(record) = until_answered(|| scene.instance.queue().file(input.file_id)).await else {
        return Err(unavailable(input, "the file does not exist any more"));
    };
    let file = format!("{}{}", record.sha256, extension(&record.filename));
    let brought = scene.instance.uploads.bring(&file, send(scene, input, &record, &file)).await?;
    Ok((file, brought))
}

async fn send(scene: &Scene, input: &FileInput, record: &FileRecord, file: &str) -> Result<String, Exit> {
    let instance = &scene.instance;
    let download = match instance.shared.parts.store.read(record.object(), None).await {
        Ok(download) => download,
        Err(store::Error::NotFound) => return Err(unavailable(input, "the file's bytes are gone")),
        Err(error) => {
            return Err(Exit::failed(Failure::new(FailureKind::StorageFailed, error.to_string())));
        }
    };
    let subfolder = format!("{FOLDER}/{}", record.sha256.get(..2).unwrap_or("00"));
    let bytes = download.bytes.map(|chunk| chunk.map_err(std::io::Error::other)).boxed();
    match instance.client.upload(&subfolder, file, download.size_bytes, bytes).await {
        Ok(name) => Ok(name),
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
