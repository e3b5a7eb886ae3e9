//! What an operator wants to know of a store before anything is started.
//!
//! Invariant: it is opened as it is, nothing is made or collected; the one file written is deleted again.

use super::{Error, Keys, Place, Store, bucket, local};
use crate::task::FileId;
use object_store::{ObjectStoreExt, local::LocalFileSystem};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Size of the file that is written to see whether files can be.
const PROBE_BYTES: usize = 64 * 1024;

/// Room on the disk of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that we may still use.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Store {
    /// Opens what [`Store::open_with`] would, as it is; a bucket is not asked yet.
    ///
    /// # Errors
    /// [`Error::Unusable`]: no such URL; [`Error::NotFound`]: there is no such folder yet.
    pub async fn peek(url: &str, keys: Option<&Keys>) -> Result<Self, Error> {
        if bucket::is_named(url) {
            return Self::of_bucket(url, keys).map(|(store, _)| store);
        }
        let root = local::folder_of(url)?;
        let found = tokio::fs::metadata(&root).await?;
        if !found.is_dir() {
            return Err(Error::Unusable(format!("{} is no folder", root.display())));
        }
        let objects = LocalFileSystem::new_with_prefix(&root)
            .map_err(|error| Error::Unusable(error.to_string()))?
            .with_fsync(true);
        Ok(Self { objects: Arc::new(objects), place: Place::Disk(Arc::new(root)), redirects: None })
    }

    /// Writes a file of its own, reads it back and deletes it; how long that took.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`].
    pub async fn probe(&self) -> Result<Duration, Error> {
        let began = Instant::now();
        let id = FileId::new();
        let path = self.at(&format!("probe-{id}"));
        let bytes: Vec<u8> = id.to_string().into_bytes().into_iter().cycle().take(PROBE_BYTES).collect();
        let written = self.objects.put(&path, bytes.clone().into()).await;
        let read = match written {
            Ok(_) => async { self.objects.get(&path).await?.bytes().await }.await,
            Err(error) => Err(error),
        };
        match self.objects.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            // Why it could not be written says more.
            Err(error) if read.is_ok() => return Err(error.into()),
            Err(_) => {}
        }
        if read? == bytes {
            Ok(began.elapsed())
        } else {
            Err(Error::Unavailable("what was read is not what was written".to_owned()))
        }
    }

    /// The installation whose files these are; `None` while nobody has marked them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn installation(&self) -> Result<Option<String>, Error> {
        match self.objects.get(&self.at(super::lost::MARK)).await {
            Ok(mark) => Ok(Some(String::from_utf8_lossy(&mark.bytes().await?).into_owned())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The room that is left; `None` where the store is not on a disk.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub fn space(&self) -> Result<Option<Space>, Error> {
        let Some(root) = self.root() else { return Ok(None) };
        let disk = rustix::fs::statvfs(root).map_err(std::io::Error::from)?;
        Ok(Some(Space { free: disk.f_bavail * disk.f_frsize, total: disk.f_blocks * disk.f_frsize }))
    }
}
