//! Deletes the oldest outputs while all files together take more room than they may (`--keep-bytes`), or their disk is nearly at
//! its reserve. If other data fills the disk, a quarter of the room that files may take is left to them. The bytes are those
//! of the registry; the store is not walked.

use crate::{
    metrics,
    process::LogLimit,
    queue::{Queue, Result},
    settings::KeepBytes,
    store::{DiskRoom, Store},
};
use std::time::Duration;

/// Interval between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// Time after which another process takes over from one that died.
const DUTY_TTL: Duration = Duration::from_secs(30);
/// Outputs examined by one call: a few milliseconds of Redis.
const FILES_PER_CALL: u64 = 100;
/// Calls of one round.
const CALLS_MAX: usize = 20;

/// Share of the room that files may take, which other data on the disk does not take from them.
const FLOOR_SHARE: u64 = 4;

/// Room that the files take and may take, bytes.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// Objects in the store.
    stored: u64,
    /// Size of the disk, and its free space; `None` for a bucket.
    disk: Option<(u64, DiskRoom)>,
}

/// Looks periodically; one process of the installation at a time.
pub(super) async fn run(queue: Queue, store: Store, rule: KeepBytes, me: String) {
    if rule == KeepBytes::All {
        return;
    }
    let mut skip = 0;
    loop {
        match queue.elect("keep-bytes", &me, DUTY_TTL).await {
            Ok(true) => match trim(&queue, &store, rule, &mut skip).await {
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "oldest outputs not deleted; retrying"),
            },
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "room of the files not examined"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Deletes outputs until the files fit, or the round is over. `skip` is the number of the oldest outputs that are in use.
async fn trim(queue: &Queue, store: &Store, rule: KeepBytes, skip: &mut u64) -> Result<()> {
    let room = Room { stored: queue.counts().await?.files.stored.bytes, disk: store.disk().await };
    let (beyond_limit, beyond_disk) = (room.beyond_limit(rule), room.beyond_disk(rule));
    if beyond_disk < room.lacking() {
        warn_of_other_data(room.lacking());
    }
    let mut excess = beyond_limit.max(beyond_disk);
    let (mut bytes, mut count) = (0, 0);
    for _ in 0..CALLS_MAX {
        if excess == 0 {
            break;
        }
        // The disk's free space does not count orphans yet.
        let waits = beyond_disk > beyond_limit;
        let trimmed = queue.trim_outputs(excess, *skip, FILES_PER_CALL, waits).await?;
        (bytes, count) = (bytes + trimmed.bytes, count + trimmed.removed);
        excess = excess.saturating_sub(trimmed.bytes);
        *skip += trimmed.needed;
        if trimmed.examined < FILES_PER_CALL && excess > 0 {
            // The end: what was in use may not be any more.
            *skip = 0;
            if trimmed.removed == 0 && !waits {
                warn_of_rest(excess);
            }
            break;
        }
    }
    if excess == 0 {
        *skip = 0;
    }
    if count > 0 {
        metrics::outputs_dropped(bytes);
        tracing::info!(count, bytes, "oldest outputs deleted before the end of their retention: their room was needed");
    }
    Ok(())
}

fn warn_of_rest(excess_bytes: u64) {
    static LIMIT: LogLimit = LogLimit::new();
    if let Some(omitted) = LIMIT.admit() {
        tracing::warn!(
            excess_bytes,
            omitted,
            "files take more room than --keep-bytes, and all outputs left are in use: delete uploads, or add space"
        );
    }
}

fn warn_of_other_data(lacking_bytes: u64) {
    static LIMIT: LogLimit = LogLimit::new();
    if let Some(omitted) = LIMIT.admit() {
        tracing::warn!(
            lacking_bytes,
            omitted,
            "other data fills the disk of the files; outputs up to a quarter of --keep-bytes are kept, and tasks wait while the disk is at its reserve: delete other data, or add space"
        );
    }
}

impl Room {
    /// Room that the files may take, bytes; `None` = any.
    fn limit(self, rule: KeepBytes) -> Option<u64> {
        match (rule, self.disk) {
            (KeepBytes::All, _) | (KeepBytes::Percent(_), None) => None,
            (KeepBytes::Bytes(bytes), _) => Some(bytes),
            (KeepBytes::Percent(percent), Some((size, _))) => Some(size / 100 * u64::from(percent)),
        }
    }

    /// Bytes beyond the limit.
    fn beyond_limit(self, rule: KeepBytes) -> u64 {
        self.limit(rule).map_or(0, |limit| self.stored.saturating_sub(limit))
    }

    /// Bytes to be freed so that the disk has a quarter more free space than its reserve: at the reserve, no task starts.
    fn lacking(self) -> u64 {
        let Some((_, DiskRoom { free, reserve })) = self.disk else { return 0 };
        (reserve + reserve / 4).saturating_sub(free)
    }

    /// Bytes of files that are deleted for that. Those below the floor stay: then other data fills the disk, and would go on
    /// to.
    fn beyond_disk(self, rule: KeepBytes) -> u64 {
        let floor = self.limit(rule).unwrap_or(0) / FLOOR_SHARE;
        self.lacking().min(self.stored.saturating_sub(floor))
    }
}

#[cfg(test)]
mod tests {
    use super::Room;
    use crate::{settings::KeepBytes, store::DiskRoom};

    fn room(stored: u64, size: u64, free: u64, reserve: u64) -> Room {
        Room { stored, disk: Some((size, DiskRoom { free, reserve })) }
    }

    #[test]
    fn files_beyond_the_limit_are_too_many() {
        assert_eq!(room(900, 1_000, 500, 0).beyond_limit(KeepBytes::Percent(80)), 100);
        assert_eq!(room(800, 1_000, 500, 0).beyond_limit(KeepBytes::Percent(80)), 0);
        assert_eq!(room(900, 1_000, 500, 0).beyond_limit(KeepBytes::Bytes(1)), 899);
        assert_eq!(room(900, 1_000, 500, 0).beyond_limit(KeepBytes::All), 0);
        let bucket = Room { stored: 900, disk: None };
        assert_eq!((bucket.beyond_limit(KeepBytes::Percent(1)), bucket.beyond_disk(KeepBytes::Percent(1))), (0, 0));
        assert_eq!(bucket.beyond_limit(KeepBytes::Bytes(100)), 800);
    }

    #[test]
    fn the_disk_is_kept_above_its_reserve() {
        let rule = KeepBytes::Percent(80);
        assert_eq!(room(900, 1_000, 125, 100).beyond_disk(rule), 0);
        assert_eq!(room(900, 1_000, 100, 100).beyond_disk(rule), 25);
        assert_eq!(room(900, 1_000, 0, 0).beyond_disk(rule), 0, "no reserve");
    }

    #[test]
    fn other_data_on_the_disk_leaves_a_quarter_of_the_room_to_the_files() {
        for (stored, deleted) in [(330, 125), (325, 125), (324, 124), (201, 1), (200, 0), (10, 0)] {
            let room = room(stored, 1_000, 0, 100);
            assert_eq!((room.beyond_disk(KeepBytes::Percent(80)), room.lacking()), (deleted, 125), "{stored}");
        }
        assert_eq!(room(30, 1_000, 0, 100).beyond_disk(KeepBytes::Bytes(100)), 5);
        assert_eq!(room(25, 1_000, 0, 100).beyond_disk(KeepBytes::Bytes(100)), 0);
    }
}
