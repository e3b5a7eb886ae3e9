//! Reads the catalog of an instance, its nodes and models: once per start, when an api process misses something, and
//! periodically while it is idle, because new model files appear without a restart.

use super::state::Instance;
use crate::{
    backoff::Backoff,
    dispatcher::shared::jitter,
    graph::{Catalog, InputFiles, Spellings},
};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

/// Timeout of `/object_info`. The answer takes up to 100 ms, longer with many models or while a prompt executes.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Interval between two reads from an idle instance.
const IDLE_INTERVAL: Duration = Duration::from_secs(300);
/// Longest interval between two reads from a busy instance.
const BUSY_INTERVAL: Duration = Duration::from_secs(1_800);
/// Shortest interval between two reads, even if the socket reconnects more often. Doubles while reads fail.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Shortest interval between two reads that api processes ask for.
const WANTED_INTERVAL: Duration = Duration::from_secs(10);
/// Shortest interval between two reads after refusals, so that many of them do not become many reads.
const REFUSED_INTERVAL: Duration = Duration::from_secs(1);
/// Largest catalog kept, bytes of JSON. An instance with a larger one counts as having an unknown catalog.
const BYTES_MAX: usize = 8 << 20;

/// Reads the catalog after each new socket connection, when it is wanted, and every [`IDLE_INTERVAL`] while nothing
/// executes.
pub(crate) async fn run(instance: Arc<Instance>) {
    let (mut last, mut delay): (Option<Instant>, Duration) = (None, MIN_INTERVAL);
    let mut last_wanted: Option<Instant> = None;
    let mut delays = Backoff::new(2 * MIN_INTERVAL, IDLE_INTERVAL);
    loop {
        tokio::select! {
            () = instance.wake.catalog.notified() => {
                if let Some(last) = last {
                    sleep_until(last + delay).await;
                }
            }
            () = instance.wake.catalog_wanted.notified() => {
                if let Some(last) = last_wanted {
                    sleep_until(last + WANTED_INTERVAL).await;
                }
                last_wanted = Some(Instant::now());
            }
            () = sleep(IDLE_INTERVAL + jitter(IDLE_INTERVAL / 4)) => {
                let is_due = last.is_none_or(|last| last.elapsed() >= BUSY_INTERVAL);
                if (instance.occupied() > 0 && !is_due) || !instance.health().is_alive() {
                    continue;
                }
            }
        }
        last = Some(Instant::now());
        let _reading = instance.catalog.reading.lock().await;
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

/// Reads the catalog after a refusal at `refused_at`, unless it was read since. One read serves all refusals before it.
///
/// # Errors
/// The reason why it was not read.
pub(crate) async fn read_after(instance: &Instance, refused_at: Instant) -> Result<(), String> {
    let _reading = instance.catalog.reading.lock().await;
    if instance.catalog.was_read_after(refused_at) {
        return Ok(());
    }
    if let Some(age) = instance.catalog.age() {
        sleep(REFUSED_INTERVAL.saturating_sub(age)).await;
    }
    read(instance).await
}

/// Reads the catalog now, and stores it in Redis.
async fn read(instance: &Instance) -> Result<(), String> {
    let began = Instant::now();
    let listed = instance.client.object_info(TIMEOUT).await.map_err(|error| error.to_string())?;
    // Without them a few old classes count as missing.
    let replacements = instance.client.node_replacements(TIMEOUT).await.unwrap_or_default();
    let _permit = instance.shared.catalog_permit(listed.len()).await;
    let parsed = tokio::task::spawn_blocking(move || {
        let mut catalog = Catalog::parse(&listed)?;
        let files = InputFiles::parse(&listed);
        drop(listed);
        if let Some(replacements) = replacements {
            catalog.add_replaced(&replacements);
        }
        let json = catalog.to_json();
        let hash = format!("{:x}", Sha256::digest(&json));
        let files = files.map(|files| (files.to_json(), files));
        let files = files.map(|(json, files)| (format!("{:x}", Sha256::digest(&json)), json, files));
        Some((hash, json, Spellings::of(&catalog), files))
    });
    let Some((hash, json, spellings, files)) = parsed.await.map_err(|error| error.to_string())? else {
        return Err("/object_info is not a ComfyUI catalog, or has too many values".to_owned());
    };
    if json.len() > BYTES_MAX {
        return Err(format!("catalog has {} bytes, more than {BYTES_MAX}", json.len()));
    }
    instance.queue().put_catalog(&hash, &json).await.map_err(|error| error.to_string())?;
    let files = match files {
        Some((hash, json, files)) => {
            instance.queue().put_input_files(&hash, &json).await.map_err(|error| error.to_string())?;
            Some((hash, files))
        }
        None => None,
    };
    instance.set_catalog(hash, spellings, files, began);
    Ok(())
}
