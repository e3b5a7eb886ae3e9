//! Streams what a prompt made from the instance into the store.

use super::{
    pace::Pace,
    scene::{Exit, Scene},
};
use crate::{
    comfy::{self, Made, RemoteFile},
    metrics,
    queue::{FileKind, FileRecord},
    store::{self, Stored},
    task::{Failure, FailureKind, FileId, Output, OutputKind},
};
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::time::Instant;

/// Outputs of one task; what is beyond is a failure that says so.
const OUTPUTS_MAX: usize = 10_000;
/// Tries to fetch one file: a cut download costs less than another run of the prompt.
const FETCHES_MAX: u32 = 4;
/// Pause before the second try; it doubles.
const FETCH_PAUSE: Duration = Duration::from_millis(250);

/// Stores everything, or nothing: on a failure what was stored already is deleted again.
pub(super) async fn collect(scene: &Scene, made: Vec<Made>) -> Result<Vec<Output>, Exit> {
    if made.len() > OUTPUTS_MAX {
        let message = format!("{} outputs are more than the {OUTPUTS_MAX} that a task may have", made.len());
        return Err(Exit::failed(Failure::new(FailureKind::OutputTooLarge, message)));
    }
    let mut outputs = Vec::with_capacity(made.len());
    for one in made {
        if scene.ears.cancelled.is_cancelled() {
            discard(scene, &outputs).await;
            return Err(Exit::NotOurs);
        }
        match store_one(scene, one).await {
            Ok(output) => outputs.push(output),
            Err(exit) => {
                discard(scene, &outputs).await;
                return Err(exit);
            }
        }
    }
    Ok(outputs)
}

/// Stores what can be had of a failed prompt.
pub(super) async fn collect_some(scene: &Scene, made: Vec<Made>) -> Vec<Output> {
    let mut outputs = Vec::new();
    for one in made.into_iter().take(OUTPUTS_MAX) {
        if let Ok(output) = store_one(scene, one).await {
            outputs.push(output);
        }
    }
    outputs
}

