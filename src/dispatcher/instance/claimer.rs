//! Claims tasks for an instance while it has a free slot, and the file store has room for outputs.

use super::state::Instance;
use crate::{
    dispatcher::{
        attempt::{run::Run, spans},
        shared::{jitter, lock},
    },
    process::LogLimit,
    queue::Claimed,
    task::TaskId,
};
use std::{pin::pin, sync::Arc, time::Duration};

/// Poll interval of an instance that may not claim now.
const BLOCKED_INTERVAL: Duration = Duration::from_millis(500);
/// Poll interval of an idle instance. The process polls for waiting tasks more often, and wakes it.
const IDLE_INTERVAL: Duration = Duration::from_secs(30);
/// Number of waiting tasks searched for one that this instance may run.
const SEARCH_WINDOW: u32 = 32;
/// Largest number of attempts that still store outputs while the next one runs.
const COLLECTING_MAX: u32 = 4;
/// Tries of one claim.
const CLAIM_TRIES_MAX: u32 = 3;
/// Delay after a failed claim.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Claims tasks until the actor ends.
pub(crate) async fn run(instance: Arc<Instance>) {
    let slots = instance.shared.parts.settings.slots;
    loop {
        let collecting = instance.activity.collecting.load(std::sync::atomic::Ordering::Relaxed);
        let is_disk_low = instance.shared.parts.store.is_disk_low().await;
        if is_disk_low || !instance.may_claim() || instance.occupied() >= slots || collecting > COLLECTING_MAX {
            tokio::select! {
                () = instance.wake.claimer.notified() => {}
                // The pause after failed runs, and a stale lease, end without a notification.
                () = tokio::time::sleep(BLOCKED_INTERVAL) => {}
            }
            continue;
        }
        // Registered before the claim, or the wake-up for a task added in between would be lost.
        let mut work = pin!(instance.shared.work.notified());
        work.as_mut().enable();
        let nonce = TaskId::new().to_string();
        match claim(&instance, &nonce, slots + collecting).await {
            Some(Claimed::Task(claim)) => {
                tracing::info!(instance = %instance.target.id, task = %claim.task, attempt = %claim.attempt, "task claimed");
                spans::record_wait(&instance, &claim);
                Run::fresh(*claim).spawn(&instance);
            }
            Some(Claimed::Nothing) => {
                // No task waits, so what follows does not count as an idle gap.
                *lock(&instance.activity.idle_since) = None;
                tokio::select! {
                    () = work => {}
                    () = instance.wake.claimer.notified() => {}
                    () = tokio::time::sleep(IDLE_INTERVAL + jitter(IDLE_INTERVAL)) => {}
                }
            }
            None => {}
        }
    }
}

/// Claims with one nonce until Redis answers. The nonce makes Redis repeat a reply that was lost.
async fn claim(instance: &Instance, nonce: &str, slots: u32) -> Option<Claimed> {
    for _ in 0..CLAIM_TRIES_MAX {
        match instance.queue().claim(&instance.lease, nonce, slots, SEARCH_WINDOW).await {
            Ok(claimed) => return Some(claimed),
            Err(error) => {
                static LIMIT: LogLimit = LogLimit::new();
                if let Some(omitted) = LIMIT.admit() {
                    tracing::warn!(instance = %instance.target.id, %error, omitted, "claim failed; retrying");
                }
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
    // The next renewal adopts a task whose claim reply was lost.
    None
}
