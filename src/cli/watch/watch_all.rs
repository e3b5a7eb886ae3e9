//! `watch` without ids: everything that happens, until Ctrl-C.
//!
//! Invariant: no ending is missed while connections come and go. A lost connection is taken up at its cursor; where the server
//! cannot replay from it (`resync`: another process answers now), the tasks are read by REST.

use super::progress::{ending, state_of};
use crate::cli::{
    client::{
        error::Fault,
        rest::Api,
        websocket::{self, Heard, Live, Lost},
    },
    term::{
        format::{is_ended, text, unix_ms},
        output::{self, Ink},
    },
};
use serde_json::Value;
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Between two tries to connect.
const AGAIN: Duration = Duration::from_secs(1);
/// Endings remembered, so that none is told twice.
const TOLD_MAX: usize = 10_000;
/// What an instance of the server may have missed before it noticed, ms.
const MARGIN_MS: u64 = 30_000;
/// Pages read after a gap; what ended beyond them is named as a number.
const PAGES_MAX: usize = 10;

/// Tells everything.
pub(crate) async fn watch(api: &Api, json: bool) -> Result<(), Fault> {
    let mut watching = Watching {
        api,
        json,
        cursor: String::new(),
        told: VecDeque::new(),
        open: BTreeSet::new(),
        began_ms: 0,
        heard_ms: 0,
        lost_ms: 0,
    };
    tokio::select! {
        ended = watching.run() => ended,
        _ = tokio::signal::ctrl_c() => Err(Fault::Interrupted("interrupted".to_owned())),
    }
}

struct Watching<'a> {
    api: &'a Api,
    json: bool,
    /// Where we stand; empty before the first connection.
    cursor: String,
    /// `(task, lives)` of the endings told last.
    told: VecDeque<(String, u64)>,
    /// Tasks heard of that have not ended.
    open: BTreeSet<String>,
    /// The server's time of the first message: what ended before is not told.
    began_ms: u64,
    /// Of the last one.
    heard_ms: u64,
    /// Of the last one before the connection that stands now.
    lost_ms: u64,
}

