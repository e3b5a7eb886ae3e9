//! Streams one output from its instance into the object store and registers it in Redis.

use super::{file_names::FileNames, min_speed::MinSpeed};
use crate::{
    comfy::{self, NodeOutput, Picture, RemoteFile, is_absolute},
    dispatcher::{
        attempt::stage_error::StageError,
        instance::state::Instance,
        redis_retry::{RedisCall, until_answered},
        shared::lock,
    },
    media::Probe,
    metrics,
    queue::{FileKind, FileRecord, SharedObject},
    secrets::NodeKeys,
    store::{self, Store, Stored},
    task::{Attempt, Failure, FailureKind, FileId, Output, OutputKind, OutputWarning, Scalar, TaskId},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use std::{
    ops::Range,
    sync::{Arc, Mutex},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The destination of one attempt's outputs.
pub(crate) struct OutputStore {
    pub(crate) instance: Arc<Instance>,
    pub(crate) task: TaskId,
    pub(crate) attempt: Attempt,
    /// Owner of the files.
    pub(crate) owner: String,
    /// Keys to be masked in texts.
    pub(crate) keys: NodeKeys,
    /// Cancelled when the outputs are no longer wanted.
    pub(crate) cancelled: CancellationToken,
    /// Names of the task's files.
    pub(crate) names: Arc<Mutex<FileNames>>,
}

/// Part of a long value that its task keeps besides the file, bytes.
const TEXT_HEAD_BYTES: usize = 1024;

/// An output whose bytes are stored.
pub(crate) struct StoredOutput {
    pub(crate) output: Output,
    /// Registry entry of its file, not written yet; `None` for a value that is part of the task.
    pub(crate) record: Option<FileRecord>,
    /// Set if it is not what the node seemed to have made.
    pub(crate) warning: Option<OutputWarning>,
}

impl StoredOutput {
    fn part_of_task(output: Output) -> Self {
        Self { output, record: None, warning: None }
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Retryable(reason) => f.write_str(reason),
            Self::Permanent(StageError::Failed { failure, .. }) | Self::Missing(StageError::Failed { failure, .. }) => {
                f.write_str(&failure.message)
            }
            Self::Permanent(_) | Self::Missing(_) => f.write_str("the attempt ended"),
        }
    }
}

/// The reason an output was not stored.
pub(crate) enum StoreError {
    /// The download broke off, or the instance answered with an error.
    Retryable(String),
    /// Another try would fail the same way.
    Permanent(StageError),
    /// The instance does not have the file, or does not give it.
    Missing(StageError),
}

impl OutputStore {
    /// A Redis call of this attempt.
    pub(crate) fn call(&self, verb: &'static str) -> RedisCall<'_> {
        RedisCall::of_attempt(verb, &self.instance.target.id, self.task, self.attempt)
    }

    /// Stores one output, without retries. Its file is registered later: by the call that names it in the task, or by
    /// [`OutputStore::register`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn store(&self, made: &NodeOutput) -> Result<StoredOutput, StoreError> {
        match made {
            NodeOutput::Value { node_id, key, kind, text, is_short: true } => {
                Ok(StoredOutput::part_of_task(value(node_id, key, *kind, &self.keys.masked(text))))
            }
            NodeOutput::Value { node_id, key, kind, text, is_short: false } => {
                self.store_value(node_id, key, *kind, &self.keys.masked(text)).await
            }
            NodeOutput::File { node_id, key, file, is_bare_path: false, .. } => {
                let stored = self.fetch(file).await?;
                Ok(self.stored_file(node_id, key, (file, &file.folder_type), stored).await)
            }
            NodeOutput::File { node_id, key, file, is_bare_path: true, .. } => {
                self.store_bare_path(node_id, key, file).await
            }
            NodeOutput::Picture { node_id, picture } => self.store_picture(node_id, picture).await,
        }
    }

    /// Stores the file that a bare string names: in the folder of outputs, else in that of temporary files. A string that
    /// names none is a text.
    async fn store_bare_path(&self, node_id: &str, key: &str, file: &RemoteFile) -> Result<StoredOutput, StoreError> {
        for folder_type in [file.folder_type.as_str(), "temp"] {
            let place = RemoteFile { folder_type: folder_type.to_owned(), ..file.clone() };
            match self.fetch(&place).await {
                Ok(stored) => return Ok(self.stored_file(node_id, key, (file, folder_type), stored).await),
                Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let separator = if file.subfolder.is_empty() { "" } else { "/" };
        let text = format!("{}{separator}{}", file.subfolder, file.filename);
        let reason = "the instance has no such file among its outputs and temporary files; it is kept as a text";
        let warning = Some(OutputWarning::dropped(node_id, key, &format!("{text}: {reason}")));
        let output = value(node_id, key, OutputKind::Text, &text);
        Ok(StoredOutput { output, record: None, warning })
    }

    /// Stores a picture that was sent over the WebSocket.
    async fn store_picture(&self, node_id: &str, picture: &Picture) -> Result<StoredOutput, StoreError> {
        let (id, stored) = self.store_bytes(picture.bytes.clone()).await?;
        let source = format!("websocket/{id}");
        let record = self.registered(id, &source, &format!("ComfyUI{}", picture.extension()), &stored);
        let facts = facts(self.files(), id, &record.content_type, &stored).await;
        let output = Output {
            node_id: node_id.to_owned(),
            kind: store::kind_of(&record.content_type, "images", &record.filename),
            key: Some("websocket".to_owned()),
            file_id: Some(id),
            filename: Some(record.filename.clone()),
            content_type: Some(record.content_type.clone()),
            size_bytes: Some(stored.size_bytes),
            sha256: Some(stored.sha256),
            width: facts.width,
            height: facts.height,
            source: Some(source),
            ..Output::default()
        };
        Ok(StoredOutput { output, record: Some(record), warning: None })
    }

    async fn store_bytes(&self, bytes: bytes::Bytes) -> Result<(FileId, Stored), StoreError> {
        let failed = |error| StoreError::Permanent(store_failed(error));
        let (id, parts) = (FileId::new(), &self.instance.shared.parts);
        let mut writer = parts.store.create(id, parts.file_bytes_max).await.map_err(failed)?;
        writer.write(bytes).await.map_err(failed)?;
        Ok((id, writer.finish().await.map_err(failed)?))
    }

    /// Stores a long value as a file; the task keeps its beginning.
    async fn store_value(
        &self,
        node_id: &str,
        key: &str,
        kind: OutputKind,
        text: &str,
    ) -> Result<StoredOutput, StoreError> {
        let (id, stored) = self.store_bytes(bytes::Bytes::copy_from_slice(text.as_bytes())).await?;
        let is_json = kind == OutputKind::Json || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        let name = format!("{key}.{}", if is_json { "json" } else { "txt" });
        // Two values of a key may be equal: each is a file of its own.
        let source = format!("value/{id}");
        let made = self.registered(id, &source, &name, &stored);
        let output = Output {
            text: Some(text[..text.floor_char_boundary(TEXT_HEAD_BYTES)].to_owned()),
            truncated: true,
            file_id: Some(id),
            filename: Some(made.filename.clone()),
            content_type: Some(made.content_type.clone()),
            size_bytes: Some(stored.size_bytes),
            sha256: Some(stored.sha256),
            ..value(node_id, key, kind, "")
        };
        Ok(StoredOutput { output, record: Some(made), warning: None })
    }

    /// Unregisters files, and deletes their bytes where no other file shares them.
    pub(crate) async fn discard(&self, outputs: &[Output]) {
        for id in outputs.iter().filter_map(|output| output.file_id) {
            let discarded = async {
                for object in self.instance.queue().retract_file(id).await.map_err(|error| error.to_string())? {
                    self.files().delete(object).await.map_err(|error| error.to_string())?;
                }
                Ok::<(), String>(())
            };
            if let Err(error) = discarded.await {
                let (task, attempt) = (self.task, self.attempt);
                tracing::warn!(file = %id, %task, %attempt, error, "discarded output not deleted");
            }
        }
    }

    fn files(&self) -> &Store {
        &self.instance.shared.parts.store
    }

    /// Registers a file on its own.
    pub(crate) async fn register(&self, record: &FileRecord) {
        let shared = until_answered(self.call("add_file"), || self.instance.queue().add_file(record)).await;
        if let Some(object) = shared {
            self.share(&[SharedObject { file: record.id, size_bytes: record.size_bytes, object }]).await;
        }
    }

    /// Deletes duplicate bytes of files that were registered with an older object.
    pub(crate) async fn share(&self, shared: &[SharedObject]) {
        for SharedObject { file, size_bytes, object } in shared {
            if let Err(error) = self.files().share(*file, *object, *size_bytes).await {
                // The collector deletes the duplicate within an hour.
                let (task, attempt) = (self.task, self.attempt);
                tracing::warn!(%file, %task, %attempt, %error, "duplicate bytes of an output not deleted");
            }
        }
    }

    /// Makes the registry entry of a stored file that is called `original` on the instance.
    fn registered(&self, id: FileId, source: &str, original: &str, stored: &Stored) -> FileRecord {
        metrics::output_stored(stored.size_bytes);
        FileRecord {
            id,
            kind: FileKind::Output,
            filename: lock(&self.names).name(source, original),
            content_type: store::content_type(&stored.head, original).to_owned(),
            size_bytes: stored.size_bytes,
            sha256: stored.sha256.clone(),
            owner: self.owner.clone(),
            task_id: Some(self.task),
            created_ms: 0,
            task_expires_ms: None,
            shares: None,
        }
    }

    /// Makes the output of a downloaded file, which the node listed as `file` and which was in `folder_type`.
    async fn stored_file(
        &self,
        node_id: &str,
        key: &str,
        (file, folder_type): (&RemoteFile, &str),
        (id, stored): (FileId, Stored),
    ) -> StoredOutput {
        let original = store::clean_filename(&file.filename);
        let record = self.registered(id, &source_of(file), &original, &stored);
        let facts = facts(self.files(), id, &record.content_type, &stored).await;
        let output = Output {
            node_id: node_id.to_owned(),
            kind: store::kind_of(&record.content_type, key, &original),
            key: Some(key.to_owned()),
            file_id: Some(id),
            filename: Some(record.filename.clone()),
            original_name: Some(original),
            subfolder: self.subfolder(file),
            content_type: Some(record.content_type.clone()),
            size_bytes: Some(stored.size_bytes),
            sha256: Some(stored.sha256),
            width: facts.width,
            height: facts.height,
            duration_ms: facts.duration_ms,
            temporary: folder_type == "temp",
            source: Some(source_of(file)),
            ..Output::default()
        };
        StoredOutput { output, record: Some(record), warning: None }
    }

    /// Returns the folder that the user's prefix named: without the folder of the task, which `Workflow::isolate` put
    /// before it, and without the folders of the machine before that.
    fn subfolder(&self, file: &RemoteFile) -> Option<String> {
        let folder = file.subfolder.replace('\\', "/");
        let own = folder.split_once(&self.task.to_string()).map(|(_, own)| own);
        let folder = own.unwrap_or(if is_absolute(&folder) { "" } else { &folder }).trim_matches('/');
        (!folder.is_empty()).then(|| folder.to_owned())
    }

    /// Downloads a file into the store, under a new id: remains of an earlier try must not collide with it.
    async fn fetch(&self, file: &RemoteFile) -> Result<(FileId, Stored), StoreError> {
        let parts = &self.instance.shared.parts;
        let mut download =
            self.unless_cancelled(self.instance.client.view(file)).await?.map_err(|error| match error {
                // The file of a cached result was deleted, or the instance cannot read the folder: another attempt
                // executes the node again.
                comfy::Error::NotFound => StoreError::Missing(unavailable(file, "the instance does not have the file")),
                comfy::Error::Refused(reason) => {
                    StoreError::Missing(unavailable(file, &format!("the instance does not give the file: {reason}")))
                }
                error => StoreError::Retryable(error.to_string()),
            })?;
        let failed = |error| StoreError::Permanent(store_failed(error));
        if download.size_bytes.is_some_and(|announced| announced > parts.file_bytes_max) {
            return Err(failed(store::Error::TooLarge { limit: parts.file_bytes_max }));
        }
        let id = FileId::new();
        let mut writer = parts.store.create(id, parts.file_bytes_max).await.map_err(failed)?;
        let mut speed = MinSpeed::new(parts.settings.http_timeout, Instant::now());
        while let Some(chunk) = self.unless_cancelled(download.bytes.next()).await? {
            let chunk = chunk.map_err(|error| StoreError::Retryable(error.to_string()))?;
            if !speed.add(chunk.len(), Instant::now()) {
                return Err(StoreError::Permanent(unavailable(file, "download is too slow")));
            }
            writer.write(chunk).await.map_err(failed)?;
        }
        Ok((id, writer.finish().await.map_err(failed)?))
    }

    async fn unless_cancelled<T>(&self, step: impl Future<Output = T>) -> Result<T, StoreError> {
        tokio::select! {
            done = step => Ok(done),
            () = self.cancelled.cancelled() => Err(StoreError::Permanent(StageError::NotOurs)),
        }
    }
}

/// A value that is part of its task.
fn value(node_id: &str, key: &str, kind: OutputKind, text: &str) -> Output {
    let value = match kind {
        OutputKind::Number => serde_json::from_str(text).ok().map(Scalar::Number),
        OutputKind::Boolean => Some(Scalar::Boolean(text == "true")),
        _ => None,
    };
    let (node_id, key, text) = (node_id.to_owned(), Some(key.to_owned()), Some(text.to_owned()));
    Output { node_id, key, kind, text, value, ..Output::default() }
}

/// Returns the unique name of a file at its instance: `folder type/subfolder/filename`.
pub(crate) fn source_of(file: &RemoteFile) -> String {
    format!("{}/{}/{}", file.folder_type, file.subfolder, file.filename)
}

/// Failure of an attempt whose output `file` cannot be downloaded.
pub(crate) fn unavailable(file: &RemoteFile, reason: &str) -> StageError {
    let message = format!("output {}: {reason}", store::clean_filename(&file.filename));
    StageError::infrastructure(FailureKind::OutputUnavailable, message)
}

/// Reads dimensions and duration from the header of a stored file; empty if the store cannot return it.
async fn facts(store: &Store, id: FileId, content_type: &str, stored: &Stored) -> crate::media::Facts {
    let mut probe = Probe::new(content_type, &stored.head, stored.size_bytes);
    while let Some(range) = probe.wants() {
        match read(store, id, range).await {
            Ok(bytes) => probe.feed(&bytes),
            Err(error) => {
                tracing::debug!(file = %id, %error, "output header not read");
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

fn store_failed(error: store::Error) -> StageError {
    let kind = match error {
        store::Error::TooLarge { .. } => FailureKind::OutputTooLarge,
        store::Error::Full
        | store::Error::ReserveReached(_)
        | store::Error::NotFound
        | store::Error::Unusable(_)
        | store::Error::Unavailable(_) => FailureKind::StorageFailed,
    };
    StageError::failed(Failure::new(kind, format!("output not stored: {error}")))
}
