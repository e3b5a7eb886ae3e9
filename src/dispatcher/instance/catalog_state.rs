//! The catalog of an instance, its nodes and models, as last read.

use crate::{
    clock::unix_ms,
    dispatcher::shared::lock,
    graph::{InputFiles, Spellings},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// The catalog last read from an instance, by content hash.
#[derive(Debug, Default)]
pub(crate) struct KnownCatalog {
    last: Mutex<Option<CatalogRead>>,
    /// Held while the catalog is read, so that one read serves all that wait for it.
    pub(crate) reading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct CatalogRead {
    hash: String,
    /// Time of the read; `None` if the instance may have restarted since.
    at: Option<Instant>,
    /// Time of the read, Unix ms: only shown to people.
    read_ms: u64,
    spellings: Arc<Spellings>,
    /// Names of its files with their content hash; `None` = too many.
    files: Option<(String, Arc<InputFiles>)>,
}

impl KnownCatalog {
    /// Returns the content hash of the catalog, once it is stored in Redis.
    pub(crate) fn hash(&self) -> Option<String> {
        lock(&self.last).as_ref().map(|seen| seen.hash.clone())
    }

    /// Returns the time of the last read, Unix ms.
    pub(crate) fn read_ms(&self) -> Option<u64> {
        lock(&self.last).as_ref().map(|seen| seen.read_ms)
    }

    /// Returns how the instance writes the names of files; `None` before the first read.
    pub(crate) fn spellings(&self) -> Option<Arc<Spellings>> {
        lock(&self.last).as_ref().map(|seen| seen.spellings.clone())
    }

    /// Returns the names of its files with their content hash, if they are known.
    pub(crate) fn input_files(&self) -> Option<(String, Arc<InputFiles>)> {
        lock(&self.last).as_ref().and_then(|seen| seen.files.clone())
    }

    /// Whether the catalog was read after `since`, and the instance cannot have restarted since the read.
    pub(crate) fn was_read_after(&self, since: Instant) -> bool {
        lock(&self.last).as_ref().and_then(|seen| seen.at).is_some_and(|at| at > since)
    }

    /// Returns the time since the last read.
    pub(crate) fn age(&self) -> Option<Duration> {
        lock(&self.last).as_ref().and_then(|seen| seen.at).map(|at| at.elapsed())
    }

    /// Records a read that began at `began`. Returns true if the catalog changed.
    pub(crate) fn set(
        &self,
        hash: String,
        spellings: Spellings,
        files: Option<(String, InputFiles)>,
        began: Instant,
    ) -> bool {
        let files = files.map(|(hash, files)| (hash, Arc::new(files)));
        let (spellings, read_ms) = (Arc::new(spellings), unix_ms());
        let read = CatalogRead { hash: hash.clone(), at: Some(began), read_ms, spellings, files };
        lock(&self.last).replace(read).is_none_or(|before| before.hash != hash)
    }

    /// Marks the catalog as possibly outdated, because the instance may have restarted.
    pub(crate) fn invalidate(&self) {
        if let Some(seen) = lock(&self.last).as_mut() {
            seen.at = None;
        }
    }
}
