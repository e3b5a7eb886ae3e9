//! The registry of sessions, and the one place where news of this process is put in order, serialised once and fanned out.
//!
//! Invariant: everything that decides "newer or older" happens under one lock together with the push into the outboxes, so
//! no session sees an older state of a task after a newer one. Nothing here writes to Redis.

use super::{
    close::Close,
    frames::{self, Subscribed},
    inbound::Refusal,
    known::{KnownTasks, event_of},
    limits::{Pace, RETRY_PAUSE, SNAPSHOT_TRIES},
    outbox::{Frame, Outbox},
    positioning,
    replay::{Ending, Replay},
    status::{self, StatusBoard},
    watch::{Sight, Watch},
};
use crate::{
    event::{Event, TaskEvent},
    metrics,
    queue::{self, News, Queue},
    task::{Links, Task, TaskId, TaskView},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The hub of one process: one subscription to Redis, any number of sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Queue,
    links: Links,
    stop: CancellationToken,
    pace: Pace,
    tracker: TaskTracker,
    state: Mutex<State>,
    status: StatusBoard,
    gap: Notify,
}

#[derive(Debug)]
struct State {
    sessions: HashMap<u64, Member>,
    next_session: u64,
    known: KnownTasks,
    replay: Replay,
    stopped: bool,
}

#[derive(Debug)]
struct Member {
    sight: Sight,
    watch: Watch,
    outbox: Arc<Outbox>,
}

/// A session's place in the hub; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    hub: Hub,
    number: u64,
    sight: Sight,
    /// What waits for the session.
    pub outbox: Arc<Outbox>,
}

impl Hub {
    /// Starts the hub's tasks; they end when `stop` is cancelled.
    pub fn start(queue: Queue, links: Links, stop: CancellationToken) -> Self {
        Self::start_with(queue, links, stop, Pace::default())
    }

    /// The same in another rhythm.
    pub fn start_with(queue: Queue, links: Links, stop: CancellationToken, pace: Pace) -> Self {
        let state = State {
            sessions: HashMap::new(),
            next_session: 0,
            known: KnownTasks::default(),
            replay: Replay::new(),
            stopped: false,
        };
        let hub = Self(Arc::new(Inner {
            queue,
            links,
            stop,
            pace,
            tracker: TaskTracker::new(),
            state: Mutex::new(state),
            status: StatusBoard::default(),
            gap: Notify::new(),
        }));
        hub.spawn(listen(hub.clone()));
        hub.spawn(positioning::run(hub.clone()));
        hub.spawn(status::run(hub.clone()));
        let stopping = hub.clone();
        hub.0.tracker.spawn(async move {
            stopping.stop().cancelled().await;
            stopping.close_all();
        });
        hub
    }

    /// Waits, at most so long, until every session has said goodbye and the hub's tasks have ended; only useful after the
    /// stop. A client that does not read holds its session for about three seconds.
    pub async fn drained(&self, limit: Duration) {
        self.0.tracker.close();
        if tokio::time::timeout(limit, self.0.tracker.wait()).await.is_err() {
            tracing::warn!(sessions = self.0.tracker.len(), "websockets were still open at the end of the drain");
        }
    }

    /// Open sessions, logged in.
    pub fn sessions(&self) -> usize {
        self.lock().sessions.len()
    }

