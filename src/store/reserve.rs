//! Reserve of free space on the disk of a store: uploads and claims stop before it is used, so that running prompts can
//! still store their outputs, and a Redis on the same disk can still write.

use super::{Error, Space, Store};
use crate::{metrics, settings::DiskReserve};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Age up to which a sample of the free space is used again.
const FRESH: Duration = Duration::from_millis(500);
/// Interval between two reports.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for a file system to report its space: a lost network disk blocks.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Free space of a disk and its reserve, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskRoom {
    /// Bytes available to us.
    pub free: u64,
    /// Bytes that uploads and claims leave free.
    pub reserve: u64,
}

impl DiskRoom {
    /// Whether less than the reserve is free.
    pub const fn is_low(&self) -> bool {
        self.free < self.reserve
    }
}

/// The reserve of a store, and the last sample of its free space.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    rule: DiskReserve,
    sampled: Arc<Mutex<Option<(Instant, DiskRoom)>>>,
}

impl Reserve {
    /// No reserve.
    pub(super) fn none() -> Self {
        Self { rule: DiskReserve::Bytes(0), sampled: Arc::default() }
    }
}

impl Store {
    /// Sets the reserve of the disk. Without it, a store uses all space.
    #[must_use]
    pub fn with_reserve(self, rule: DiskReserve) -> Self {
        Self { reserve: Reserve { rule, sampled: Arc::default() }, ..self }
    }

    /// Returns the free space of the disk, at most half a second old. `None` if the store is not on a disk, or if the
    /// disk does not answer.
    pub async fn disk_room(&self) -> Option<DiskRoom> {
        let last = *self.reserve.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        match last {
            Some((at, room)) if at.elapsed() < FRESH => Some(room),
            _ => self.sample_disk_room().await,
        }
    }

    /// Returns the size of the disk, bytes, and its room. `None` if the store is a bucket, or the disk does not answer.
    pub async fn disk(&self) -> Option<(u64, DiskRoom)> {
        self.root()?;
        let store = self.clone();
        let sampled = timeout(SAMPLE_TIMEOUT, tokio::task::spawn_blocking(move || store.space())).await;
        let Space { free, total } = sampled.ok()?.ok()?.ok()??;
        Some((total, DiskRoom { free, reserve: self.reserve.rule.bytes(total) }))
    }

    /// Whether less than the reserve is free.
    pub async fn is_disk_low(&self) -> bool {
        self.disk_room().await.is_some_and(|room| room.is_low())
    }

    /// Reports the free space of the disk as metrics, and in the log when it reaches the reserve, until `stop`.
    pub async fn watch_disk(self, stop: CancellationToken) {
        let mut was_low = false;
        loop {
            if let Some(room) = self.disk_room().await {
                metrics::disk(room.free, room.reserve);
                match (was_low, room.is_low()) {
                    (false, true) => tracing::error!(
                        free_bytes = room.free,
                        reserve_bytes = room.reserve,
                        "disk of the file store at its reserve: uploads are refused and tasks wait"
                    ),
                    (true, false) => tracing::info!(free_bytes = room.free, "disk of the file store has space again"),
                    _ => {}
                }
                was_low = room.is_low();
            }
            if stop.run_until_cancelled(sleep(WATCH_INTERVAL)).await.is_none() {
                return;
            }
        }
    }

    /// Refuses new bytes while less than the reserve is free.
    ///
    /// # Errors
    /// [`Error::ReserveReached`].
    pub(super) async fn refuse_low_disk(&self) -> Result<(), Error> {
        match self.sample_disk_room().await {
            Some(room) if room.is_low() => Err(Error::ReserveReached(room)),
            _ => Ok(()),
        }
    }

    async fn sample_disk_room(&self) -> Option<DiskRoom> {
        let (_, room) = self.disk().await?;
        *self.reserve.sampled.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), room));
        Some(room)
    }
}
