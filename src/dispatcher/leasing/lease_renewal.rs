//! Renews the lease of an instance, and reconciles the attempts in flight in Redis with the runs here.

use crate::{
    dispatcher::{
        attempt::restore_claim,
        instance::{reattach, state::Instance},
    },
    process::LogLimit,
    queue::{InFlight, Renewed, Written},
    task::{Attempt, TaskId},
};
use std::{sync::Arc, time::Duration};

/// Renewals per lease TTL.
pub(crate) const RENEWALS_PER_TTL: u32 = 3;
/// Delay after a failed renewal.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// Renews until the lease is lost. An expired lease that no dispatcher took over is still ours: only Redis ends it.
pub(crate) async fn run(instance: Arc<Instance>) {
    let ttl = instance.shared.parts.settings.lease_ttl;
    let period = ttl / RENEWALS_PER_TTL;
    let mut delay = period;
    loop {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = instance.wake.renewal.notified() => {}
        }
        let before: Vec<_> = instance.runs.ids();
        match instance.shared.renewals.renew(&instance.lease).await {
            Ok((sent, Renewed::Ours(in_flight))) => {
                instance.clock.renewed(sent);
                reconcile(&instance, &in_flight, &before).await;
                delay = period;
            }
            Ok((_, Renewed::Lost)) => return instance.lifetime.lost.cancel(),
            Err(error) => {
                static LIMIT: LogLimit = LogLimit::new();
                if let Some(omitted) = LIMIT.admit() {
                    tracing::warn!(instance = %instance.target.id, %error, omitted, "lease renewal failed; retrying");
                }
                delay = RETRY_DELAY.min(period);
            }
        }
    }
}

/// Adopts tasks whose claim reply was lost, executes cancels whose event was lost, reclaims attempts that Redis lost,
/// and cancels runs whose attempt has ended.
async fn reconcile(instance: &Arc<Instance>, in_flight: &InFlight, before: &[(TaskId, Attempt)]) {
    reattach::start_missing(instance, in_flight);
    for (task, attempt) in before {
        if in_flight.tasks.contains(&(*task, *attempt)) {
            continue;
        }
        match restore_claim::try_reclaim(instance, *task, *attempt).await {
            Ok(Written::Done) => {}
            // The slot is free already: the task was cancelled and cleaned up, or a settle is being answered. The run
            // learns this from its next fenced write; here only a prompt that still executes is stopped.
            Ok(Written::Retrying | Written::AlreadyEnded(_) | Written::NotThisAttempt) => {
                instance.runs.cancel(*task, *attempt);
            }
            Ok(Written::Fenced) => return instance.lifetime.lost.cancel(),
            Err(error) => {
                tracing::debug!(instance = %instance.target.id, %task, %attempt, %error, "attempt not reclaimed; retrying at the next renewal");
            }
        }
    }
}
