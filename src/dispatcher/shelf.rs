//! Streams one thing that a prompt made from its instance into the store, and registers it.

use super::{
    instance::Instance,
    pace::Pace,
    scene::{Exit, until_answered},
};
use crate::{
    comfy::{self, Made, RemoteFile},
    media::Probe,
    metrics,
    queue::{FileKind, FileRecord},
    store::{self, Store, Stored},
    task::{Attempt, Failure, FailureKind, FileId, Output, OutputKind, TaskId},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use std::{ops::Range, sync::Arc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Where the outputs of one attempt go.
pub(super) struct Shelf {
    pub(super) instance: Arc<Instance>,
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    /// Whose they will be.
    pub(super) owner: String,
    /// Nobody wants them any more.
    pub(super) unwanted: CancellationToken,
}

/// Why a thing was not stored.
pub(super) enum Unstored {
    /// It broke off, or the instance did not answer well: another try may do.
    Again(String),
    /// Another try would do no better.
    Never(Exit),
}

impl Shelf {
    /// One try.
    pub(super) async fn store(&self, made: &Made) -> Result<Output, Unstored> {
        match made {
            Made::Text { node_id, text } => Ok(Output {
                node_id: node_id.clone(),
                kind: OutputKind::Text,
                text: Some(text.clone()),
                ..Output::default()
            }),
            Made::File { node_id, key, file, .. } => self.store_file(node_id, key, file).await,
        }
    }

    /// Takes files off the registry, and their bytes off the store where nobody else needs them.
    pub(super) async fn discard(&self, outputs: &[Output]) {
        for id in outputs.iter().filter_map(|output| output.file_id) {
            let undone = async {
                for object in self.instance.queue().retract_file(id).await.map_err(|error| error.to_string())? {
                    self.files().delete(object).await.map_err(|error| error.to_string())?;
                }
                Ok::<(), String>(())
            };
            if let Err(error) = undone.await {
                tracing::warn!(file = %id, task = %self.task, error, "an output of a given-up attempt is still there");
            }
        }
    }

    fn files(&self) -> &Store {
        &self.instance.shared.parts.store
    }

    async fn store_file(&self, node_id: &str, key: &str, file: &RemoteFile) -> Result<Output, Unstored> {
        let (id, stored) = self.fetch(file).await?;
        let filename = store::clean_filename(&file.filename);
        let content_type = store::content_type(&stored.head, &filename);
        let facts = facts(self.files(), id, content_type, &stored).await;
        let record = FileRecord {
            id,
            kind: FileKind::Output,
            filename: filename.clone(),
            content_type: content_type.to_owned(),
            size_bytes: stored.size_bytes,
            sha256: stored.sha256.clone(),
            owner: self.owner.clone(),
            task_id: Some(self.task),
            created_ms: 0,
            shares: None,
        };
        let shared = until_answered(|| self.instance.queue().add_file(&record)).await;
        if let Some(object) = shared
            && let Err(error) = self.files().share(id, object, stored.size_bytes).await
        {
            // Deleted in an hour.
            tracing::warn!(file = %id, %error, "the second copy of an output is still there");
        }
        metrics::output_stored(stored.size_bytes);
        Ok(Output {
            node_id: node_id.to_owned(),
            kind: store::kind_of(content_type, key, &filename),
            file_id: Some(id),
            filename: Some(filename),
            content_type: Some(content_type.to_owned()),
            size_bytes: Some(stored.size_bytes),
            sha256: Some(stored.sha256),
            width: facts.width,
            height: facts.height,
            duration_ms: facts.duration_ms,
            text: None,
            temporary: file.folder_type == "temp",
            source: Some(source_of(file)),
        })
    }

    /// Under an id of its own: what is left of an earlier try must not meet it.
    async fn fetch(&self, file: &RemoteFile) -> Result<(FileId, Stored), Unstored> {
        let parts = &self.instance.shared.parts;
        let mut download =
            self.unless_unwanted(self.instance.client.view(file)).await?.map_err(|error| match error {
                // The cached result of an earlier run whose file was deleted, or a folder the instance cannot read: another try
                // runs it anew.
                comfy::Error::NotFound => {
                    Unstored::Never(unavailable(file, "the instance does not have the file (any more)"))
                }
                error => Unstored::Again(error.to_string()),
            })?;
        let refused = |error| Unstored::Never(refused(error));
        let id = FileId::new();
        let mut writer = parts.store.create(id, parts.file_bytes_max).await.map_err(refused)?;
        let mut pace = Pace::new(parts.settings.http_timeout, Instant::now());
        while let Some(chunk) = self.unless_unwanted(download.bytes.next()).await? {
            let chunk = chunk.map_err(|error| Unstored::Again(error.to_string()))?;
            if !pace.keeps_up(chunk.len(), Instant::now()) {
                return Err(Unstored::Never(unavailable(file, "it comes too slowly")));
            }
            writer.write(chunk).await.map_err(refused)?;
        }
        Ok((id, writer.finish().await.map_err(refused)?))
    }

    async fn unless_unwanted<T>(&self, step: impl Future<Output = T>) -> Result<T, Unstored> {
        tokio::select! {
            done = step => Ok(done),
            () = self.unwanted.cancelled() => Err(Unstored::Never(Exit::NotOurs)),
        }
    }
}

/// The name of a file at its instance: no two have the same.
pub(super) fn source_of(file: &RemoteFile) -> String {
    format!("{}/{}/{}", file.folder_type, file.subfolder, file.filename)
}

pub(super) fn unavailable(file: &RemoteFile, why: &str) -> Exit {
    let message = format!("output {}: {why}", store::clean_filename(&file.filename));
    Exit::infrastructure(FailureKind::OutputUnavailable, message)
}

/// What its header tells; nothing when the store does not give it.
async fn facts(store: &Store, id: FileId, content_type: &str, stored: &Stored) -> crate::media::Facts {
    let mut probe = Probe::new(content_type, &stored.head, stored.size_bytes);
    while let Some(range) = probe.wants() {
        match read(store, id, range).await {
            Ok(bytes) => probe.feed(&bytes),
            Err(error) => {
                tracing::debug!(file = %id, %error, "the header of an output cannot be read");
                break;
            }
        }
    }
    probe.facts()
}

async fn read(store: &Store, id: FileId, range: Range<u64>) -> Result<Vec<u8>, store::Error> {
    let append = |mut all: Vec<u8>, chunk: bytes::Bytes| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    };
    store.read(id.into(), Some(range)).await?.bytes.try_fold(Vec::new(), append).await
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
