//! A session's place in the hub: what it watches, and the answers that must fit between the events it hears.

use super::{
    answers::{self, Subscribed},
    frames,
    hub::Hub,
    inbound::Refusal,
    known::event_of,
    limits::SNAPSHOT_TRIES,
    outbox::{Frame, Outbox},
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

    /// Answers a `subscribe` or `unsubscribe`: a snapshot of each task, then the endings of those that have ended, so that
    /// one handler of endings hears them all.
    pub(super) async fn answer_subscribed(&self, ids: &[TaskId], request_id: Option<&str>) -> queue::Result<()> {
        let all = self.change_watch(|watch| matches!(watch, Watch::AllBut(_))).unwrap_or(false);
        // Taken before the read: what ends meanwhile is told, and can be replayed again.
        let cursor = self.hub.cursor();
        let links = self.hub.links();
        self.answer(ids, |tasks| {
            let task_ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
            let unknown: Vec<TaskId> = ids.iter().filter(|id| !task_ids.contains(id)).copied().collect();
            let views = tasks.iter().map(|task| TaskView::new(task, links)).collect();
            let data = Subscribed { all, task_ids, unknown, tasks: views, cursor: &cursor };
            let ended = tasks.iter().filter(|task| task.state.is_terminal());
            let endings = ended.filter_map(|task| frames::task_event(&event_of(task), links, 0, &cursor));
            std::iter::once(answers::subscribed(&data, request_id)).chain(endings).collect()
        })
        .await
    }

    /// Answers a `get_task`.
    pub(super) async fn answer_task(&self, id: TaskId, request_id: Option<&str>) -> queue::Result<()> {
        let links = self.hub.links();
        self.answer(&[id], |tasks| {
            vec![match tasks.first() {
                Some(task) => answers::task(&TaskView::new(task, links), request_id),
                None => answers::error(&Refusal::new("not_found", "no such task"), request_id),
            }]
        })
        .await
    }

    /// Sends again the endings after `cursor` that this session wants, or says that they are not all there.
    pub(super) fn replay(&self, cursor: &str, request_id: Option<&str>) {
        let state = self.hub.lock();
        let Some(member) = state.sessions.get(&self.number) else { return };
        match state.replay.since(cursor) {
            None => self.outbox.push(answers::resync(&state.replay.cursor(), request_id)),
            Some(endings) => endings
                .filter(|ending| member.watch.wants(ending.task) && member.sight.covers(&ending.owner))
                // Revived since: what it told is not true any more, and its next ending will be heard.
                .filter(|ending| !state.known.is_alive(ending.task))
                .for_each(|ending| self.outbox.push(ending.frame.clone())),
        }
    }

    /// Reads the tasks that this session may see and says what `write` makes of them, none of it older than what the session
    /// has heard: a task that an event overtook is read again. Written outside of the hub's lock, said inside.
    async fn answer(&self, ids: &[TaskId], write: impl Fn(&[Task]) -> Vec<Frame>) -> queue::Result<()> {
        let mut tasks = self.read(ids).await?;
        for tries_left in (0..SNAPSHOT_TRIES).rev() {
            let mut frames = write(&tasks);
            let overtaken: Vec<TaskId> = {
                let mut state = self.hub.lock();
                let overtaken =
                    tasks.iter().filter(|task| state.known.is_overtaken(task)).map(|task| task.id).collect();
                if Vec::is_empty(&overtaken) || tries_left == 0 {
                    if !Vec::is_empty(&overtaken) {
                        tasks.iter_mut().for_each(|task| state.known.raise(task));
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
        Ok(found.into_iter().flatten().filter(|task| self.sight.covers(&task.owner)).collect())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.lock().sessions.remove(&self.number);
        metrics::ws_closed();
    }
}
