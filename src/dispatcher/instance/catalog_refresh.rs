//! Reads the catalog of an instance, its nodes and models: once per start, and periodically while it is idle, because
//! new model files appear without a restart.

use super::state::Instance;
use crate::{backoff::Backoff, dispatcher::shared::jitter, graph::Catalog};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
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
    let _permit = instance.shared.catalog_permit(listed.len()).await;
    let parsed = tokio::task::spawn_blocking(move || {
        let catalog = Catalog::parse(&listed)?;
        drop(listed);
        let json = catalog.to_json();
        let hash = format!("{:x}", Sha256::digest(&json));
        Some((hash, json))
    });
    let Some((hash, json)) = parsed.await.map_err(|error| error.to_string())? else {
        return Err("/object_info is not a ComfyUI catalog, or has too many values".to_owned());
    };
    if json.len() > BYTES_MAX {
        return Err(format!("catalog has {} bytes, more than {BYTES_MAX}", json.len()));
    }
    instance.queue().put_catalog(&hash, &json).await.map_err(|error| error.to_string())?;
    instance.set_catalog(hash);
    Ok(())
}
