//! Deletes orphan files: files in the store that no process registered, because it died between storing and
//! registering.
//!
//! They are found by comparing the store with the registry, and deleted once they are older than any upload or attempt
//! takes.

use crate::{queue::Queue, store::Store, task::ObjectId};
use std::time::Duration;

/// Age from which an unregistered file is an orphan.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Interval between two scans of the store.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Pause between two shards, so that a scan does not saturate the disk.
const SHARD_PAUSE: Duration = Duration::from_millis(20);
/// Time after which another process takes over from a collector that died.
const DUTY_TTL: Duration = Duration::from_secs(60);
/// Number of files checked by one call.
const IDS_PER_CALL: usize = 500;

/// Scans the store periodically; one process of the installation at a time.
pub(super) async fn run(queue: Queue, store: Store, me: String) {
    loop {
        match queue.elect("lost-files", &me, DUTY_TTL).await {
            Ok(true) => match collect(&queue, &store, &me).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "orphan files deleted"),
                Err(error) => tracing::warn!(error, "orphan file scan failed"),
            },
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "orphan file scan not started"),
        }
        tokio::time::sleep(INTERVAL + super::shared::jitter(INTERVAL / 10)).await;
    }
}

/// Scans the whole store once. Returns the number of deleted files.
async fn collect(queue: &Queue, store: &Store, me: &str) -> Result<usize, String> {
    // In an emptied Redis, or with the store of another installation, no file is registered; none may be deleted.
    if !store.belongs_to(queue.installation()).await.map_err(|error| error.to_string())? {
        return Err(
            "the store belongs to another installation (see its file `installation`); nothing deleted".to_owned()
        );
    }
    let mut deleted = 0;
    for shard in 0..=u8::MAX {
        if !queue.elect("lost-files", me, DUTY_TTL).await.map_err(|error| error.to_string())? {
            break;
        }
        let old = store.old_files(shard, ORPHAN_AGE).await.map_err(|error| error.to_string())?;
        for ids in old.chunks(IDS_PER_CALL) {
            deleted += delete_unregistered(queue, store, ids).await?;
        }
        tokio::time::sleep(SHARD_PAUSE).await;
    }
    Ok(deleted)
}

async fn delete_unregistered(queue: &Queue, store: &Store, ids: &[ObjectId]) -> Result<usize, String> {
    let orphans = queue.unregistered(ids).await.map_err(|error| error.to_string())?;
    for id in &orphans {
        store.delete(*id).await.map_err(|error| error.to_string())?;
        tracing::info!(object = %id, "orphan file deleted");
    }
    Ok(orphans.len())
}
