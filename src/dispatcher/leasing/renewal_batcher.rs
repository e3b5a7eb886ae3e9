//! Renews the leases of a process together: those that are due within a moment share a call.

use crate::{
    clock::since_boot,
    dispatcher::shared::lock,
    queue::{Error, Lease, Queue, Renewed, Result},
};
use futures_util::future::join_all;
use std::{sync::Mutex, time::Duration};
use tokio::sync::{Notify, oneshot};

/// Share of the renewal period for which a renewal waits for others.
const GATHER_SHARE: u32 = 10;
/// Maximum number of leases in one call: about a millisecond of Redis.
const BATCH_MAX: usize = 100;

/// Renewals that wait for the next call.
#[derive(Debug, Default)]
pub(crate) struct RenewalBatcher {
    waiting: Mutex<Vec<Waiting>>,
    added: Notify,
}

#[derive(Debug)]
struct Waiting {
    lease: Lease,
    answer: oneshot::Sender<Result<(Duration, Renewed)>>,
}

impl RenewalBatcher {
    /// Renews a lease. Returns the time since boot at which the renewal was sent, and its answer.
    pub(crate) async fn renew(&self, lease: &Lease) -> Result<(Duration, Renewed)> {
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).push(Waiting { lease: lease.clone(), answer });
        self.added.notify_one();
        answered.await.unwrap_or_else(|_| Err(Error::Unavailable("renewals have stopped".to_owned())))
    }

    /// Sends renewals every `period / 10` until it is dropped.
    pub(crate) async fn run(&self, queue: &Queue, ttl: Duration, period: Duration) {
        loop {
            self.added.notified().await;
            tokio::time::sleep(period / GATHER_SHARE).await;
            let mut waiting = std::mem::take(&mut *lock(&self.waiting));
            let mut calls = Vec::new();
            while !waiting.is_empty() {
                let rest = waiting.split_off(waiting.len().min(BATCH_MAX));
                calls.push(renew(queue, ttl, std::mem::replace(&mut waiting, rest)));
            }
            join_all(calls).await;
        }
    }
}

async fn renew(queue: &Queue, ttl: Duration, batch: Vec<Waiting>) {
    let sent = since_boot();
    let leases: Vec<&Lease> = batch.iter().map(|waiting| &waiting.lease).collect();
    let mut renewed = queue.renew_many(&leases, ttl).await.map(Vec::into_iter);
    for Waiting { answer, .. } in batch {
        let renewed = match &mut renewed {
            Ok(renewed) => renewed.next().unwrap_or_else(|| Err(Error::Corrupt("renew.lua: no reply".to_owned()))),
            Err(error) => Err(error.clone()),
        };
        // Fails only if the actor has ended.
        let _ended = answer.send(renewed.map(|renewed| (sent, renewed)));
    }
}
