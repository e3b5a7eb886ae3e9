//! The random actors: API clients, dispatchers with their own (possibly outdated) view, the janitor, and time.

use super::{
    Dice,
    truth::{Ending, Truth, Violation},
};
use crate::support::{
    audit::{audit, dump},
    world::{World, new_task},
};
use shuzhiren::{
    queue::{Cancelled, Enqueued, Revived, Token},
    task::{Attempt, InstanceId, NewTask, Priority, TaskId, TaskState},
};
use std::{collections::BTreeMap, time::Duration};

pub(super) const INSTANCES: usize = 5;
const DISPATCHERS: usize = 4;
pub(super) const SLOTS: u32 = 2;
pub(super) const TTL: Duration = Duration::from_secs(30);

/// A dispatcher with its own, possibly outdated, view.
#[derive(Default)]
pub(super) struct Dispatcher {
    pub(super) name: String,
    pub(super) leases: BTreeMap<InstanceId, Token>,
    pub(super) running: BTreeMap<InstanceId, BTreeMap<TaskId, Attempt>>,
    pub(super) cancelled: Vec<(InstanceId, TaskId)>,
    /// Every attempt it ever ran, for late writes.
    pub(super) past: Vec<(InstanceId, TaskId, Attempt)>,
    /// Steps for which it stays paused, with its view and tokens.
    pub(super) paused: usize,
}

pub struct Model<'a> {
    pub(super) world: &'a World,
    pub(super) dice: Dice,
    pub(super) truth: Truth,
    pub(super) dispatchers: Vec<Dispatcher>,
    pub(super) claims: u64,
    /// Tasks with a `startBy`, not known to have ended.
    pub(super) with_start_by: Vec<TaskId>,
}

impl<'a> Model<'a> {
    pub fn new(world: &'a World, seed: u64) -> Self {
        let dispatcher = |number| Dispatcher { name: format!("d{number}"), ..Dispatcher::default() };
        let dispatchers = (0..DISPATCHERS).map(dispatcher).collect();
        Self {
            world,
            dice: Dice::new(seed),
            truth: Truth::default(),
            dispatchers,
            claims: 0,
            with_start_by: Vec::new(),
        }
    }

    /// Performs a random operation. Some are sent twice, as a connection does after a lost reply.
    pub async fn step(&mut self) -> Result<(), Violation> {
        if self.dice.chance(15) {
            let seconds = 1 + self.dice.below(12) as u64;
            self.world.advance(Duration::from_secs(seconds));
        }
        if self.dice.chance(12) {
            self.world.queue.run_janitor_once().await.map_err(|error| error.to_string())?;
            self.record_endings_of_the_janitor().await?;
        }
        let who = self.dice.below(DISPATCHERS);
        let operation = self.dice.below(126);
        if operation < 27 {
            return if operation < 22 { self.enqueue().await } else { self.cancel().await };
        }
        if operation >= 120 {
            return self.revive().await;
        }
        if self.dispatchers[who].paused > 0 {
            self.dispatchers[who].paused -= 1;
            return Ok(());
        }
        if self.dice.chance(1) {
            self.dispatchers[who].paused = 20 + self.dice.below(200);
            return Ok(());
        }
        match operation {
            27..=36 => self.acquire(who).await,
            37..=44 => self.renew(who).await,
            45..=66 => self.claim(who).await,
            67..=80 => self.start(who).await,
            81..=85 => self.progress(who).await,
            86..=88 => self.add_output(who).await,
            89..=103 => self.settle(who).await,
            104..=107 => self.requeue(who).await,
            108..=112 => self.release(who).await,
            113..=114 => self.release_lease(who).await,
            115 => self.reclaim(who).await,
            116 => {
                // Killed: its view is lost, its leases run on.
                self.dispatchers[who] = Dispatcher { name: format!("d{who}"), ..Dispatcher::default() };
                Ok(())
            }
            _ => self.report(who).await,
        }
    }

    pub fn audit(&mut self) -> Result<(), Violation> {
        audit(self.world, SLOTS as usize)?;
        let tasks = dump(self.world).tasks();
        for (id, ending) in &self.truth.tasks {
            match (tasks.get(&id.to_string()), ending) {
                (None, None) => return Err(format!("{id} was accepted and has disappeared without an ending")),
                (None, Some(_)) => {}
                (Some(task), Some(ending)) if task["state"] != ending.state.as_str() => {
                    return Err(format!("{id} is {} after it had ended {ending:?}", task["state"]));
                }
                (Some(task), None) if task.contains_key("endings") => {
                    return Err(format!("{id} is {} but no caller got that answer", task["state"]));
                }
                (Some(_), _) => {}
            }
        }
        Ok(())
    }

