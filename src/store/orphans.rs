//! Orphan files in a store: stored, but never registered because the process died in between.

use super::{Error, Store, local};
use crate::task::ObjectId;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, path::Path};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Name of the file that names the installation that owns the store.
pub(super) const MARK: &str = "installation";

impl Store {
    /// Whether the store belongs to `installation`. The first installation that asks marks the store with its name.
    /// Files of another installation are registered in a Redis that we cannot see.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`].
    pub async fn belongs_to(&self, installation: &str) -> Result<bool, Error> {
        let mark = self.at(MARK);
        if let Some(name) = self.name_in(&mark).await? {
            return Ok(name == installation);
        }
        match self.objects.put_opts(&mark, installation.to_owned().into(), PutMode::Create.into()).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // The first writer wins; on a store without conditional writes, the last.
        Ok(self.name_in(&mark).await?.is_some_and(|name| name == installation))
    }

    async fn name_in(&self, mark: &Path) -> Result<Option<Bytes>, Error> {
        let found = async { self.objects.get(mark).await?.bytes().await };
        match found.await.map_err(Error::from) {
            Ok(name) => Ok(Some(name)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the files of one of the 256 shards that were written more than `age` ago. On a disk, also deletes the
    /// unfinished files of dead writers there.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn old_files(&self, shard: u8, age: Duration) -> Result<Vec<ObjectId>, Error> {
        let folder = format!("{shard:02x}");
        if let Some(root) = self.root() {
            let folder = root.join(&folder);
            tokio::task::spawn_blocking(move || local::collect(&folder))
                .await
                .map_err(|error| Error::Unavailable(error.to_string()))??;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let until_ms = i64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(i64::MAX);
        let mut found = self.objects.list(Some(&self.at(&folder)));
        let mut old = Vec::new();
        while let Some(object) = found.try_next().await? {
            let Some(Ok(id)) = object.location.filename().map(str::parse::<ObjectId>) else { continue };
            if object.last_modified.timestamp_millis() < until_ms && object.location == self.path(id) {
                old.push(id);
            }
        }
        Ok(old)
    }
}
