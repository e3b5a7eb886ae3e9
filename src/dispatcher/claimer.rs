//! Claims tasks while the instance has a free slot.

use super::{attempt::Run, instance::Instance, jitter, spans};
use crate::{queue::Claimed, task::TaskId};
use std::{pin::pin, sync::Arc, time::Duration};

/// An idle instance looks by itself this often: wake-ups only make it faster.
const POLL: Duration = Duration::from_secs(2);
/// Tasks looked at for one that does not exclude this instance.
const WINDOW: u32 = 32;
/// Attempts that may still store outputs while the next one runs.
const COLLECTING_MAX: u32 = 4;
/// Pause after Redis did not answer.
const RETRY: Duration = Duration::from_millis(500);

/// Claims until the actor ends.
pub(super) async fn run(instance: Arc<Instance>) {
    let slots = instance.shared.parts.settings.slots;
    loop {
        let collecting = instance.collecting.load(std::sync::atomic::Ordering::Relaxed);
        if !instance.may_claim() || instance.occupied() >= slots || collecting > COLLECTING_MAX {
            tokio::select! {
                () = instance.changed.notified() => {}
                // A breaker's pause or a stale lease ends without news.
                () = tokio::time::sleep(POLL / 4) => {}
            }
            continue;
        }
        // Registered before the claim: a task added between the two would otherwise wake nobody.
        let mut work = pin!(instance.shared.work.notified());
        work.as_mut().enable();
        let nonce = TaskId::new().to_string();
        match claim(&instance, &nonce, slots + collecting).await {
            Some(Claimed::Task(claim)) => {
                tracing::info!(instance = %instance.target.id, task = %claim.task, attempt = %claim.attempt, "claimed");
                spans::record_wait(&instance, &claim);
                Run::fresh(*claim).spawn(&instance);
            }
            Some(Claimed::Nothing) => {
                // What follows is no gap between two tasks: nothing waited.
                *super::instance::lock(&instance.idle_since) = None;
                tokio::select! {
                    () = work => {}
                    () = instance.changed.notified() => {}
                    () = tokio::time::sleep(POLL + jitter(POLL)) => {}
                }
            }
            None => {}
        }
    }
}

/// Claims with one nonce until Redis answers: an answer that was lost on the way is given again.
async fn claim(instance: &Instance, nonce: &str, slots: u32) -> Option<Claimed> {
    for _ in 0..3 {
        match instance.queue().claim(&instance.lease, nonce, slots, WINDOW).await {
            Ok(claimed) => return Some(claimed),
            Err(error) => {
                tracing::warn!(instance = %instance.target.id, %error, "nothing could be claimed");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    // What a lost answer gave us is adopted at the next renewal.
    None
}
