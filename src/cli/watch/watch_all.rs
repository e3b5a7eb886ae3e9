//! `watch` without ids: everything that happens, until Ctrl-C.
//!
//! Invariant: no ending is missed while connections come and go. A new connection resumes at the cursor of the old one.
//! If the server cannot replay from there (`resync`: another process answers now), the tasks are read by REST.

use super::progress::{ending, state_of};
use crate::cli::{
    client::{
        envelope::Answer,
        event_stream::{EventStream, Next},
        pagination::{PAGE_MAX, Pages},
        rest::Api,
        websocket::Event,
    },
    error::Error,
    term::{
        format::{is_ended, text, unix_ms},
        output::{self, Color},
    },
};
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};

/// Endings remembered, so that each is reported once.
const REPORTED_MAX: usize = 10_000;
/// Time that an instance of the server may take to notice its own loss of events, in ms.
const MARGIN_MS: u64 = 30_000;
/// Pages read after a gap. Tasks beyond them are not reported; a hint says so.
const PAGES_MAX: usize = 10;

/// Reports everything that happens until Ctrl-C.
pub(crate) async fn watch_all(api: &Api, json: bool) -> Result<(), Error> {
    let mut watcher = Watcher {
        api,
        json,
        cursor: String::new(),
        reported: VecDeque::new(),
        open: BTreeSet::new(),
        first_ms: 0,
        last_ms: 0,
        lost_ms: 0,
    };
    tokio::select! {
        ended = watcher.run() => ended,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted("interrupted".to_owned())),
    }
}

struct Watcher<'a> {
    api: &'a Api,
    json: bool,
    /// Position in the server's events; empty before the first.
    cursor: String,
    /// `(task, retries)` of the last endings reported.
    reported: VecDeque<(String, u64)>,
    /// Known tasks that have not ended.
    open: BTreeSet<String>,
    /// Server time of the first event. Earlier endings are not reported.
    first_ms: u64,
    /// Server time of the last event.
    last_ms: u64,
    /// Server time of the last event before the current connection.
    lost_ms: u64,
}

impl Watcher<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        // By REST, so that a server that is away or a bad token ends the command at once.
        self.read_open().await?;
        let mut events = EventStream::new(self.api);
        loop {
            match events.next().await? {
                Next::Opened => {
                    self.lost_ms = self.last_ms;
                    if !self.cursor.is_empty() {
                        events.subscribe_all(&self.cursor).await?;
                    }
                }
                Next::Event(event) => self.on_event(&event).await?,
                Next::Lost(loss) => {
                    if loss.is_first {
                        output::hint(&format!("no live updates ({}); reconnecting", output::sanitize(&loss.why)));
                    }
                    loss.limit(self.api)?;
                }
            }
        }
    }

    async fn on_event(&mut self, event: &Event) -> Result<(), Error> {
        if self.first_ms == 0 {
            self.first_ms = event.timestamp;
        }
        self.report_event(event).await?;
        if let Some(cursor) = event.data["cursor"].as_str() {
            cursor.clone_into(&mut self.cursor);
        }
        self.last_ms = event.timestamp.max(self.last_ms);
        Ok(())
    }

    async fn report_event(&mut self, event: &Event) -> Result<(), Error> {
        let id = text(&event.data, "taskId");
        match event.kind.as_str() {
            "task_progress" => {
                self.open.insert(id.to_owned());
                self.print(event, &state_of(&event.data))
            }
            "task_completed" if self.is_first_report(id, &event.data) => self.print(event, "completed"),
            "task_failed" if self.is_first_report(id, &event.data) => self.print(event, &ending(&event.data)),
            "instance_status" | "global_status" if self.json => output::print_line(&event.raw),
            "instance_status" => {
                let phase = text(&event.data, "phase");
                let why = event.data["lastError"].as_str().filter(|_| phase != "up").map(|why| format!(": {why}"));
                let busy = if event.data["busy"] == true { ", busy" } else { "" };
                let line = format!("{} {phase}{busy}{}", text(&event.data, "instanceId"), why.unwrap_or_default());
                output::print_line(&Color::of(phase).paint(&output::sanitize(&line), output::has_colors()))
            }
            "resync" => self.catch_up(if event.is_reply { self.lost_ms } else { self.last_ms }).await,
            _ => Ok(()),
        }
    }

    fn print(&self, event: &Event, state: &str) -> Result<(), Error> {
        if self.json {
            return output::print_line(&event.raw);
        }
        print_state(text(&event.data, "taskId"), &event.data, state)
    }

    /// Remembers an ending. Returns false if it was reported before.
    fn is_first_report(&mut self, id: &str, task: &Value) -> bool {
        self.open.remove(id);
        let ending = (id.to_owned(), task["revived"].as_u64().unwrap_or(0));
        if self.reported.contains(&ending) {
            return false;
        }
        self.reported.push_back(ending);
        if self.reported.len() > REPORTED_MAX {
            self.reported.pop_front();
        }
        true
    }

    /// Reads which tasks have not ended.
    async fn read_open(&mut self) -> Result<(), Error> {
        let mut pages = Pages::new(self.api, "/api/tasks?status=pending,running".to_owned());
        for _ in 0..PAGES_MAX {
            let Some(tasks) = pages.next().await? else { break };
            self.open.extend(tasks.iter().map(|task| task.text("id").to_owned()));
        }
        Ok(())
    }

    /// Reports the endings of a gap: of the tasks that were open, then of those created since `from_ms`.
    async fn catch_up(&mut self, from_ms: u64) -> Result<(), Error> {
        for id in self.open.clone() {
            match self.api.get(&format!("/api/tasks/{id}")).await {
                Ok(task) => self.report_if_ended(&task)?,
                Err(Error::NotFound(_)) => {
                    self.open.remove(&id);
                }
                Err(error) => return Err(error),
            }
        }
        if !self.read_since(from_ms.saturating_sub(MARGIN_MS)).await? {
            let read = PAGES_MAX as u64 * PAGE_MAX;
            output::hint(&format!("more than {read} tasks were created meanwhile: see `shuzhiren tasks`"));
        }
        self.read_open().await
    }

    /// Reports the ended tasks created since `from_ms`. Returns false if there were more than could be read.
    async fn read_since(&mut self, from_ms: u64) -> Result<bool, Error> {
        let mut pages = Pages::new(self.api, "/api/tasks".to_owned());
        for _ in 0..PAGES_MAX {
            let Some(tasks) = pages.next().await? else { return Ok(true) };
            for task in &tasks {
                if unix_ms(&task.value["createdAt"]).is_some_and(|created| created < from_ms) {
                    return Ok(true);
                }
                self.report_if_ended(task)?;
            }
        }
        Ok(pages.is_end())
    }

    fn report_if_ended(&mut self, task: &Answer) -> Result<(), Error> {
        let id = task.text("id");
        let is_old = unix_ms(&task.value["finishedAt"]).is_some_and(|ended| ended < self.first_ms);
        if !is_ended(task.text("status")) || is_old || !self.is_first_report(id, &task.value) {
            return Ok(());
        }
        if self.json {
            return output::print_json_line("task", &task.raw);
        }
        print_state(id, &task.value, &ending(&task.value))
    }
}

fn print_state(id: &str, task: &Value, state: &str) -> Result<(), Error> {
    let color = Color::of(text(task, "status"));
    output::print_line(&format!("{id} {}", color.paint(state, output::has_colors())))
}
