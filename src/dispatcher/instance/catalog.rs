//! Reads the catalog of an instance, its nodes and models: once per start, and periodically while it is idle, because new model
//! files appear without a restart.

use super::state::{Instance, lock};
use crate::{backoff::Backoff, dispatcher::jitter, graph::Catalog};
use sha2::{Digest, Sha256};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Timeout of `/object_info`. The answer takes up to 100 ms, longer with many models or while a prompt executes.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Interval between two reads from an idle instance.
const IDLE_INTERVAL: Duration = Duration::from_secs(300);
/// Longest interval between two reads from a busy instance.
const BUSY_INTERVAL: Duration = Duration::from_secs(1_800);
/// Shortest interval between two reads, even if the socket reconnects more often. Doubles while reads fail.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Largest catalog kept, bytes of JSON. An instance with a larger one counts as having an unknown catalog.
const BYTES_MAX: usize = 8 << 20;

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

/// Reads the catalog after each new socket connection, and every [`IDLE_INTERVAL`] while nothing executes.
pub(crate) async fn run(instance: Arc<Instance>) {
    let (mut last, mut delay): (Option<Instant>, Duration) = (None, MIN_INTERVAL);
    let mut delays = Backoff::new(2 * MIN_INTERVAL, IDLE_INTERVAL);
    loop {
        tokio::select! {
            () = instance.wake.catalog.notified() => {
                if let Some(last) = last {
                    tokio::time::sleep_until(last + delay).await;
                }
            }
            () = sleep(IDLE_INTERVAL + jitter(IDLE_INTERVAL / 4)) => {
                let is_due = last.is_none_or(|last| last.elapsed() >= BUSY_INTERVAL);
                if (instance.occupied() > 0 && !is_due) || !instance.health().is_alive() {
                    continue;
                }
            }
        }
        last = Some(Instant::now());
        match read(&instance).await {
            Ok(()) => {
                delay = MIN_INTERVAL;
                delays.reset();
            }
            Err(reason) => {
                tracing::warn!(instance = %instance.target.id, reason, "catalog not read; retrying");
                delay = delays.next_pause();
                instance.wake.catalog.notify_one();
            }
        }
    }
}

/// Reads the catalog now, and stores it in Redis.
pub(crate) async fn read(instance: &Instance) -> Result<(), String> {
    let listed = instance.client.object_info(TIMEOUT).await.map_err(|error| error.to_string())?;
    let parsed = tokio::task::spawn_blocking(move || {
        let json = Catalog::parse(&listed)?.to_json();
        let hash = format!("{:x}", Sha256::digest(&json));
        Some((hash, json))
    });
    let Some((hash, json)) = parsed.await.map_err(|error| error.to_string())? else {
        return Err("/object_info is not a ComfyUI catalog".to_owned());
    };
    if json.len() > BYTES_MAX {
        return Err(format!("catalog has {} bytes, more than {BYTES_MAX}", json.len()));
    }
    instance.queue().put_catalog(&hash, &json).await.map_err(|error| error.to_string())?;
    instance.set_catalog(hash);
    Ok(())
}
