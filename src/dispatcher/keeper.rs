//! Keeps the lease, and reconciles what Redis says is in flight with what runs here.

use super::{attach, instance::Instance};
use crate::{
    clock::since_boot,
    queue::{InFlight, Renewed, Written},
    task::{Attempt, TaskId},
};
use std::{sync::Arc, time::Duration};

/// Renewals per lifetime of a lease.
const RENEWALS_PER_TTL: u32 = 3;
/// Pause after a renewal that Redis did not answer.
const RETRY: Duration = Duration::from_millis(250);

/// Renews until the lease is lost. An expired lease that nobody took is still ours: only Redis' word ends it.
pub(super) async fn run(instance: Arc<Instance>) {
    let ttl = instance.shared.parts.settings.lease_ttl;
    let period = ttl / RENEWALS_PER_TTL;
    let mut pause = period;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = instance.renew_now.notified() => {}
        }
        let before: Vec<_> = instance.run_ids();
        let sent = since_boot();
        match instance.queue().renew(&instance.lease, ttl).await {
            Ok(Renewed::Ours(in_flight)) => {
                instance.clock.renewed(sent);
                reconcile(&instance, &in_flight, &before).await;
                pause = period;
            }
            Ok(Renewed::Lost) => return instance.lost.cancel(),
            Err(error) => {
                tracing::warn!(instance = %instance.target.id, %error, "the lease could not be renewed");
                pause = RETRY.min(period);
            }
        }
    }
}

/// Adopts what a lost claim reply left, carries out cancels that were not heard, takes back what Redis forgot, ends what is
/// not ours any more.
async fn reconcile(instance: &Arc<Instance>, in_flight: &InFlight, before: &[(TaskId, Attempt)]) {
    attach::all(instance, in_flight);
    for (task, attempt) in before {
        if in_flight.tasks.contains(&(*task, *attempt)) {
            continue;
        }
        match attach::try_take_back(instance, *task, *attempt).await {
            Ok(Written::Done) => {}
            // Its slot is free (cancelled and collected, or ended by a verb whose answer is on its way): the attempt's own
            // next fenced write tells it so; here only a prompt that still runs is stopped.
            Ok(Written::Retrying | Written::AlreadyEnded(_) | Written::NotThisAttempt) => {
                instance.drop_run(*task, *attempt);
            }
            Ok(Written::Fenced) => return instance.lost.cancel(),
            Err(error) => {
                tracing::debug!(instance = %instance.target.id, %task, %error, "asked again at the next renewal");
            }
        }
    }
}