pub(super) async fn discard(scene: &Scene, outputs: &[Output]) {
    for id in outputs.iter().filter_map(|output| output.file_id) {
        let undone = async {
            for object in scene.instance.queue().retract_file(id).await.map_err(|error| error.to_string())? {
                scene.instance.shared.parts.store.delete(object).await.map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        };
        if let Err(error) = undone.await {
            tracing::warn!(file = %id, task = %scene.claim.task, error, "an output of a given-up attempt is still there");
        }
    }
}

async fn store_one(scene: &Scene, made: Made) -> Result<Output, Exit> {
    match made {
        Made::Text { node_id, text } => Ok(Output {
            node_id,
            kind: OutputKind::Text,
            file_id: None,
            filename: None,
            content_type: None,
            size_bytes: None,
            sha256: None,
            text: Some(text),
            temporary: false,
        }),
        Made::File { node_id, key, file, .. } => store_file(scene, node_id, &key, file).await,
    }
}

async fn store_file(scene: &Scene, node_id: String, key: &str, file: RemoteFile) -> Result<Output, Exit> {
    let (id, stored) = fetch(scene, &file).await?;
    let filename = store::clean_filename(&file.filename);
    let content_type = store::content_type(&stored.head, &filename);
    let record = FileRecord {
        id,
        kind: FileKind::Output,
        filename: filename.clone(),
        content_type: content_type.to_owned(),
        size_bytes: stored.size_bytes,
        sha256: stored.sha256.clone(),
        owner: scene.claim.owner.clone(),
        task_id: Some(scene.claim.task),
        created_ms: 0,
        shares: None,
    };
    let shared = super::scene::until_answered(|| scene.instance.queue().add_file(&record)).await;
    if let Some(object) = shared
        && let Err(error) = scene.instance.shared.parts.store.share(id, object, stored.size_bytes).await
    {
        // Deleted in an hour.
        tracing::warn!(file = %id, %error, "the second copy of an output is still there");
    }
    metrics::output_stored(stored.size_bytes);
    Ok(Output {
        node_id,
        kind: store::kind_of(content_type, key, &filename),
        file_id: Some(id),
        filename: Some(filename),
        content_type: Some(content_type.to_owned()),
        size_bytes: Some(stored.size_bytes),
        sha256: Some(stored.sha256),
        text: None,
        temporary: file.folder_type == "temp",
    })
}

/// Why a file was not fetched.
enum Unfetched {
    /// It broke off, or the instance did not answer well: another try may do.
    Again(String),
    /// Another try would do no better.
    Never(Exit),
}

async fn fetch(scene: &Scene, file: &RemoteFile) -> Result<(FileId, Stored), Exit> {
    let mut pause = FETCH_PAUSE;
    for _ in 1..FETCHES_MAX {
        match fetch_once(scene, file).await {
            Ok(stored) => return Ok(stored),
            Err(Unfetched::Never(exit)) => return Err(exit),
            Err(Unfetched::Again(why)) => {
                tracing::debug!(instance = %scene.instance.target.id, task = %scene.claim.task, why, "fetching an output again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause *= 2,
            () = scene.ears.cancelled.cancelled() => return Err(Exit::NotOurs),
        }
    }
    fetch_once(scene, file).await.map_err(|unfetched| match unfetched {
        Unfetched::Never(exit) => exit,
        Unfetched::Again(why) => unavailable(file, &why),
    })
}

/// Under an id of its own: what is left of an earlier try must not meet it.
async fn fetch_once(scene: &Scene, file: &RemoteFile) -> Result<(FileId, Stored), Unfetched> {
    let parts = &scene.instance.shared.parts;
    let mut download =
        unless_cancelled(scene, scene.instance.client.view(file)).await?.map_err(|error| match error {
            // The cached result of an earlier run whose file was deleted, or a folder the instance cannot read: another try runs
            // it anew.
            comfy::Error::NotFound => {
                Unfetched::Never(unavailable(file, "the instance does not have the file (any more)"))
            }
            error => Unfetched::Again(error.to_string()),
        })?;
    let refused = |error| Unfetched::Never(refused(error));
    let id = FileId::new();
    let mut writer = parts.store.create(id, parts.file_bytes_max).await.map_err(refused)?;
    let mut pace = Pace::new(parts.settings.http_timeout, Instant::now());
    while let Some(chunk) = unless_cancelled(scene, download.bytes.next()).await? {
        let chunk = chunk.map_err(|error| Unfetched::Again(error.to_string()))?;
        if !pace.keeps_up(chunk.len(), Instant::now()) {
            return Err(Unfetched::Never(unavailable(file, "it comes too slowly")));
        }
        writer.write(chunk).await.map_err(refused)?;
    }
    Ok((id, writer.finish().await.map_err(refused)?))
}

async fn unless_cancelled<T>(scene: &Scene, step: impl Future<Output = T>) -> Result<T, Unfetched> {
    tokio::select! {
        done = step => Ok(done),
        () = scene.ears.cancelled.cancelled() => Err(Unfetched::Never(Exit::NotOurs)),
    }
}

fn unavailable(file: &RemoteFile, why: &str) -> Exit {
    let message = format!("output {}: {why}", store::clean_filename(&file.filename));
    Exit::infrastructure(FailureKind::OutputUnavailable, message)
}

fn refused(error: store::Error) -> Exit {
    let kind = match error {
        store::Error::TooLarge { .. } => FailureKind::OutputTooLarge,
        store::Error::Full | store::Error::NotFound | store::Error::Unusable(_) | store::Error::Unavailable(_) => {
            FailureKind::StorageFailed
        }
    };
    Exit::failed(Failure::new(kind, format!("an output could not be stored: {error}")))
}
