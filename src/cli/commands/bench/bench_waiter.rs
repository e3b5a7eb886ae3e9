//! The endings of many tasks over one WebSocket, for `bench`: each waiter is woken by the ending of its task.

use crate::cli::{
    client::{
        event_stream::{EventStream, Next},
        rest::Api,
    },
    error::Error,
    term::format::{is_ended, text},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

/// Interval at which a task without news is read by REST: its ending may have come while there was no connection.
const READ_EVERY: Duration = Duration::from_secs(5);
/// Endings kept for a later waiter. Most belong to tasks of other clients.
const ENDED_MAX: usize = 100_000;

/// Endings that have arrived, and waiters for others.
pub(crate) struct BenchWaiter<'a> {
    api: &'a Api,
    state: Mutex<State>,
    /// Whether events arrive: nothing is submitted before they do.
    is_listening: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// Statuses by task: an ending may arrive before the answer that names the task.
    ended: HashMap<String, String>,
    waiters: HashMap<String, oneshot::Sender<String>>,
}

impl<'a> BenchWaiter<'a> {
    /// Creates a waiter. [`BenchWaiter::listen`] must run beside its users.
    pub(crate) fn new(api: &'a Api) -> Self {
        Self { api, state: Mutex::default(), is_listening: watch::Sender::new(false) }
    }

    /// Waits until events arrive.
    pub(crate) async fn listening(&self) {
        let mut is_listening = self.is_listening.subscribe();
        // The sender lives as long as `self`.
        let _listening = is_listening.wait_for(|is_listening| *is_listening).await;
    }

    /// Waits for the end of a task and returns its status.
    pub(crate) async fn status_of(&self, id: &str) -> Result<String, Error> {
        let mut ending = {
            let mut state = self.lock();
            if let Some(status) = state.ended.remove(id) {
                return Ok(status);
            }
            let (sender, ending) = oneshot::channel();
            state.waiters.insert(id.to_owned(), sender);
            ending
        };
        loop {
            if let Ok(Ok(status)) = timeout(READ_EVERY, &mut ending).await {
                return Ok(status);
            }
            let task = self.api.get(&format!("/api/tasks/{id}")).await?;
            if is_ended(task.text("status")) {
                self.lock().waiters.remove(id);
                return Ok(task.text("status").to_owned());
            }
        }
    }

    /// Receives endings until that fails for good.
    pub(crate) async fn listen(&self) -> Result<Infallible, Error> {
        let mut events = EventStream::new(self.api);
        loop {
            match events.next().await? {
                Next::Opened => {}
                Next::Lost(loss) => loss.limit(self.api)?,
                Next::Event(event) => {
                    self.is_listening.send_replace(true);
                    if let Some(status) = ended_status(&event.kind, &event.data) {
                        self.wake(text(&event.data, "taskId"), status);
                    }
                }
            }
        }
    }

    fn wake(&self, id: &str, status: &str) {
        let mut state = self.lock();
        match state.waiters.remove(id) {
            // The waiter may be gone.
            Some(waiter) => drop(waiter.send(status.to_owned())),
            None if state.ended.len() < ENDED_MAX => drop(state.ended.insert(id.to_owned(), status.to_owned())),
            // A task of another client, or one that its waiter reads by REST.
            None => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the status of the task if a message announces its end.
fn ended_status<'a>(kind: &str, data: &'a Value) -> Option<&'a str> {
    match kind {
        "task_completed" => Some("completed"),
        "task_failed" => Some(text(data, "status")),
        _ => None,
    }
}
