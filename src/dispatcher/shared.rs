//! State and small functions shared by all parts of a dispatcher.

use super::{leasing::renewal_batcher::RenewalBatcher, progress_writer::ProgressWriter};
use crate::{
    queue::{Queue, Restricted, Retention},
    secrets::Encryption,
    settings::{DispatcherSettings, KeepBytes},
    store::Store,
};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

/// Size of the catalogs, as JSON, that are parsed at the same time, KiB. A parsed one takes several times that.
const CATALOGS_KIB: u32 = 8 << 10;

/// Dependencies and settings of a dispatcher.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Redis.
    pub queue: Queue,
    /// Object store.
    pub store: Store,
    /// Settings.
    pub settings: DispatcherSettings,
    /// Largest output, bytes.
    pub file_bytes_max: u64,
    /// Retention of files and tasks.
    pub retention: Retention,
    /// Room of all files.
    pub keep_bytes: KeepBytes,
    /// Longest wait at a stop for outputs that are being stored.
    pub drain_timeout: Duration,
    /// Decrypts the keys for API nodes.
    pub encryption: Encryption,
}

/// State shared by all actors of a process.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    /// Unique name of this process, random at every start.
    pub(crate) name: String,
    /// Wakes idle claimers, one per added task.
    pub(crate) work: Notify,
    /// Wakes the roster: the config changed.
    pub(crate) config_changed: Notify,
    /// The restricted tasks at the last poll; `None` = not known.
    pub(crate) restricted: watch::Sender<Option<Restricted>>,
    /// Renews the leases of this process.
    pub(crate) renewals: RenewalBatcher,
    /// Writes the progress of all attempts.
    pub(crate) progress: ProgressWriter,
    catalogs: Semaphore,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            name: uuid::Uuid::new_v4().simple().to_string(),
            work: Notify::new(),
            config_changed: Notify::new(),
            restricted: watch::Sender::new(None),
            renewals: RenewalBatcher::default(),
            progress: ProgressWriter::default(),
            catalogs: Semaphore::new(CATALOGS_KIB as usize),
        }
    }

    /// Waits until a catalog of this many bytes of JSON may be parsed. The permit is kept for as long as the parsed one
    /// is; `None` never occurs, because the semaphore is never closed.
    pub(crate) async fn catalog_permit(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, CATALOGS_KIB);
        self.catalogs.acquire_many(kib).await.ok()
    }
}

/// Locks `mutex`, ignoring poison.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic cannot leave inconsistent state: every statement below these locks keeps it valid.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a random delay of at most `max`, so that processes that start together do not poll together.
pub(crate) fn jitter(max: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(0);
    max.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