    /// Removes a random member of a random index.
    pub fn corrupt(&mut self) -> String {
        let kept = [
            "task:",
            "payload:",
            "instance:",
            "fair:",
            "meta",
            "installation:",
            "throughput",
            "speeds",
            "test-clock",
            "leases",
            "pending",
            "duty",
        ];
        let names: Vec<String> =
            dump(self.world).names().into_iter().filter(|key| !kept.iter().any(|kept| key.starts_with(kept))).collect();
        let Some(key) = self.dice.pick(&names).cloned() else { return "nothing".to_owned() };
        let name = self.world.key(&key);
        if self.dice.chance(20) {
            self.world.redis(&["DEL", &name]);
            return key;
        }
        let (read, remove): (&[&str], &str) = match self.world.redis(&["TYPE", &name]).text().as_str() {
            "zset" => (&["ZRANDMEMBER"], "ZREM"),
            "set" => (&["SRANDMEMBER"], "SREM"),
            "hash" => (&["HRANDFIELD"], "HDEL"),
            _ => {
                self.world.redis(&["XGROUP", "DESTROY", &name, "dispatch"]);
                return format!("group of {key}");
            }
        };
        let member = self.world.redis(&[read[0], &name]).text();
        self.world.redis(&[remove, &name, &member]);
        format!("{member} of {key}")
    }

    pub async fn repair(&mut self) {
        self.world.queue.repair_indexes().await.unwrap();
    }

    pub(super) fn repeats(&mut self) -> usize {
        if self.dice.chance(25) { 2 } else { 1 }
    }

    async fn enqueue(&mut self) -> Result<(), Violation> {
        let priority = *self.dice.pick(&Priority::ALL).unwrap_or(&Priority::Normal);
        let owner = format!("u{}", self.dice.below(4));
        let patience = 1_000 + self.dice.below(120_000) as u64;
        let start_by_ms = self.dice.chance(15).then(|| self.world.now_ms() + patience);
        let max_attempts = 1 + self.dice.below(3) as u32;
        let mut new = NewTask { owner, priority, start_by_ms, max_attempts, ..new_task() };
        if max_attempts == 2 {
            // Restricted to a list that contains all instances: filed as restricted, but every instance may claim it.
            new.facts.eligible = (0..INSTANCES).map(|number| InstanceId::new(format!("i{number}"))).collect();
        }
        for turn in 0..self.repeats() {
            match self.world.queue.enqueue(&new).await.map_err(|error| error.to_string())? {
                Enqueued::Created(_) if turn == 0 => {}
                Enqueued::Replayed(_) if turn == 1 => {}
                other => return Err(format!("enqueue {turn}: {other:?}")),
            }
        }
        self.truth.tasks.insert(new.id, None);
        if new.start_by_ms.is_some() {
            self.with_start_by.push(new.id);
        }
        Ok(())
    }

    async fn cancel(&mut self) -> Result<(), Violation> {
        let ids: Vec<TaskId> = self.truth.tasks.keys().copied().collect();
        let Some(&id) = self.dice.pick(&ids) else { return Ok(()) };
        for _ in 0..self.repeats() {
            match self.world.queue.cancel(id).await.map_err(|error| error.to_string())? {
                Cancelled::Cancelled(task) if task.state == TaskState::Cancelled => {
                    self.truth.end("cancel", id, Ending { state: TaskState::Cancelled, kind: None, by: None })?;
                }
                Cancelled::AlreadyEnded(task) => self.truth.ended_otherwise("cancel", id, task.state)?,
                Cancelled::NotFound if self.truth.tasks[&id].is_some() => {}
                other => return Err(format!("cancel {id}: {other:?}")),
            }
        }
        Ok(())
    }

    async fn revive(&mut self) -> Result<(), Violation> {
        let ids: Vec<TaskId> = self.truth.tasks.keys().copied().collect();
        let Some(&id) = self.dice.pick(&ids) else { return Ok(()) };
        let ended = self.truth.tasks[&id].clone();
        for turn in 0..self.repeats() {
            let answer = self.world.queue.revive(id).await.map_err(|error| error.to_string())?;
            match (answer, &ended) {
                (Revived::Revived(task), Some(ending)) if ending.state != TaskState::Completed => {
                    if turn == 0 && task.start_by_ms.is_some() {
                        self.with_start_by.push(id);
                    }
                    self.truth.revived(id);
                }
                (Revived::Revived(task), None) if task.revived > 0 => {}
                (Revived::Completed, Some(ending)) if ending.state == TaskState::Completed => {}
                (Revived::NotEnded(_), None) | (Revived::Stopping, Some(_)) => {}
                (Revived::NotFound, Some(_)) => {}
                (answer, ended) => return Err(format!("revive {id}, which had ended {ended:?}: {answer:?}")),
            }
        }
        Ok(())
    }

    /// Records the tasks that the janitor ended by `startBy`, of which no caller got an answer.
    pub(super) async fn record_endings_of_the_janitor(&mut self) -> Result<(), Violation> {
        let truth = &self.truth;
        self.with_start_by.retain(|id| truth.tasks[id].is_none());
        let tasks = self.world.queue.tasks(&self.with_start_by).await.map_err(|error| error.to_string())?;
        for (id, task) in self.with_start_by.clone().into_iter().zip(tasks) {
            let Some(task) = task else { return Err(format!("{id} has disappeared without an ending")) };
            let is_late = task.start_by_ms.is_some_and(|by| by <= self.world.now_ms());
            if task.state == TaskState::Failed && is_late && task.started_ms.is_none() {
                self.truth.end("startBy", id, Ending { state: TaskState::Failed, kind: None, by: None })?;
            }
        }
        Ok(())
    }
}
