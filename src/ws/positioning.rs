//! Turns at-most-once pub/sub into "no ending is missed": every ten seconds, and after every gap of the subscription, the
//! versions told are compared with those in Redis, and what was missed is told as if it had been published.

use super::{
    hub::Hub,
    known::{Position, event_of},
    limits::{BORN_IN_GAP_MAX, RETRY_PAUSE, SEED_MAX, TASKS_PER_READ, VERSIONS_PER_READ},
};
use crate::{
    queue::{Result, TaskCursor, TaskQuery},
    settings::limits::PAGE_MAX,
    task::{Status, Task, TaskId},
};

/// Runs until it is dropped.
pub async fn run(hub: Hub) {
    let mut positioner = Positioner { hub, newest_ms: 0, newest_before_ms: 0 };
    while let Err(error) = positioner.begin().await {
        tracing::debug!(%error, "cannot read the unended tasks yet");
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    loop {
        tokio::select! {
            () = positioner.hub.gap().notified() => {
                while let Err(error) = positioner.heal().await {
                    tracing::debug!(%error, "cannot read what was missed yet");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
            () = tokio::time::sleep(positioner.hub.pace().check) => {}
        }
        if let Err(error) = positioner.check().await {
            tracing::debug!(%error, "cannot compare versions");
        }
    }
}

struct Positioner {
    hub: Hub,
    /// When the newest task was created, as of the last check and of the one before: a subscription may be dead for a
    /// while before it says so.
    newest_ms: u64,
    newest_before_ms: u64,
}

impl Positioner {
    async fn begin(&mut self) -> Result<()> {
        self.remember_newest().await?;
        self.newest_before_ms = self.newest_ms;
        self.learn_unended(u64::MAX).await
    }

    /// The regular look. Tasks of which not one message came are found, too, as long as they are among the newest.
    async fn check(&mut self) -> Result<()> {
        self.remember_newest().await?;
        self.find_born_since(self.newest_before_ms).await?;
        if self.compare().await? > 0 {
            self.hub.tell_resync();
        }
        Ok(())
    }

    /// After a gap: what was known, what was born meanwhile, and what is unended now.
    async fn heal(&mut self) -> Result<()> {
        let was_complete = self.hub.with_known(|known| known.is_complete());
        let vanished = self.compare().await?;
        let is_whole = self.find_born_since(self.newest_before_ms).await?;
        self.learn_unended(self.newest_before_ms).await?;
        if !was_complete || !is_whole || vanished > 0 {
            self.hub.tell_resync();
        }
        Ok(())
    }

    /// Gives how many known tasks do not exist any more.
    async fn compare(&self) -> Result<usize> {
        let told = self.hub.with_known(|known| known.unended());
        let mut gone = 0;
        for chunk in told.chunks(VERSIONS_PER_READ) {
            let ids: Vec<TaskId> = chunk.iter().map(|(id, _)| *id).collect();
            let found = self.hub.queue().versions(&ids).await?;
            let mut behind = Vec::new();
            self.hub.with_known(|known| {
                for ((id, version), found) in chunk.iter().zip(found) {
                    match known.position(*id, *version, found) {
                        Position::Current => {}
                        Position::Behind => behind.push(*id),
                        Position::Gone => gone += 1,
                    }
                }
            });
            for ids in behind.chunks(TASKS_PER_READ) {
                let tasks: Vec<Task> = self.hub.queue().tasks(ids).await?.into_iter().flatten().collect();
                self.hub.observe(&tasks);
            }
        }
        Ok(gone)
    }

    /// Tells the tasks that were created after `newest_ms` and that nobody told of; false = there were too many.
    async fn find_born_since(&self, newest_ms: u64) -> Result<bool> {
        let mut seen = 0;
        let mut cursor = None;
        loop {
            let (tasks, next) = self.page(&[], cursor).await?;
            let newer = tasks.iter().filter(|task| task.created_ms > newest_ms).count();
            let is_last = (newer as u64) < PAGE_MAX || next.is_none();
            self.tell_born_since(newest_ms, &tasks);
            seen += newer;
            if is_last || seen >= BORN_IN_GAP_MAX {
                return Ok(is_last);
            }
            cursor = next;
        }
    }

    fn tell_born_since(&self, newest_ms: u64, tasks: &[Task]) {
        for task in tasks.iter().filter(|task| task.created_ms > newest_ms) {
            if !self.hub.with_known(|known| known.contains(task.id)) {
                self.hub.tell_task(&event_of(task));
            }
        }
    }

    /// Notes the unended tasks; one born after `newest_ms` is told, for once it is noted its own event is no news any more.
    async fn learn_unended(&self, newest_ms: u64) -> Result<()> {
        let mut seen = 0;
        let mut cursor = None;
        loop {
            let (tasks, next) = self.page(&[Status::Pending, Status::Running], cursor).await?;
            seen += tasks.len();
            self.tell_born_since(newest_ms, &tasks);
            self.hub.observe(&tasks);
            if next.is_none() || seen >= SEED_MAX {
                let is_whole = next.is_none();
                self.hub.with_known(|known| known.set_complete(is_whole));
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
