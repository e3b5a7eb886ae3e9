//! The registry of sessions, and the one place where news of this process is put in order, serialised once and fanned out.
//!
//! Invariant: everything that decides "newer or older" happens under one lock together with the push into the outboxes, so
//! no session sees an older state of a task after a newer one. Nothing here writes to Redis.

use super::{
    answers,
    close::Close,
    frames,
    known::{KnownTasks, event_of},
    limits::{LISTEN_WAIT, Pace, RETRY_PAUSE},
    outbox::{Frame, Outbox},
    positioning,
    replay::{Ending, Replay},
    seat::Seat,
    status::{self, StatusBoard},
    watch::{Sight, Watch},
};
use crate::{
    event::{Event, TaskEvent},
    metrics,
    queue::{News, Queue},
    task::{Links, Task},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, watch};
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
    /// Whether the subscription stands: what happens from then on is heard.
    listening: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) sessions: HashMap<u64, Member>,
    next_session: u64,
    pub(super) known: KnownTasks,
    pub(super) replay: Replay,
    stopped: bool,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) sight: Sight,
    pub(super) watch: Watch,
    outbox: Arc<Outbox>,
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
            listening: watch::Sender::new(false),
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

    /// Waits until what happens is heard, not for ever: a session that began earlier would miss what comes before.
    pub(super) async fn listening(&self) {
        let mut listening = self.0.listening.subscribe();
        if tokio::time::timeout(LISTEN_WAIT, listening.wait_for(|listening| *listening)).await.is_err() {
            tracing::warn!("a websocket begins before the events are heard");
        }
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
        Seat::new(self.clone(), number, sight, outbox)
    }

    /// Says something to everybody.
    pub(super) fn tell_all(&self, frame: &Frame) {
        self.lock().sessions.values().for_each(|member| member.outbox.push(frame.clone()));
    }

    /// Endings may be missing and cannot be made up for.
    pub(super) fn tell_resync(&self) {
        let cursor = self.cursor();
        self.tell_all(&answers::resync(&cursor, None));
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

    pub(super) fn links(&self) -> &Links {
        &self.0.links
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
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
    hub.0.listening.send_replace(true);
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

    pub(super) fn observe(&mut self, tasks: &[Task], links: &Links) {
        for task in tasks {
            if self.known.is_news(task) {
                self.tell_task(&event_of(task), links);
            }
        }
    }
}
