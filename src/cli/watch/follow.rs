//! Follows tasks until all have ended: the WebSocket announces changes, REST has the truth.
//!
//! Invariant: no ending is missed. Open tasks are read by REST at the start and after each lost connection, and the
//! first reply on a new connection is a snapshot of each. Without a usable WebSocket, the reads alone reach the end.

use super::targets::Targets;
use crate::cli::{
    client::{
        envelope::Answer,
        event_stream::{EventStream, Next},
        rest::Api,
        tasks::tasks_of_batch,
        websocket::Event,
    },
    error::Error,
    term::format::{is_ended, text},
};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

/// Interval at which waiting tasks are read again: only REST says why a task waits.
const READ_WAITING_EVERY: Duration = Duration::from_secs(3);
/// Waiting tasks read each time.
const WAITING_READ_MAX: usize = 10;

/// A change of a followed task.
pub(crate) enum Update<'a> {
    /// The task as it is now; it has not ended.
    Task(&'a Answer),
    /// A `task_progress` message.
    Progress(&'a Event),
    /// The task has ended.
    Ended(&'a Answer),
    /// The connection was lost, for this reason; the tasks are read by REST until it is back.
    Lost(&'a str),
}

/// Follows tasks and returns each as it ended, in the order of `targets`.
pub(crate) async fn follow(
    api: &Api,
    targets: &Targets,
    report: impl FnMut(Update<'_>) -> Result<(), Error>,
) -> Result<Vec<Answer>, Error> {
    let open = targets.tasks().to_vec();
    let mut follower = Follower { api, targets, open, waiting: Vec::new(), ended: BTreeMap::new(), report };
    follower.run().await?;
    let mut ended = follower.ended;
    Ok(targets.tasks().iter().filter_map(|id| ended.remove(id)).collect())
}

struct Follower<'a, R> {
    api: &'a Api,
    targets: &'a Targets,
    open: Vec<String>,
    /// Open tasks that wait, as far as known.
    waiting: Vec<String>,
    ended: BTreeMap<String, Answer>,
    report: R,
}

impl<R: FnMut(Update<'_>) -> Result<(), Error>> Follower<'_, R> {
    async fn run(&mut self) -> Result<(), Error> {
        let mut events = EventStream::new(self.api);
        let mut read_waiting = interval(READ_WAITING_EVERY);
        read_waiting.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.read_open().await?;
        while !self.open.is_empty() {
            let next = tokio::select! {
                next = events.next() => next?,
                _ = read_waiting.tick(), if events.is_open() => {
                    self.read_waiting().await?;
                    continue;
                }
            };
            match next {
                Next::Opened => {
                    self.waiting.clone_from(&self.open);
                    read_waiting.reset();
                    events.subscribe(&self.open).await?;
                }
                // The server could not serve the subscription now.
                Next::Event(event) if event.kind == "error" && event.data["type"] == "unavailable" => {
                    events.disconnect(text(&event.data, "message"));
                }
                Next::Event(event) => self.on_event(&event).await?,
                Next::Lost(loss) => {
                    (self.report)(Update::Lost(&loss.why))?;
                    self.read_open().await?;
                }
            }
        }
        Ok(())
    }

    /// Reads every task that has not ended; those of a batch by the page while they have not ended.
    async fn read_open(&mut self) -> Result<(), Error> {
        let mut listed = HashMap::new();
        for batch in self.targets.batches() {
            let tasks = tasks_of_batch(self.api, batch).await?;
            listed.extend(tasks.into_iter().map(|task| (task.text("id").to_owned(), task)));
        }
        for id in self.open.clone() {
            match listed.get(&id).filter(|task| !is_ended(task.text("status"))) {
                Some(task) => (self.report)(Update::Task(task))?,
                None => self.read(&id).await?,
            }
        }
        Ok(())
    }

    async fn read_waiting(&mut self) -> Result<(), Error> {
        self.waiting.retain(|id| self.open.contains(id));
        let ids: Vec<String> = self.waiting.iter().take(WAITING_READ_MAX).cloned().collect();
        for id in &ids {
            self.read(id).await?;
        }
        Ok(())
    }

    async fn read(&mut self, id: &str) -> Result<(), Error> {
        let task = self.api.get(&format!("/api/tasks/{id}")).await.map_err(|error| error.about(id))?;
        if !is_ended(task.text("status")) {
            return (self.report)(Update::Task(&task));
        }
        (self.report)(Update::Ended(&task))?;
        self.open.retain(|open| open != id);
        self.ended.insert(id.to_owned(), task);
        Ok(())
    }

    async fn on_event(&mut self, event: &Event) -> Result<(), Error> {
        let id = text(&event.data, "taskId");
        let is_open = self.open.iter().any(|open| open == id);
        match event.kind.as_str() {
            "task_progress" if is_open => {
                if text(&event.data, "status") != "pending" {
                    self.waiting.retain(|waiting| waiting != id);
                } else if !self.waiting.iter().any(|waiting| waiting == id) {
                    self.waiting.push(id.to_owned());
                }
                (self.report)(Update::Progress(event))
            }
            // Read again, because REST has all of it, and the task may have been retried since.
            "task_completed" | "task_failed" if is_open => self.read(id).await,
            "resync" => self.read_open().await,
            _ => Ok(()),
        }
    }
}
