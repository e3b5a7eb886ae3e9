//! Recovers events that pub/sub lost, so that no ending is missed: every ten seconds, and after every gap of the
//! subscription, compares the versions sent with those in Redis and publishes the missed states.

use super::{
    hub::Hub,
    limits::{CREATED_IN_GAP_MAX, RETRY_PAUSE, SEED_MAX, TASKS_PER_READ, VERSIONS_PER_READ},
    task_versions::{Drift, event_of},
};
use crate::{
    queue::{Result, TaskCursor, TaskQuery},
    settings::limits::PAGE_MAX,
    task::{Status, Task, TaskId},
};

/// Runs until dropped.
pub async fn run(hub: Hub) {
    let mut recovery = GapRecovery { hub, newest_ms: 0, newest_before_ms: 0 };
    while let Err(error) = recovery.start().await {
        tracing::debug!(%error, "reading unended tasks failed; retrying");
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    loop {
        tokio::select! {
            () = recovery.hub.gap().notified() => {
                while let Err(error) = recovery.recover().await {
                    tracing::debug!(%error, "gap recovery failed; retrying");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
            () = tokio::time::sleep(recovery.hub.timing().check) => {}
        }
        if let Err(error) = recovery.check().await {
            tracing::debug!(%error, "comparing task versions failed");
        }
    }
}

struct GapRecovery {
    hub: Hub,
    /// Creation time of the newest task at the last check (`newest_ms`) and at the one before: a subscription may be
    /// dead for a while before that is noticed. Unix ms of Redis.
    newest_ms: u64,
    newest_before_ms: u64,
}

impl GapRecovery {
    async fn start(&mut self) -> Result<()> {
        self.remember_newest().await?;
        self.newest_before_ms = self.newest_ms;
        self.record_unended(u64::MAX).await
    }

    /// Performs the regular check. Also finds tasks of which every message was lost, if they are among the newest.
    async fn check(&mut self) -> Result<()> {
        self.remember_newest().await?;
        self.find_created_since(self.newest_before_ms).await?;
        if self.compare().await? > 0 {
            self.hub.broadcast_resync();
        }
        Ok(())
    }

    /// Recovers from a gap: checks the known tasks, those created meanwhile, and all unended ones.
    async fn recover(&mut self) -> Result<()> {
        let was_complete = self.hub.with_versions(|known| known.is_complete());
        let vanished = self.compare().await?;
        let is_whole = self.find_created_since(self.newest_before_ms).await?;
        self.record_unended(self.newest_before_ms).await?;
        if !was_complete || !is_whole || vanished > 0 {
            self.hub.broadcast_resync();
        }
        Ok(())
    }

    /// Compares the known tasks with Redis, publishes the newer ones and returns how many no longer exist.
    async fn compare(&self) -> Result<usize> {
        let sent = self.hub.with_versions(|known| known.unended());
        let mut gone = 0;
        for chunk in sent.chunks(VERSIONS_PER_READ) {
            let ids: Vec<TaskId> = chunk.iter().map(|(id, _)| *id).collect();
            let found = self.hub.queue().versions(&ids).await?;
            let mut behind = Vec::new();
            self.hub.with_versions(|known| {
                for ((id, version), found) in chunk.iter().zip(found) {
                    match known.compare(*id, *version, found) {
                        Drift::Current => {}
                        Drift::Behind => behind.push(*id),
                        Drift::Gone => gone += 1,
                    }
                }
            });
            for ids in behind.chunks(TASKS_PER_READ) {
                let tasks = self.hub.queue().all_entries(ids).await?;
                self.hub.observe(&tasks);
            }
        }
        Ok(gone)
    }

    /// Publishes the unknown tasks created after `newest_ms`; returns false if there were more than
    /// [`CREATED_IN_GAP_MAX`]. Reads only the unknown ones: at every check nearly all are known.
    async fn find_created_since(&self, newest_ms: u64) -> Result<bool> {
        let (ids, is_whole) = self.hub.queue().created_since(newest_ms, CREATED_IN_GAP_MAX as u64).await?;
        let unknown: Vec<TaskId> =
            self.hub.with_versions(|known| ids.into_iter().filter(|id| !known.contains(*id)).collect());
        for ids in unknown.chunks(TASKS_PER_READ) {
            let tasks: Vec<Task> = self.hub.queue().tasks(ids).await?.into_iter().flatten().collect();
            self.publish_created_since(newest_ms, &tasks);
        }
        Ok(is_whole)
    }

    fn publish_created_since(&self, newest_ms: u64, tasks: &[Task]) {
        for task in tasks.iter().filter(|task| task.created_ms > newest_ms) {
            if !self.hub.with_versions(|known| known.contains(task.id)) {
                self.hub.publish(&event_of(task));
            }
        }
    }

    /// Records the unended tasks. Those created after `newest_ms` are published, because once a task is recorded its
    /// own event is dropped as known.
    async fn record_unended(&self, newest_ms: u64) -> Result<()> {
        let mut seen = 0;
        let mut cursor = None;
        loop {
            let (tasks, next) = self.page(&[Status::Pending, Status::Running], cursor).await?;
            seen += tasks.len();
            self.publish_created_since(newest_ms, &tasks);
            self.hub.observe(&tasks);
            if next.is_none() || seen >= SEED_MAX {
                let is_whole = next.is_none();
                self.hub.with_versions(|known| known.set_complete(is_whole));
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn remember_newest(&mut self) -> Result<()> {
        let query = TaskQuery { limit: 1, ..TaskQuery::default() };
        let page = self.hub.queue().list(&query).await?;
        self.newest_before_ms = self.newest_ms;
        self.newest_ms = page.items.first().map_or(0, |task| task.created_ms);
        Ok(())
    }

    async fn page(&self, statuses: &[Status], cursor: Option<TaskCursor>) -> Result<(Vec<Task>, Option<TaskCursor>)> {
        let query = TaskQuery { statuses: statuses.to_vec(), limit: PAGE_MAX, cursor, ..TaskQuery::default() };
        let page = self.hub.queue().list(&query).await?;
        Ok((page.items, page.next_cursor))
    }
}
