//! Background tasks that serve all actors of a process.

use super::{
    instance::registry::Registry,
    leasing::lease_renewal::RENEWALS_PER_TTL,
    shared::{Shared, jitter},
};
use crate::{
    event::{Event, TaskChange},
    queue::FeedItem,
};
use std::{sync::Arc, time::Duration};

/// Shortest interval between two polls for work.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Number of unreferenced objects deleted per batch.
const OBJECTS_PER_BATCH: u64 = 100;
/// Interval between two collections of unreferenced objects.
const OBJECTS_INTERVAL: Duration = Duration::from_secs(5);

/// Wakes idle claimers when tasks are added.
pub(super) async fn wake_claimers(shared: Arc<Shared>) {
    loop {
        match shared.parts.queue.wakeups().await {
            Ok(mut wakeups) => loop {
                for _ in 0..wakeups.next().await {
                    shared.work.notify_one();
                }
            },
            Err(error) => {
                tracing::warn!(%error, "wake-up subscription failed; claimers poll meanwhile");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Polls for waiting and restricted tasks, once for all instances of this process. Wakes all idle claimers while tasks
/// wait: wake-ups may be lost, and a task may become claimable without one.
pub(super) async fn poll_work(shared: Arc<Shared>) {
    loop {
        match shared.parts.queue.work().await {
            Ok(work) => {
                if work.waiting > 0 {
                    shared.work.notify_waiters();
                }
                shared.restricted.send_replace(Some(work.restricted));
            }
            Err(error) => {
                tracing::debug!(%error, "poll for work failed; retrying");
                shared.restricted.send_replace(None);
            }
        }
        tokio::time::sleep(POLL_INTERVAL + jitter(POLL_INTERVAL)).await;
    }
}

/// Renews the leases of this process.
pub(super) async fn renew_leases(shared: Arc<Shared>) {
    let ttl = shared.parts.settings.lease_ttl;
    shared.renewals.run(&shared.parts.queue, ttl, ttl / RENEWALS_PER_TTL).await;
}

/// Writes the progress of all attempts of this process.
pub(super) async fn write_progress(shared: Arc<Shared>) {
    shared.progress.run(&shared.parts.queue).await;
}

/// Passes cancels, config changes and switches on to the instances of this process.
pub(super) async fn follow_events(shared: Arc<Shared>, instances: Arc<Registry>) {
    loop {
        match shared.parts.queue.control_feed().await {
            Ok(mut feed) => loop {
                match feed.next().await {
                    FeedItem::Event(event) => match *event {
                        Event::Task(task) => {
                            if let (TaskChange::Cancelled, Some(id)) = (&task.change, &task.instance)
                                && let Some(instance) = instances.get(id)
                            {
                                instance.runs.cancel_task(task.id);
                            }
                        }
                        Event::Catalogs { .. } => instances.want_catalogs(),
                        Event::Config { .. } => shared.config_changed.notify_one(),
                        Event::Instance(status) => {
                            if let Some(instance) = instances.get(&status.id) {
                                instance.set_enabled(status.enabled);
                                if instance.quarantine.set(status.quarantine) {
                                    instance.wake.health_check.notify_one();
                                    instance.wake.claimer.notify_one();
                                }
                            }
                        }
                    },
                    FeedItem::Gap => {
                        // A Redis that lost its last writes must learn the attempts in flight before tasks are claimed.
                        instances.renew_all();
                        shared.config_changed.notify_one();
                    }
                }
            },
            Err(error) => {
                tracing::warn!(%error, "event subscription failed; cancels wait for the next lease renewal");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Deletes objects that no file refers to any more.
pub(super) async fn delete_unreferenced(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(OBJECTS_INTERVAL).await;
        while let Ok(objects) = shared.parts.queue.take_orphan_objects(OBJECTS_PER_BATCH).await {
            let is_last = (objects.len() as u64) < OBJECTS_PER_BATCH;
            for object in objects {
                if let Err(error) = shared.parts.store.delete(object).await {
                    tracing::warn!(%object, %error, "unreferenced object not deleted");
                }
            }
            if is_last {
                break;
            }
        }
    }
}
