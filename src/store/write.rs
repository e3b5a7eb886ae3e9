//! Writing one file: parts of a fixed size, one at a time; hashed, counted, and visible only when whole.

use super::{Error, Store, local};
use crate::task::ObjectId;
use bytes::{Bytes, BytesMut};
use object_store::{MultipartUpload, ObjectStoreExt};
use sha2::{Digest, Sha256};
use std::path::Path;

/// From here on a buffer gets the room of a whole part at once.
const SMALL_BYTES: usize = 256 * 1024;
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
    object: ObjectId,
    size_max: u64,
    upload: Upload,
    part: BytesMut,
    size_bytes: u64,
    hash: Sha256,
    head: Vec<u8>,
}

/// What the store knows of it.
#[derive(Debug)]
enum Upload {
    /// Nothing: in a bucket a file of one part is sent whole at its end.
    NotBegun,
    /// Its first parts.
    Begun(Box<dyn MultipartUpload>),
    /// After a failure, and at the end: nothing can be written any more.
    Over,
}

impl Writer {
    pub(super) async fn begin(store: Store, object: ObjectId, size_max: u64) -> Result<Self, Error> {
        let upload = match store.root() {
            Some(_) => Upload::Begun(store.objects.put_multipart(&store.path(object)).await?),
            None => Upload::NotBegun,
        };
        Ok(Self {
            store,
            object,
            size_max,
            upload,
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
            let room = self.store.part_bytes().saturating_sub(self.part.len()).max(1);
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.take(now);
            rest = later;
            if self.part.len() >= self.store.part_bytes() {
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
        if matches!(self.upload, Upload::Begun(_)) && !self.part.is_empty() {
            self.flush().await?;
        }
        let completed = match std::mem::replace(&mut self.upload, Upload::Over) {
            Upload::NotBegun => {
                let whole = self.part.split().freeze();
                self.store.objects.put(&self.store.path(self.object), whole.into()).await.map(drop)
            }
            Upload::Begun(mut upload) => {
                let completed = upload.complete().await.map(drop);
                if completed.is_err() && self.store.root().is_none() {
                    give_up(self.object, upload).await;
                }
                completed
            }
            Upload::Over => return Err(broken()),
        };
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
        if self.part.len() + bytes.len() > SMALL_BYTES {
            self.part.reserve(self.store.part_bytes() - self.part.len());
        }
        self.part.extend_from_slice(bytes);
    }

    async fn flush(&mut self) -> Result<(), Error> {
        if matches!(self.upload, Upload::NotBegun) {
            // Not to be sent whole at the end should this fail.
            self.upload = Upload::Over;
            self.upload = Upload::Begun(self.store.objects.put_multipart(&self.store.path(self.object)).await?);
        }
        let Upload::Begun(upload) = &mut self.upload else { return Err(broken()) };
        let part = self.part.split().freeze();
        if let Err(error) = upload.put_part(part.into()).await {
            self.abort().await;
            return Err(error.into());
        }
        Ok(())
    }

    async fn abort(&mut self) {
        if let Upload::Begun(upload) = std::mem::replace(&mut self.upload, Upload::Over) {
            give_up(self.object, upload).await;
        }
    }

    /// object_store forgets a file whose last step failed: the unfinished one, and the finished one whose folder could not
    /// be synced.
    async fn discard(&mut self) {
        let (root, object) = (self.store.root().map(Path::to_path_buf), self.object);
        let swept =
            tokio::task::spawn_blocking(move || root.map_or(Ok(()), |root| local::discard(&root, object))).await;
        if !matches!(swept, Ok(Ok(()))) {
            tracing::warn!(object = %self.object, "an unfinished file could not be removed");
        }
        if let Err(error) = self.store.delete(self.object).await {
            tracing::warn!(object = %self.object, %error, "an unfinished file could not be removed");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // On a disk dropping the upload removes its file; a bucket must be told.
        if let Upload::Begun(upload) = std::mem::replace(&mut self.upload, Upload::Over)
            && self.store.root().is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(give_up(self.object, upload));
        }
    }
}

async fn give_up(object: ObjectId, mut upload: Box<dyn MultipartUpload>) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(%object, %error, "an unfinished file could not be removed");
    }
}

fn broken() -> Error {
    Error::Unavailable("the file was given up after an earlier failure".to_owned())
}
