//! Watches whether the files of a store belong to this system, or to one whose Redis was emptied or replaced.

use super::Store;
use crate::metrics;
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Interval between two checks.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);
/// Longest wait for the store: a lost network disk blocks.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

impl Store {
    /// Whether the files belonged to another installation than ours at the last check.
    pub fn is_foreign(&self) -> bool {
        self.is_foreign.load(Ordering::Relaxed)
    }

    /// Checks whose files these are, and reports a change as metric and in the log, until `stop`. A process that starts with
    /// an emptied Redis begins a new system, and only the mark of the store remembers the old one.
    pub async fn watch_owner(self, installation: String, stop: CancellationToken) {
        loop {
            let mark = tokio::time::timeout(READ_TIMEOUT, self.installation()).await;
            // Without an answer the last one counts.
            if let Ok(Ok(mark)) = mark {
                let is_foreign = mark.as_ref().is_some_and(|mark| *mark != installation);
                if is_foreign && !self.is_foreign() {
                    tracing::error!(
                        files_of = mark,
                        redis_of = installation,
                        "the files belong to another system: redis was emptied or replaced, or the address of redis or of the \
                         store is wrong; processes of the other system accept no tasks of this one"
                    );
                } else if self.is_foreign() && !is_foreign {
                    tracing::info!("the files belong to this system again");
                }
                metrics::store_foreign(is_foreign);
                self.is_foreign.store(is_foreign, Ordering::Relaxed);
            }
            if stop.run_until_cancelled(sleep(WATCH_INTERVAL)).await.is_none() {
                return;
            }
        }
    }
}
