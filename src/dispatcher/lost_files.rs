//! Files that were stored and never registered, because the process that stored them died in between: found by comparing the
//! store with the registry, and deleted when they are older than any upload or attempt takes to register what it has stored.

use crate::{queue::Queue, store::Store, task::ObjectId};
use std::time::Duration;

/// A file that nobody has registered for so long belongs to nobody.
const LOST_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two looks at the whole store.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Between two shards: a disk has other work to do.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the duty stays with a collector that died.
const DUTY_TTL: Duration = Duration::from_secs(60);
/// Files asked about at once.
const IDS_PER_CALL: usize = 500;

/// Looks for ever; one process at a time does it.
pub(super) async fn run(queue: Queue, store: Store, me: String) {
    loop {
        match queue.hold_duty("lost-files", &me, DUTY_TTL).await {
            Ok(true) => match collect(&queue, &store, &me).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "deleted files that nobody had registered"),
                Err(error) => tracing::warn!(error, "looking for files that nobody has registered"),
            },
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "looking for files that nobody has registered"),
        }
        tokio::time::sleep(EVERY + super::jitter(EVERY / 10)).await;
    }
}

/// Looks through the whole store once; gives how many files it deleted.
async fn collect(queue: &Queue, store: &Store, me: &str) -> Result<usize, String> {
    // An emptied Redis, or another system's store: its files are all unknown to us, and none is ours to delete.
    if !store.belongs_to(queue.installation()).await.map_err(|error| error.to_string())? {
        return Err(
            "the store has files of another installation (see its file `installation`): nothing is deleted".to_owned()
        );
    }
    let mut deleted = 0;
    for shard in 0..=u8::MAX {
        if !queue.hold_duty("lost-files", me, DUTY_TTL).await.map_err(|error| error.to_string())? {
            break;
        }
        let old = store.old_files(shard, LOST_AGE).await.map_err(|error| error.to_string())?;
        for ids in old.chunks(IDS_PER_CALL) {
            deleted += delete_unregistered(queue, store, ids).await?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(deleted)
}

async fn delete_unregistered(queue: &Queue, store: &Store, ids: &[ObjectId]) -> Result<usize, String> {
    let lost = queue.unregistered(ids).await.map_err(|error| error.to_string())?;
    for id in &lost {
        store.delete(*id).await.map_err(|error| error.to_string())?;
        tracing::info!(object = %id, "deleted a file that nobody had registered");
    }
    Ok(lost.len())
}
