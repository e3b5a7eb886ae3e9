//! Writing one file: parts of a fixed size, one at a time; hashed, counted, and visible only when whole.

use super::{Error, Store, local, path_of};
use crate::task::FileId;
use bytes::{Bytes, BytesMut};
use object_store::{MultipartUpload, ObjectStoreExt};
use sha2::{Digest, Sha256};

/// First bytes kept for telling the content type.
const HEAD_BYTES: usize = 512;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub size_bytes: u64,
    /// Lowercase hex.
    pub sha256: String,
    /// The first up to 512 bytes, for telling the content type.
    pub head: Vec<u8>,
}

/// A file being written. Dropped without [`Writer::finish`] it leaves nothing.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    id: FileId,
    size_max: u64,
    /// `None` after a failure: nothing can be written any more.
    upload: Option<Box<dyn MultipartUpload>>,
    part: BytesMut,
    size_bytes: u64,
    hash: Sha256,
    head: Vec<u8>,
}

impl Writer {
    pub(super) async fn begin(store: Store, id: FileId, size_max: u64) -> Result<Self, Error> {
        let upload = store.objects.put_multipart(&path_of(id)).await?;
        Ok(Self {
            store,
            id,
            size_max,
            upload: Some(upload),
            part: BytesMut::new(),
            size_bytes: 0,
            hash: Sha256::new(),
            head: Vec::new(),
        })
    }

    /// Appends. After an error the file is gone and every further call fails.
    ///
    /// # Errors
    /// [`Error::TooLarge`] (nothing of `bytes` is written), [`Error::Full`], [`Error::Unavailable`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let size_bytes = self.size_bytes.saturating_add(bytes.len() as u64);
        if size_bytes > self.size_max {
            self.abort().await;
            return Err(Error::TooLarge { limit: self.size_max });
        }
        self.size_bytes = size_bytes;
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            let room = self.store.part_bytes.saturating_sub(self.part.len()).max(1);
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.take(now);
            rest = later;
            if self.part.len() >= self.store.part_bytes {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Hash of what was written so far, lowercase hex.
    pub fn sha256(&self) -> String {
        format!("{:x}", self.hash.clone().finalize())
    }

    /// Makes the file visible, synced to the disk.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`]; nothing is left then.
    pub async fn finish(mut self) -> Result<Stored, Error> {
        if !self.part.is_empty() {
            self.flush().await?;
        }
        let Some(upload) = self.upload.as_mut() else { return Err(broken()) };
        let completed = upload.complete().await;
        self.upload = None;
        if let Err(error) = completed {
            self.discard().await;
            return Err(error.into());
        }
        let sha256 = format!("{:x}", std::mem::take(&mut self.hash).finalize());
        Ok(Stored { size_bytes: self.size_bytes, sha256, head: std::mem::take(&mut self.head) })
    }

    /// Copies: a small piece of a large buffer must not keep all of it in memory.
    fn take(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        let missing = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        self.part.extend_from_slice(bytes);
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let Some(upload) = self.upload.as_mut() else { return Err(broken()) };
        let part = self.part.split().freeze();
        if let Err(error) = upload.put_part(part.into()).await {
            self.abort().await;
            return Err(error.into());
        }
        Ok(())
    }

    async fn abort(&mut self) {
        if let Some(mut upload) = self.upload.take()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(file = %self.id, %error, "an unfinished file could not be removed");
        }
    }

    /// object_store forgets a file whose last step failed: the unfinished one, and the finished one whose folder could not
    /// be synced.
    async fn discard(&mut self) {
        let (root, id) = (self.store.root.clone(), self.id);
        let swept = tokio::task::spawn_blocking(move || root.map_or(Ok(()), |root| local::discard(&root, id))).await;
        if !matches!(swept, Ok(Ok(()))) {
            tracing::warn!(file = %self.id, "an unfinished file could not be removed");
        }
        if let Err(error) = self.store.delete(self.id).await {
            tracing::warn!(file = %self.id, %error, "an unfinished file could not be removed");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // On a disk dropping the upload removes its file; elsewhere the store must be told.
        if let Some(mut upload) = self.upload.take()
            && self.store.root.is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let id = self.id;
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(file = %id, %error, "an unfinished file could not be removed");
                }
            });
        }
    }
}

fn broken() -> Error {
    Error::Unavailable("the file was given up after an earlier failure".to_owned())
}
