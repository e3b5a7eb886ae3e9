//! Background tasks that serve all actors of a process.

use super::{instance::registry::Registry, shared::Shared};
use crate::{
    event::{Event, TaskChange},
    queue::FeedItem,
};
use std::{sync::Arc, time::Duration};

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

/// Passes cancels, config changes and switches on to the instances of this process.
pub(super) async fn follow_events(shared: Arc<Shared>, instances: Arc<Registry>) {
    loop {
        match shared.parts.queue.feed().await {
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
                        Event::Config { .. } => shared.config_changed.notify_one(),
                        Event::Instance(status) => {
                            if let Some(instance) = instances.get(&status.id) {
                                instance.set_enabled(status.enabled);
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
