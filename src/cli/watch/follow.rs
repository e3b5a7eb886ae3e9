//! Some tasks, followed to their endings over the loss of every connection: the WebSocket brings the news, REST is the truth.
//!
//! Invariant: no ending is missed. Every round begins with a look at the tasks by REST; only then news is waited for, and its
//! first answer is a snapshot of each. Without any WebSocket (a proxy that does not pass it) the looks alone bring it to an end.

use super::targets::Watched;
use crate::cli::{
    client::{
        envelope::Answer,
        error::Fault,
        rest::Api,
        websocket::{Heard, Live, Lost},
    },
    commands::batches,
    term::format::{is_ended, text},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Between two looks without a WebSocket.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Waiting tasks are asked again why they wait: the WebSocket does not say it.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// So many of them.
const ASKED_MAX: usize = 10;

/// What is heard of a followed task.
pub(crate) enum News<'a> {
    /// As it is now, and not ended.
    Task(&'a Answer),
    /// A message `task_progress`.
    Progress(&'a Heard),
    /// It has ended.
    Ended(&'a Answer),
    /// Nothing is heard any more, for now.
    Lost(&'a str),
}

/// Follows tasks; gives each as it ended, in the order asked for.
pub(crate) async fn follow(
    api: &Api,
    watched: &Watched,
    hear: &mut impl FnMut(News<'_>) -> Result<(), Fault>,
) -> Result<Vec<Answer>, Fault> {
    let ids = watched.tasks();
    let mut following = Following { api, watched, open: ids.to_vec(), ended: BTreeMap::new() };
    loop {
        following.look_at_all(hear).await?;
        if following.open.is_empty() {
            break;
        }
        match following.listen(hear).await {
            Ok(()) => break,
            Err(Lost::Final(fault)) => return Err(fault),
            Err(Lost::Socket(why)) => {
                hear(News::Lost(&why))?;
                sleep(LOOK_EVERY).await;
            }
        }
    }
    let mut ended = following.ended;
    Ok(ids.iter().filter_map(|id| ended.remove(id)).collect())
}

struct Following<'a> {
    api: &'a Api,
    watched: &'a Watched,
    open: Vec<String>,
    ended: BTreeMap<String, Answer>,
}

impl Following<'_> {
    /// Reads all that have not ended: those of a batch by the page, until they have.
    async fn look_at_all(&mut self, hear: &mut impl FnMut(News<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut listed = HashMap::new();
        for batch in self.watched.batches() {
            let tasks = batches::tasks_of(self.api, batch).await?;
            listed.extend(tasks.into_iter().map(|task| (task.text("id").to_owned(), task)));
        }
        for id in self.open.clone() {
            match listed.get(&id).filter(|task| !is_ended(task.text("status"))) {
                Some(task) => hear(News::Task(task))?,
                None => self.look(&[id], hear).await?,
            }
        }
        Ok(())
    }

    /// Reads these tasks.
    async fn look(
        &mut self,
        ids: &[String],
        hear: &mut impl FnMut(News<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for id in ids {
            let task = self.api.get(&format!("/api/tasks/{id}")).await.map_err(|fault| fault.about(id))?;
            if is_ended(task.text("status")) {
                hear(News::Ended(&task))?;
                self.open.retain(|open| open != id);
                self.ended.insert(id.clone(), task);
            } else {
                hear(News::Task(&task))?;
            }
        }
        Ok(())
    }

    /// Hears until all have ended.
    async fn listen(&mut self, hear: &mut impl FnMut(News<'_>) -> Result<(), Fault>) -> Result<(), Lost> {
        let mut live = Live::connect(self.api).await?;
        live.subscribe(&self.open).await?;
        let mut ask = interval(ASK_EVERY);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ask.reset();
        let mut waiting: Vec<String> = self.open.clone();
        while !self.open.is_empty() {
            let heard = tokio::select! {
                heard = live.next() => heard?,
                _ = ask.tick() => {
                    waiting.retain(|id| self.open.contains(id));
                    let asked: Vec<String> = waiting.iter().take(ASKED_MAX).cloned().collect();
                    self.look(&asked, hear).await.map_err(Lost::Final)?;
                    continue;
                }
            };
            let id = text(&heard.data, "taskId");
            match heard.kind.as_str() {
                "task_progress" if self.open.iter().any(|open| open == id) => {
                    match text(&heard.data, "status") {
                        "pending" if !waiting.iter().any(|waiting| waiting == id) => waiting.push(id.to_owned()),
                        "pending" => {}
                        _ => waiting.retain(|waiting| waiting != id),
                    }
                    hear(News::Progress(&heard)).map_err(Lost::Final)?;
                }
                // Read, not believed: what REST says has everything, and a task may have been given another life meanwhile.
                "task_completed" | "task_failed" if self.open.iter().any(|open| open == id) => {
                    self.look(&[id.to_owned()], hear).await.map_err(Lost::Final)?;
                }
                "resync" => self.look_at_all(hear).await.map_err(Lost::Final)?,
                "error" if is_transient(&heard.data) => {
                    return Err(Lost::Socket(text(&heard.data, "message").to_owned()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The server could not answer `subscribe` now.
fn is_transient(data: &Value) -> bool {
    data["type"] == "unavailable"
}
