//! The registry of sessions, and the one place where events are ordered, serialised once and sent to all sessions.
//!
//! Invariant: versions are compared and frames pushed into the outboxes under one lock, so no session sees an older
//! state of a task after a newer one. Nothing here writes to Redis.

use super::{
    close::Close,
    frames, gap_recovery,
    limits::{LISTEN_WAIT, RETRY_PAUSE, Timing},
    membership::Membership,
    outbox::{Frame, Outbox},
    replay::{Replay, ReplayedEnding},
    replies,
    status_broadcast::{self, StatusBoard},
    subscription::{Subscription, Visibility},
    task_versions::{TaskVersions, event_of},
};
use crate::{
    event::{Event, TaskEvent},
    metrics,
    queue::{FeedItem, Queue},
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
    timing: Timing,
    tracker: TaskTracker,
    state: Mutex<State>,
    status: StatusBoard,
    gap: Notify,
    /// Whether the subscription to Redis is established.
    listening: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) sessions: HashMap<u64, Member>,
    next_session: u64,
    pub(super) known: TaskVersions,
    pub(super) replay: Replay,
    stopped: bool,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) visibility: Visibility,
    pub(super) subscription: Subscription,
    outbox: Arc<Outbox>,
}

impl Hub {
    /// Starts the hub's tasks; they end when `stop` is cancelled.
    pub fn start(queue: Queue, links: Links, stop: CancellationToken) -> Self {
        Self::start_with(queue, links, stop, Timing::default())
    }

    /// Starts the hub's tasks with other intervals and timeouts.
    pub fn start_with(queue: Queue, links: Links, stop: CancellationToken, timing: Timing) -> Self {
        let state = State {
            sessions: HashMap::new(),
            next_session: 0,
            known: TaskVersions::default(),
            replay: Replay::new(),
            stopped: false,
        };
        let hub = Self(Arc::new(Inner {
            queue,
            links,
            stop,
            timing,
            tracker: TaskTracker::new(),
            state: Mutex::new(state),
            status: StatusBoard::default(),
            gap: Notify::new(),
            listening: watch::Sender::new(false),
        }));
        hub.spawn(listen(hub.clone()));
        hub.spawn(gap_recovery::run(hub.clone()));
        hub.spawn(status_broadcast::run(hub.clone()));
        let stopping = hub.clone();
        hub.0.tracker.spawn(async move {
            stopping.stop().cancelled().await;
            stopping.close_all();
        });
        hub
    }

    /// Waits, at most `limit`, until every session has closed and the hub's tasks have ended; only useful after `stop`
    /// was cancelled. A client that does not read keeps its session open for about three seconds.
    pub async fn drained(&self, limit: Duration) {
        self.0.tracker.close();
        if tokio::time::timeout(limit, self.0.tracker.wait()).await.is_err() {
            tracing::warn!(sessions = self.0.tracker.len(), "websockets still open after the drain limit");
        }
    }

    /// Returns the number of open, logged-in sessions.
    pub fn sessions(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Waits, at most [`LISTEN_WAIT`], until the subscription to Redis is established: a session that joined earlier
    /// would miss the events published before.
    pub(super) async fn listening(&self) {
        let mut listening = self.0.listening.subscribe();
        if tokio::time::timeout(LISTEN_WAIT, listening.wait_for(|listening| *listening)).await.is_err() {
            tracing::warn!("websocket session starts before the subscription to redis is established");
        }
    }

    pub(super) fn timing(&self) -> Timing {
        self.0.timing
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

    /// Returns a token that a session holds from its handshake on, so that [`Hub::drained`] waits for it.
    pub(super) fn track(&self) -> TaskTrackerToken {
        self.0.tracker.token()
    }

    pub(super) fn cursor(&self) -> String {
        self.lock().replay.cursor()
    }

    /// Adds a session to the hub; `first` holds the frames that it gets before any other.
    pub(super) fn join(&self, visibility: Visibility, first: Vec<Frame>) -> Membership {
        let outbox = Arc::new(Outbox::default());
        first.into_iter().for_each(|frame| outbox.push(frame));
        let mut state = self.lock();
        if state.stopped {
            outbox.close(Close::GOING_AWAY);
        }
        let number = state.next_session;
        state.next_session += 1;
        let member =
            Member { visibility: visibility.clone(), subscription: Subscription::all(), outbox: Arc::clone(&outbox) };
        state.sessions.insert(number, member);
        metrics::ws_opened();
        Membership::new(self.clone(), number, visibility, outbox)
    }

    /// Sends a frame to all sessions.
    pub(super) fn broadcast(&self, frame: &Frame) {
        self.lock().sessions.values().for_each(|member| member.outbox.push(frame.clone()));
    }

    /// Sends `resync` to all clients: endings may be missing and cannot be recovered.
    pub(super) fn broadcast_resync(&self) {
        let cursor = self.cursor();
        self.broadcast(&replies::resync(&cursor, None));
    }

    /// Sends a task event to the sessions that want it, unless a newer one was sent.
    pub(super) fn publish(&self, event: &TaskEvent) {
        self.lock().publish(event, &self.0.links);
    }

    /// Publishes those of the tasks read from Redis that are newer than the last event sent.
    pub(super) fn observe(&self, tasks: &[Task]) {
        self.lock().observe(tasks, &self.0.links);
    }

    /// Gives access to the table of task versions.
    pub(super) fn with_versions<T>(&self, read: impl FnOnce(&mut TaskVersions) -> T) -> T {
        read(&mut self.lock().known)
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

    fn on_feed_item(&self, item: FeedItem) {
        match item {
            FeedItem::Gap => {
                self.status().invalidate_config();
                self.0.gap.notify_one();
            }
            FeedItem::Event(event) => match *event {
                Event::Task(event) => {
                    status_broadcast::on_task(self, &event);
                    self.publish(&event);
                }
                Event::Instance(instance) => status_broadcast::on_instance(self, *instance),
                // Only for dispatchers.
                Event::Catalogs { .. } => {}
                Event::Config { .. } => self.status().invalidate_config(),
            },
        }
    }
}

/// Forwards events from Redis to the sessions.
async fn listen(hub: Hub) {
    let mut feed = loop {
        match hub.queue().feed().await {
            Ok(feed) => break feed,
            Err(error) => tracing::warn!(%error, "subscribing to task events failed; retrying"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    };
    hub.0.listening.send_replace(true);
    loop {
        let item = feed.next().await;
        hub.on_feed_item(item);
    }
}

impl State {
    fn publish(&mut self, event: &TaskEvent, links: &Links) {
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
            if member.subscription.wants(event.id) && member.visibility.covers(&event.owner) {
                member.outbox.push(frame.clone());
            }
        }
        if is_ending {
            self.replay.push(ReplayedEnding { task: event.id, owner: event.owner.clone(), frame });
        }
    }

    pub(super) fn observe(&mut self, tasks: &[Task], links: &Links) {
        for task in tasks {
            if self.known.is_news(task) {
                self.publish(&event_of(task), links);
            }
        }
    }
}