impl Watching<'_> {
    async fn run(&mut self) -> Result<(), Fault> {
        // Tells at once when nobody is there or the login is no good.
        self.learn_open().await?;
        let mut lost_at: Option<Instant> = None;
        loop {
            let Err(lost) = self.listen(&mut lost_at).await;
            match lost {
                Lost::Final(fault) => return Err(fault),
                Lost::Socket(why) => {
                    let since = *lost_at.get_or_insert_with(|| {
                        output::hint(&format!("no live news ({}): connecting again", output::clean(&why)));
                        Instant::now()
                    });
                    if since.elapsed() > self.api.patience() {
                        return Err(Fault::Unreachable(format!("no live news from {}: {why}", self.api.base())));
                    }
                }
            }
            sleep(AGAIN).await;
        }
    }

    async fn listen(&mut self, lost_at: &mut Option<Instant>) -> Result<std::convert::Infallible, Lost> {
        let mut live = Live::connect(self.api).await?;
        self.lost_ms = self.heard_ms;
        if !self.cursor.is_empty() {
            live.subscribe_all(&self.cursor).await?;
        }
        loop {
            let heard = live.next().await?;
            *lost_at = None;
            if self.began_ms == 0 {
                self.began_ms = heard.timestamp;
            }
            self.hear(&heard).await.map_err(Lost::Final)?;
            if let Some(cursor) = heard.data["cursor"].as_str() {
                cursor.clone_into(&mut self.cursor);
            }
            self.heard_ms = heard.timestamp.max(self.heard_ms);
        }
    }

    async fn hear(&mut self, heard: &Heard) -> Result<(), Fault> {
        let id = text(&heard.data, "taskId").to_owned();
        match heard.kind.as_str() {
            "task_progress" => {
                self.open.insert(id);
                self.say(heard, &state_of(&heard.data))
            }
            "task_completed" | "task_failed" => {
                if !self.is_first(&id, &heard.data) {
                    return Ok(());
                }
                let is_completed = heard.kind == "task_completed";
                self.say(heard, &if is_completed { "completed".to_owned() } else { ending(&heard.data) })
            }
            "instance_status" if self.json => output::say(&heard.raw),
            "instance_status" => {
                let phase = text(&heard.data, "phase");
                let why = heard.data["lastError"].as_str().filter(|_| phase != "up").map(|why| format!(": {why}"));
                let busy = if heard.data["busy"] == true { ", busy" } else { "" };
                let line = format!("{} {phase}{busy}{}", text(&heard.data, "instanceId"), why.unwrap_or_default());
                output::say(&Ink::of(phase).paint(&output::clean(&line), output::has_colours()))
            }
            "global_status" if self.json => output::say(&heard.raw),
            "resync" => self.catch_up(if heard.is_answer { self.lost_ms } else { self.heard_ms }).await,
            _ => Ok(()),
        }
    }

    fn say(&self, heard: &Heard, state: &str) -> Result<(), Fault> {
        if self.json {
            return output::say(&heard.raw);
        }
        let ink = Ink::of(text(&heard.data, "status"));
        output::say(&format!("{} {}", text(&heard.data, "taskId"), ink.paint(state, output::has_colours())))
    }

    /// Remembers an ending; false = it was told before.
    fn is_first(&mut self, id: &str, task: &Value) -> bool {
        self.open.remove(id);
        let ending = (id.to_owned(), task["revived"].as_u64().unwrap_or(0));
        if self.told.contains(&ending) {
            return false;
        }
        self.told.push_back(ending);
        if self.told.len() > TOLD_MAX {
            self.told.pop_front();
        }
        true
    }

    async fn learn_open(&mut self) -> Result<(), Fault> {
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let page = self.api.get(&format!("/api/tasks?status=pending,running&limit=200{cursor}")).await?;
            for task in page.value["items"].as_array().into_iter().flatten() {
                self.open.insert(text(task, "id").to_owned());
            }
            match page.value["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        Ok(())
    }

    /// What was known and has ended, then what was born since `from_ms` and has ended.
    async fn catch_up(&mut self, from_ms: u64) -> Result<(), Fault> {
        let from_ms = from_ms.saturating_sub(MARGIN_MS);
        for id in self.open.clone() {
            match self.api.get(&format!("/api/tasks/{id}")).await {
                Ok(task) if is_ended(task.text("status")) => self.say_ended(&task.value, &task.raw)?,
                Ok(_) => {}
                Err(Fault::NotFound(_)) => {
                    self.open.remove(&id);
                }
                Err(fault) => return Err(fault),
            }
        }
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let page = self.api.get(&format!("/api/tasks?limit=200{cursor}")).await?;
            for task in page.value["items"].as_array().into_iter().flatten() {
                if unix_ms(&task["createdAt"]).is_some_and(|created| created < from_ms) {
                    return self.learn_open().await;
                }
                if is_ended(text(task, "status")) {
                    let raw = serde_json::value::to_raw_value(task).map_err(|error| Fault::Local(error.to_string()))?;
                    self.say_ended(task, &raw)?;
                }
            }
            match page.value["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return self.learn_open().await,
            }
        }
        output::hint(&format!("more than {} tasks came meanwhile: see `shuzhiren tasks`", PAGES_MAX * 200));
        self.learn_open().await
    }

    fn say_ended(&mut self, task: &Value, raw: &serde_json::value::RawValue) -> Result<(), Fault> {
        let id = text(task, "id").to_owned();
        let is_old = unix_ms(&task["finishedAt"]).is_some_and(|ended| ended < self.began_ms);
        if is_old || !self.is_first(&id, task) {
            return Ok(());
        }
        if self.json {
            return output::say(&websocket::line("task", raw));
        }
        let ink = Ink::of(text(task, "status"));
        output::say(&format!("{id} {}", ink.paint(&ending(task), output::has_colours())))
    }
}
