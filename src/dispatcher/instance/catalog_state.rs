//! The catalog of an instance, its nodes and models, as last read.

use crate::dispatcher::shared::lock;
use std::{sync::Mutex, time::Duration};
use tokio::time::Instant;

/// The catalog last read from an instance, by content hash.
#[derive(Debug, Default)]
pub(crate) struct KnownCatalog(Mutex<Option<CatalogRead>>);

#[derive(Debug)]
struct CatalogRead {
    hash: String,
    /// Time of the read; `None` if the instance may have restarted since.
    at: Option<Instant>,
}

impl KnownCatalog {
    /// Returns the content hash of the catalog, once it is stored in Redis.
    pub(crate) fn hash(&self) -> Option<String> {
        lock(&self.0).as_ref().map(|seen| seen.hash.clone())
    }

    /// Whether the catalog was read within `age`, and the instance cannot have restarted since.
    pub(crate) fn is_fresh(&self, age: Duration) -> bool {
        lock(&self.0).as_ref().and_then(|seen| seen.at).is_some_and(|at| at.elapsed() < age)
    }

    /// Records a read. Returns true if the catalog changed.
    pub(crate) fn set(&self, hash: String) -> bool {
        let before = lock(&self.0).replace(CatalogRead { hash: hash.clone(), at: Some(Instant::now()) });
        before.is_none_or(|before| before.hash != hash)
    }

    /// Marks the catalog as possibly outdated, because the instance may have restarted.
    pub(crate) fn invalidate(&self) {
        if let Some(seen) = lock(&self.0).as_mut() {
            seen.at = None;
        }
    }
}
