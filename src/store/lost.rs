//! What may be left over in a store: files that nobody registered, because whoever stored them died before.

use super::{Error, Store, local, path_of};
use crate::task::FileId;
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
        let mark = Path::from(MARK);
        let name = installation.as_bytes().to_vec();
        match self.objects.put_opts(&mark, name.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let found = self.objects.get(&mark).await?.bytes().await?;
                Ok(found == installation.as_bytes())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The files of one of the 256 shards that were written more than `age` ago. On a disk, deletes what writers that died
    /// left there unfinished.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn old_files(&self, shard: u8, age: Duration) -> Result<Vec<FileId>, Error> {
        let folder = format!("{shard:02x}");
        if let Some(root) = self.root.clone() {
            let folder = root.join(&folder);
            tokio::task::spawn_blocking(move || local::collect(&folder))
                .await
                .map_err(|error| Error::Unavailable(error.to_string()))??;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let until_ms = i64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(i64::MAX);
        let mut found = self.objects.list(Some(&Path::from(folder)));
        let mut old = Vec::new();
        while let Some(object) = found.try_next().await? {
            let Some(Ok(id)) = object.location.filename().map(str::parse::<FileId>) else { continue };
            if object.last_modified.timestamp_millis() < until_ms && object.location == path_of(id) {
                old.push(id);
            }
        }
        Ok(old)
    }
}
