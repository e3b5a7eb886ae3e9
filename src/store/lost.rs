//! What may be left over in a store: files that nobody registered, because whoever stored them died before.

use super::{Error, Store, local};
use crate::task::ObjectId;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, path::Path};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Holds the name of the installation whose files these are.
pub(super) const MARK: &str = "installation";

impl Store {
    /// Whether the files here are those of `installation`: the first who asks marks the store with its name. Another's are
    /// registered where we cannot see it.
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
        // Whoever was first, or (a store that knows no conditions) last.
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

    /// The files of one of the 256 shards that were written more than `age` ago. On a disk, deletes what writers that died
    /// left there unfinished.
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