    pub(super) fn pace(&self) -> Pace {
        self.0.pace
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    pub(super) fn status(&self) -> &StatusBoard {
        &self.0.status
    }

    pub(super) fn gap(&self) -> &Notify {
        &self.0.gap
    }

    /// Held by a session from its handshake on, so that [`Hub::drained`] waits for it.
    pub(super) fn track(&self) -> TaskTrackerToken {
        self.0.tracker.token()
    }

    pub(super) fn cursor(&self) -> String {
        self.lock().replay.cursor()
    }

    /// Takes a place; `first` is what the session hears before anything else.
    pub(super) fn join(&self, sight: Sight, first: Vec<Frame>) -> Seat {
        let outbox = Arc::new(Outbox::default());
        first.into_iter().for_each(|frame| outbox.push(frame));
        let mut state = self.lock();
        if state.stopped {
            outbox.close(Close::GOING_AWAY);
        }
        let number = state.next_session;
        state.next_session += 1;
        let member = Member { sight: sight.clone(), watch: Watch::all(), outbox: Arc::clone(&outbox) };
        state.sessions.insert(number, member);
        metrics::ws_opened();
        Seat { hub: self.clone(), number, sight, outbox }
    }

    /// Says something to everybody.
    pub(super) fn tell_all(&self, frame: &Frame) {
        self.lock().sessions.values().for_each(|member| member.outbox.push(frame.clone()));
    }

    /// Endings may be missing and cannot be made up for.
    pub(super) fn tell_resync(&self) {
        let cursor = self.cursor();
        self.tell_all(&frames::resync(&cursor, None));
    }

    /// Tells one task's news, unless something newer was told.
    pub(super) fn tell_task(&self, event: &TaskEvent) {
        self.lock().tell_task(event, &self.0.links);
    }

    /// Compares tasks as read with what was told; tells what is news.
    pub(super) fn observe(&self, tasks: &[Task]) {
        self.lock().observe(tasks, &self.0.links);
    }

    /// Looks at the table of known tasks.
    pub(super) fn with_known<T>(&self, look: impl FnOnce(&mut KnownTasks) -> T) -> T {
        look(&mut self.lock().known)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.0.stop.clone();
        self.0.tracker.spawn(async move { stop.run_until_cancelled(task).await });
    }

    fn close_all(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.sessions.values().for_each(|member| member.outbox.close(Close::GOING_AWAY));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, news: News) {
        match news {
            News::Gap => {
                self.status().config_changed();
                self.0.gap.notify_one();
            }
            News::Event(event) => match *event {
                Event::Task(event) => {
                    self.status().dirty();
                    self.tell_task(&event);
                }
                Event::Instance(instance) => status::hear_instance(self, instance),
                Event::Config { .. } => self.status().config_changed(),
            },
        }
    }
}

/// Moves news from Redis to the sessions.
async fn listen(hub: Hub) {
    let mut feed = loop {
        match hub.queue().feed().await {
            Ok(feed) => break feed,
            Err(error) => tracing::warn!(%error, "cannot subscribe to the events yet"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    };
    loop {
        let news = feed.next().await;
        hub.hear(news);
    }
}

impl State {
    fn tell_task(&mut self, event: &TaskEvent, links: &Links) {
        let percent = self.known.percent_of(event);
        if !self.known.admit(event) {
            return;
        }
        let is_ending = event.change.is_terminal();
        if self.sessions.is_empty() && !is_ending {
            return;
        }
        let cursor = if is_ending { self.replay.next_cursor() } else { String::new() };
        let Some(frame) = frames::task_event(event, links, percent, &cursor) else { return };
        for member in self.sessions.values() {
            if member.watch.wants(event.id) && member.sight.covers(&event.owner) {
                member.outbox.push(frame.clone());
            }
        }
        if is_ending {
            self.replay.push(Ending { task: event.id, owner: event.owner.clone(), frame });
        }
    }

    fn observe(&mut self, tasks: &[Task], links: &Links) {
        for task in tasks {
            if self.known.is_news(task) {
                self.tell_task(&event_of(task), links);
            }
        }
    }
}

impl Seat {
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
        state.observe(&tasks, &self.hub.0.links);
        let task_ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let unknown: Vec<TaskId> = ids.iter().filter(|id| !task_ids.contains(id)).copied().collect();
        let cursor = state.replay.cursor();
        let all = state.sessions.get(&self.number).is_some_and(|member| matches!(member.watch, Watch::AllBut(_)));
        let views = tasks.iter().map(|task| TaskView::new(task, &self.hub.0.links)).collect();
        let data = Subscribed { all, task_ids, unknown, tasks: views, cursor: &cursor };
        self.outbox.push(frames::subscribed(&data, request_id));
        for task in tasks.iter().filter(|task| task.state.is_terminal()) {
            if let Some(frame) = frames::task_event(&event_of(task), &self.hub.0.links, 0, &cursor) {
                self.outbox.push(frame);
            }
        }
        Ok(())
    }

    /// Answers a `get_task`.
    pub(super) async fn answer_task(&self, id: TaskId, request_id: Option<&str>) -> queue::Result<()> {
        let tasks = self.read(&[id]).await?;
        let mut state = self.hub.lock();
        state.observe(&tasks, &self.hub.0.links);
        self.outbox.push(match tasks.first() {
            Some(task) => frames::task(&TaskView::new(task, &self.hub.0.links), request_id),
            None => frames::error(&Refusal::new("not_found", "no such task"), request_id),
        });
        Ok(())
    }

    /// Sends again the endings after `cursor` that this session wants, or says that they are not all there.
    pub(super) fn replay(&self, cursor: &str, request_id: Option<&str>) {
        let state = self.hub.lock();
        let Some(member) = state.sessions.get(&self.number) else { return };
        match state.replay.since(cursor) {
            None => self.outbox.push(frames::resync(&state.replay.cursor(), request_id)),
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
