//! Diagnosis of a store for `shuzhiren doctor`.
//!
//! Invariant: the store is opened as it is; nothing is created or collected, and the only file written is deleted
//! again.

use super::{Error, Keys, Location, Store, bucket, local};
use crate::task::FileId;
use object_store::{ObjectStoreExt, local::LocalFileSystem};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Size of the file written by the probe.
const PROBE_BYTES: usize = 64 * 1024;

/// Space on the disk of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes available to us.
    pub free: u64,
    /// Total bytes.
    pub total: u64,
}

impl Store {
    /// Opens the same store as [`Store::open_with`] without creating or probing it; no request is sent to a bucket.
    ///
    /// # Errors
    /// [`Error::Unusable`]: invalid URL; [`Error::NotFound`]: the folder does not exist yet.
    pub async fn peek(url: &str, keys: Option<&Keys>) -> Result<Self, Error> {
        if bucket::is_named(url) {
            return Self::of_bucket(url, keys).map(|(store, _)| store);
        }
        let root = local::folder_of(url)?;
        let found = tokio::fs::metadata(&root).await?;
        if !found.is_dir() {
            return Err(Error::Unusable(format!("{} is not a folder", root.display())));
        }
        let objects = LocalFileSystem::new_with_prefix(&root)
            .map_err(|error| Error::Unusable(error.to_string()))?
            .with_fsync(true);
        let location = Location::Disk(Arc::new(root));
        Ok(Self::new(Arc::new(objects), location, None))
    }

    /// Writes a file, reads it back, deletes it and returns how long that took.
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
            // The error of the write is more specific.
            Err(error) if read.is_ok() => return Err(error.into()),
            Err(_) => {}
        }
        if read? == bytes {
            Ok(began.elapsed())
        } else {
            Err(Error::Unavailable("the bytes read differ from the bytes written".to_owned()))
        }
    }

    /// Returns the installation that owns the files; `None` if the store is not marked yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn installation(&self) -> Result<Option<String>, Error> {
        match self.objects.get(&self.at(super::orphans::MARK)).await {
            Ok(mark) => Ok(Some(String::from_utf8_lossy(&mark.bytes().await?).into_owned())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the space of the disk; `None` if the store is not on a disk.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub fn space(&self) -> Result<Option<Space>, Error> {
        let Some(root) = self.root() else { return Ok(None) };
        let disk = rustix::fs::statvfs(root).map_err(std::io::Error::from)?;
        Ok(Some(Space { free: disk.f_bavail * disk.f_frsize, total: disk.f_blocks * disk.f_frsize }))
    }
}
