//! Registration of files: bytes in the store and an entry in the queue, both or neither.

use crate::{
    metrics,
    queue::{FileKind, FileRecord, Queue, UploadQuota},
    store::{self, Store, Stored, Writer},
    submit::{Error, Result},
    task::FileId,
};

/// Stores and registers files; cheap to clone.
#[derive(Clone)]
pub struct FileRegistry {
    queue: Queue,
    store: Store,
    bytes_max: u64,
    quota: UploadQuota,
}

/// A file that was received completely and is not visible yet. Dropped without
/// [registration](FileRegistry::register), it leaves nothing.
pub struct ReceivedFile {
    /// Id that the file will have.
    pub id: FileId,
    /// Name, already cleaned.
    pub filename: String,
    /// Bytes.
    pub writer: Writer,
}

impl FileRegistry {
    /// Returns a registry of files of at most `bytes_max` bytes.
    pub fn new(queue: Queue, store: Store, bytes_max: u64) -> Self {
        Self { queue, store, bytes_max, quota: UploadQuota::default() }
    }

    /// Sets the quotas of uploads.
    pub(in crate::submit) fn with_quota(self, quota: UploadQuota) -> Self {
        Self { quota, ..self }
    }

    /// Refuses an upload of a user who has used up a quota, before its bytes are read.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`], [`Error::Queue`].
    pub async fn refuse_over_quota(&self, owner: &str) -> Result<()> {
        match self.queue.exceeded_quota(owner, self.quota).await? {
            None => Ok(()),
            Some(exceeded) => Err(Error::QuotaExceeded(exceeded)),
        }
    }

    /// Returns the largest size of a file, bytes.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Starts to write a file.
    ///
    /// # Errors
    /// [`store::Error::Unavailable`], [`store::Error::ReserveReached`]; writing fails with [`store::Error::TooLarge`]
    /// beyond [`Self::bytes_max`].
    pub async fn create(&self, id: FileId) -> Result<Writer, store::Error> {
        self.store.create_upload(id, self.bytes_max).await
    }

    /// Makes a file of `owner` visible: finishes its bytes and adds its entry.
    ///
    /// # Errors
    /// [`Error::Queue`], [`Error::Store`] and [`Error::QuotaExceeded`]. The file is then deleted in the background.
    pub async fn register(&self, owner: &str, received: ReceivedFile) -> Result<FileRecord> {
        let ReceivedFile { id, filename, writer } = received;
        let Stored { size_bytes, sha256, head } = writer.finish().await?;
        let record = FileRecord {
            id,
            kind: FileKind::Upload,
            content_type: store::content_type(&head, &filename).to_owned(),
            filename,
            size_bytes,
            sha256,
            owner: owner.to_owned(),
            task_id: None,
            created_ms: 0,
            task_expires_ms: None,
            shares: None,
        };
        let added = self.queue.add_upload(&record, self.quota).await.map_err(Error::from);
        match added.and_then(|added| added.map_err(Error::QuotaExceeded)) {
            Ok(None) => {}
            Ok(Some(object)) => {
                // The collector deletes a duplicate that remains here.
                if let Err(error) = self.store.share(id, object, size_bytes).await {
                    tracing::warn!(file = %id, %object, %error, "duplicate of a stored file not deleted");
                }
            }
            Err(error) => {
                // In the background, so that the client gets its answer now.
                let registry = self.clone();
                tokio::spawn(async move { registry.discard(id).await });
                return Err(error);
            }
        }
        metrics::uploaded(size_bytes);
        // The stored entry has the time of Redis.
        Ok(self.queue.file(id).await.ok().flatten().unwrap_or(record))
    }

    /// Deletes a file that no task and no published workflow uses. The entry may exist although adding it failed; bytes
    /// are deleted only if no entry needs them.
    pub(super) async fn discard(&self, id: FileId) {
        let discarded = async {
            for object in self.queue.retract_file(id).await.map_err(|error| error.to_string())? {
                self.store.delete(object).await.map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        };
        if let Err(error) = discarded.await {
            tracing::warn!(file = %id, %error, "unused file not deleted");
        }
    }
}
