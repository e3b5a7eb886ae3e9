//! Writer of one file: sends parts of a fixed size one at a time, hashes and counts; the file is visible only when
//! complete.

use super::{Error, Store, local};
use crate::task::ObjectId;
use bytes::{Bytes, BytesMut};
use object_store::{MultipartUpload, ObjectStoreExt};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Buffer size from which a whole part is allocated at once.
const SMALL_BYTES: usize = 256 * 1024;
/// Bytes after which an upload looks at the free space again.
const RESERVE_CHECK_BYTES: u64 = 4 << 20;
/// Number of first bytes kept for detecting the content type.
const HEAD_BYTES: usize = 512;

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256, lowercase hex.
    pub sha256: String,
    /// Up to the first 512 bytes, for detecting the content type.
    pub head: Vec<u8>,
}

/// A file being written. If dropped without [`Writer::finish`], it leaves nothing.
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
    /// Size at which the free space is looked at next; `None` = it may use the reserve.
    check_at: Option<u64>,
}

/// State of the upload.
#[derive(Debug)]
enum Upload {
    /// Not started: in a bucket, a file of one part is sent as a whole at its end.
    NotStarted,
    /// Started with its first parts.
    Started(Box<dyn MultipartUpload>),
    /// Failed or finished: nothing more can be written.
    Closed,
}

impl Writer {
    pub(super) async fn begin(store: Store, object: ObjectId, size_max: u64) -> Result<Self, Error> {
        let upload = match store.root() {
            Some(_) => Upload::Started(store.objects.put_multipart(&store.path(object)).await?),
            None => Upload::NotStarted,
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
            check_at: None,
        })
    }

    /// Makes the file one that leaves the reserve of the disk free.
    pub(super) fn keeping_reserve(mut self) -> Self {
        self.check_at = Some(RESERVE_CHECK_BYTES);
        self
    }

    /// Appends bytes. After an error, the file is deleted and every further call fails.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::ReserveReached`] (nothing of `bytes` is written), [`Error::Full`],
    /// [`Error::Unavailable`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let size_bytes = self.size_bytes.saturating_add(bytes.len() as u64);
        if size_bytes > self.size_max {
            self.abort().await;
            return Err(Error::TooLarge { limit: self.size_max });
        }
        if self.check_at.is_some_and(|check_at| size_bytes >= check_at) {
            self.check_at = Some(size_bytes + RESERVE_CHECK_BYTES);
            if let Err(error) = self.store.refuse_low_disk().await {
                self.abort().await;
                return Err(error);
            }
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

    /// Returns the SHA-256 of the bytes written so far, lowercase hex.
    pub fn sha256(&self) -> String {
        format!("{:x}", self.hash.clone().finalize())
    }

    /// Makes the file visible, after syncing it to the disk.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`]; then nothing is left of the file.
    pub async fn finish(mut self) -> Result<Stored, Error> {
        if matches!(self.upload, Upload::Started(_)) && !self.part.is_empty() {
            self.flush().await?;
        }
        let completed = match std::mem::replace(&mut self.upload, Upload::Closed) {
            Upload::NotStarted => {
                let whole = self.part.split().freeze();
                self.store.objects.put(&self.store.path(self.object), whole.into()).await.map(drop)
            }
            Upload::Started(mut upload) => {
                let completed = upload.complete().await.map(drop);
                if completed.is_err() && self.store.root().is_none() {
                    abort_upload(self.object, upload).await;
                }
                completed
            }
            Upload::Closed => return Err(broken()),
        };
        if let Err(error) = completed {
            self.discard().await;
            return Err(error.into());
        }
        let sha256 = format!("{:x}", std::mem::take(&mut self.hash).finalize());
        Ok(Stored { size_bytes: self.size_bytes, sha256, head: std::mem::take(&mut self.head) })
    }

    /// Copies the bytes: a small slice must not keep its whole buffer in memory.
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
        if matches!(self.upload, Upload::NotStarted) {
            // If this fails, the rest must not be sent as a whole file at the end.
            self.upload = Upload::Closed;
            self.upload = Upload::Started(self.store.objects.put_multipart(&self.store.path(self.object)).await?);
        }
        let Upload::Started(upload) = &mut self.upload else { return Err(broken()) };
        let part = self.part.split().freeze();
        if let Err(error) = upload.put_part(part.into()).await {
            self.abort().await;
            return Err(error.into());
        }
        Ok(())
    }

    async fn abort(&mut self) {
        if let Upload::Started(upload) = std::mem::replace(&mut self.upload, Upload::Closed) {
            abort_upload(self.object, upload).await;
        }
    }

    /// Deletes files that object_store leaves when the last step fails: the unfinished one, and the finished one whose
    /// folder could not be synced.
    async fn discard(&mut self) {
        let (root, object) = (self.store.root().map(Path::to_path_buf), self.object);
        let swept =
            tokio::task::spawn_blocking(move || root.map_or(Ok(()), |root| local::discard(&root, object))).await;
        if !matches!(swept, Ok(Ok(()))) {
            tracing::warn!(object = %self.object, ?swept, "removing an unfinished file failed");
        }
        if let Err(error) = self.store.delete(self.object).await {
            tracing::warn!(object = %self.object, %error, "removing an unfinished file failed");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // On a disk, dropping the upload removes its file; in a bucket it must be aborted.
        if let Upload::Started(upload) = std::mem::replace(&mut self.upload, Upload::Closed)
            && self.store.root().is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(abort_upload(self.object, upload));
        }
    }
}

async fn abort_upload(object: ObjectId, mut upload: Box<dyn MultipartUpload>) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(%object, %error, "aborting an unfinished upload failed");
    }
}

fn broken() -> Error {
    Error::Unavailable("the file was aborted after an earlier failure".to_owned())
}
