//! A session's place in the hub: what it watches, and the answers that must fit between the events it hears.

use super::{
    answers::{self, Subscribed},
    frames,
    hub::Hub,
    inbound::Refusal,
    known::event_of,
    limits::SNAPSHOT_TRIES,
    outbox::Outbox,
    watch::{Sight, Watch},
};
use crate::{
    metrics, queue,
    task::{Task, TaskId, TaskView},
};
use std::sync::Arc;

/// A session's place in the hub; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    hub: Hub,
    number: u64,
    sight: Sight,
    /// What waits for the session.
    pub outbox: Arc<Outbox>,
}

impl Seat {
    pub(super) fn new(hub: Hub, number: u64, sight: Sight, outbox: Arc<Outbox>) -> Self {
        Self { hub, number, sight, outbox }
    }

    /// Changes what the session hears.
    pub(super) fn change_watch<T>(&self, change: impl FnOnce(&mut Watch) -> T) -> Option<T> {
        let mut state = self.hub.lock();
        state.sessions.get_mut(&self.number).map(|member| change(&mut member.watch))
    }

    /// Answers a `subscribe` or `unsubscribe`: a snapshot of each task, none older than what the session has heard, then
    /// the endings of those that have ended, so that one handler of endings hears them all.
    pub(super) async fn answer_subscribed(&self, ids: &[TaskId], request_id: Option<&str>) -> queue::Result<()> {
        let tasks = self.read(ids).await?;
        let mut state = self.hub.lock();
        state.observe(&tasks, self.hub.links());
        let task_ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let unknown: Vec<TaskId> = ids.iter().filter(|id| !task_ids.contains(id)).copied().collect();
        let cursor = state.replay.cursor();
        let all = state.sessions.get(&self.number).is_some_and(|member| matches!(member.watch, Watch::AllBut(_)));
        let views = tasks.iter().map(|task| TaskView::new(task, self.hub.links())).collect();
        let data = Subscribed { all, task_ids, unknown, tasks: views, cursor: &cursor };
        self.outbox.push(answers::subscribed(&data, request_id));
        for task in tasks.iter().filter(|task| task.state.is_terminal()) {
            if let Some(frame) = frames::task_event(&event_of(task), self.hub.links(), 0, &cursor) {
                self.outbox.push(frame);
            }
        }
        Ok(())
    }

    /// Answers a `get_task`.
    pub(super) async fn answer_task(&self, id: TaskId, request_id: Option<&str>) -> queue::Result<()> {
        let tasks = self.read(&[id]).await?;
        let mut state = self.hub.lock();
        state.observe(&tasks, self.hub.links());
        self.outbox.push(match tasks.first() {
            Some(task) => answers::task(&TaskView::new(task, self.hub.links()), request_id),
            None => answers::error(&Refusal::new("not_found", "no such task"), request_id),
        });
        Ok(())
    }

    /// Sends again the endings after `cursor` that this session wants, or says that they are not all there.
    pub(super) fn replay(&self, cursor: &str, request_id: Option<&str>) {
        let state = self.hub.lock();
        let Some(member) = state.sessions.get(&self.number) else { return };
        match state.replay.since(cursor) {
            None => self.outbox.push(answers::resync(&state.replay.cursor(), request_id)),
            Some(endings) => endings
                .filter(|ending| member.watch.wants(ending.task) && member.sight.covers(&ending.owner))
                .for_each(|ending| self.outbox.push(ending.frame.clone())),
        }
    }

    /// Reads tasks that this session may see, again while events overtake the read.
    async fn read(&self, ids: &[TaskId]) -> queue::Result<Vec<Task>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut tries = 0;
        loop {
            let found = self.hub.queue().tasks(ids).await?;
            let tasks: Vec<Task> = found.into_iter().flatten().filter(|task| self.sight.covers(&task.owner)).collect();
            tries += 1;
            let overtaken = self.hub.with_known(|known| tasks.iter().any(|task| known.is_overtaken(task)));
            if !overtaken || tries >= SNAPSHOT_TRIES {
                return Ok(tasks);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.lock().sessions.remove(&self.number);
        metrics::ws_closed();
    }
}
