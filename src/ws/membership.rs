//! A session's membership in the hub: its subscription, and replies ordered with its events.

use super::{
    frames,
    hub::Hub,
    limits::SNAPSHOT_TRIES,
    outbox::{Frame, Outbox},
    replies::{self, Subscribed},
    requests::Refusal,
    subscription::{Subscription, Visibility},
    task_versions::event_of,
};
use crate::{
    metrics, queue,
    task::{Task, TaskId, TaskView},
};
use std::sync::Arc;

/// A session's membership in the hub; ends when dropped.
#[derive(Debug)]
pub struct Membership {
    hub: Hub,
    number: u64,
    visibility: Visibility,
    /// Frames waiting to be sent.
    pub outbox: Arc<Outbox>,
}

impl Membership {
    pub(super) fn new(hub: Hub, number: u64, visibility: Visibility, outbox: Arc<Outbox>) -> Self {
        Self { hub, number, visibility, outbox }
    }

    /// Changes the session's subscription.
    pub(super) fn update_subscription<T>(&self, change: impl FnOnce(&mut Subscription) -> T) -> Option<T> {
        let mut state = self.hub.lock();
        state.sessions.get_mut(&self.number).map(|member| change(&mut member.subscription))
    }

    /// Answers a `subscribe` or `unsubscribe`: a snapshot of each task, then the endings of the tasks that have ended,
    /// so that a client needs one handler only for endings.
    pub(super) async fn answer_subscribed(&self, ids: &[TaskId], request_id: Option<&str>) -> queue::Result<()> {
        let all =
            self.update_subscription(|subscription| matches!(subscription, Subscription::AllBut(_))).unwrap_or(false);
        // Taken before the read: endings in between are sent now and can also be replayed from this cursor.
        let cursor = self.hub.cursor();
        let links = self.hub.links();
        self.answer(ids, |tasks| {
            let task_ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
            let unknown: Vec<TaskId> = ids.iter().filter(|id| !task_ids.contains(id)).copied().collect();
            let views = tasks.iter().map(|task| TaskView::new(task, links)).collect();
            let data = Subscribed { all, task_ids, unknown, tasks: views, cursor: &cursor };
            let ended = tasks.iter().filter(|task| task.state.is_terminal());
            let endings = ended.filter_map(|task| frames::task_event(&event_of(task), links, 0, &cursor));
            std::iter::once(replies::subscribed(&data, request_id)).chain(endings).collect()
        })
        .await
    }

    /// Answers a `get_task`.
    pub(super) async fn answer_task(&self, id: TaskId, request_id: Option<&str>) -> queue::Result<()> {
        let links = self.hub.links();
        self.answer(&[id], |tasks| {
            vec![match tasks.first() {
                Some(task) => replies::task(&TaskView::new(task, links), request_id),
                None => replies::error(&Refusal::new("not_found", "no such task"), request_id),
            }]
        })
        .await
    }

    /// Resends the endings after `cursor` that this session wants, or sends `resync` if some of them are gone.
    pub(super) fn replay(&self, cursor: &str, request_id: Option<&str>) {
        let state = self.hub.lock();
        let Some(member) = state.sessions.get(&self.number) else { return };
        match state.replay.since(cursor) {
            None => self.outbox.push(replies::resync(&state.replay.cursor(), request_id)),
            Some(endings) => endings
                .filter(|ending| member.subscription.wants(ending.task) && member.visibility.covers(&ending.owner))
                // Revived since: the old ending no longer holds, and the next ending will be published.
                .filter(|ending| !state.known.is_alive(ending.task))
                .for_each(|ending| self.outbox.push(ending.frame.clone())),
        }
    }

    /// Reads the tasks that this session may see and sends the frames that `write` makes of them. None of them is older
    /// than an event already sent: tasks that an event has overtaken are read again. Frames are serialised outside the
    /// hub's lock and pushed inside.
    async fn answer(&self, ids: &[TaskId], write: impl Fn(&[Task]) -> Vec<Frame>) -> queue::Result<()> {
        let mut tasks = self.read(ids).await?;
        for tries_left in (0..SNAPSHOT_TRIES).rev() {
            let mut frames = write(&tasks);
            let overtaken: Vec<TaskId> = {
                let mut state = self.hub.lock();
                let overtaken = tasks.iter().filter(|task| state.known.is_outdated(task)).map(|task| task.id).collect();
                if Vec::is_empty(&overtaken) || tries_left == 0 {
                    if !Vec::is_empty(&overtaken) {
                        tasks.iter_mut().for_each(|task| state.known.raise_to_sent(task));
                        frames = write(&tasks);
                    }
                    state.observe(&tasks, self.hub.links());
                    frames.into_iter().for_each(|frame| self.outbox.push(frame));
                    return Ok(());
                }
                overtaken
            };
            for newer in self.read(&overtaken).await? {
                if let Some(task) = tasks.iter_mut().find(|task| task.id == newer.id) {
                    *task = newer;
                }
            }
        }
        Ok(())
    }

    async fn read(&self, ids: &[TaskId]) -> queue::Result<Vec<Task>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.hub.queue().tasks(ids).await?;
        Ok(found.into_iter().flatten().filter(|task| self.visibility.covers(&task.owner)).collect())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.hub.lock().sessions.remove(&self.number);
        metrics::ws_closed();
    }
}
