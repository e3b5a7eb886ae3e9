//! A session's membership in the hub: its subscription, and replies ordered with its events.

use super::{
    frames,
    hub::Hub,
    limits::{SNAPSHOT_FACTS_BYTES, SNAPSHOT_TRIES, SNAPSHOTS_BYTES_MAX},
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

    /// Answers a `subscribe` or `unsubscribe` for the first of these tasks, at most 4 MiB of them: a snapshot of each
    /// task, then the endings of the tasks that have ended, so that a client needs one handler only for endings. Returns
    /// the number of tasks answered.
    pub(super) async fn answer_subscribed(&self, ids: &[TaskId], request_id: Option<&str>) -> queue::Result<usize> {
        let all =
            self.update_subscription(|subscription| matches!(subscription, Subscription::AllBut(_))).unwrap_or(false);
        // Taken before the read: endings in between are sent now and can also be replayed from this cursor.
        let cursor = self.hub.cursor();
        let links = self.hub.links();
        let (piece, tasks) = self.read_piece(ids).await?;
        let more = piece.len() < ids.len();
        self.answer(tasks, |tasks| {
            let task_ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
            let unknown: Vec<TaskId> = piece.iter().filter(|id| !task_ids.contains(id)).copied().collect();
            let views = tasks.iter().map(|task| TaskView::new(task, links)).collect();
            let data = Subscribed { all, task_ids, unknown, tasks: views, more, cursor: &cursor };
            let ended = tasks.iter().filter(|task| task.state.is_terminal());
            let endings = ended.filter_map(|task| frames::task_event(&event_of(task), links, 0, &cursor));
            let endings = endings.map(Frame::into_reply);
            std::iter::once(replies::subscribed(&data, request_id)).chain(endings).collect()
        })
        .await?;
        Ok(piece.len())
    }

    /// Answers a `get_task`.
    pub(super) async fn answer_task(&self, id: TaskId, request_id: Option<&str>) -> queue::Result<()> {
        let links = self.hub.links();
        let found = self.hub.queue().task(id).await?;
        self.answer(self.visible([found]), |tasks| {
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
                .for_each(|ending| self.outbox.push(ending.frame.clone().into_reply())),
        }
    }

    /// Sends the frames that `write` makes of these tasks. None of them is older than an event already sent: tasks that
    /// an event has overtaken are read again. Frames are serialised outside the hub's lock and pushed inside.
    async fn answer(&self, mut tasks: Vec<Task>, write: impl Fn(&[Task]) -> Vec<Frame>) -> queue::Result<()> {
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
            let newer = self.hub.queue().all_entries(&overtaken).await?;
            for newer in self.visible(newer.into_iter().map(Some)) {
                if let Some(task) = tasks.iter_mut().find(|task| task.id == newer.id) {
                    *task = newer;
                }
            }
        }
        Ok(())
    }

    /// Reads the first of these tasks, at most [`SNAPSHOTS_BYTES_MAX`] of snapshots but at least one. Returns their ids,
    /// and those of them that exist and that this session may see.
    async fn read_piece<'a>(&self, ids: &'a [TaskId]) -> queue::Result<(&'a [TaskId], Vec<Task>)> {
        let (mut tasks, mut bytes, mut count) = (Vec::new(), 0, 0);
        while count < ids.len() && bytes < SNAPSHOTS_BYTES_MAX {
            let found = self.hub.queue().entries(&ids[count..]).await?;
            for task in found {
                // Its ending repeats the outputs.
                bytes += task.as_ref().map_or(0, |task| SNAPSHOT_FACTS_BYTES + 2 * task.size());
                if bytes > SNAPSHOTS_BYTES_MAX && count > 0 {
                    break;
                }
                tasks.extend(self.visible([task]));
                count += 1;
            }
        }
        Ok((&ids[..count], tasks))
    }

    /// Returns those of the tasks that this session may see.
    fn visible(&self, tasks: impl IntoIterator<Item = Option<Task>>) -> Vec<Task> {
        tasks.into_iter().flatten().filter(|task| self.visibility.covers(&task.owner)).collect()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.hub.lock().sessions.remove(&self.number);
        metrics::ws_closed();
    }
}
