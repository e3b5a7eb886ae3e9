//! The random actors: API clients, dispatchers with their own (possibly outdated) view, the janitor, and time.

use super::{
    Dice, KEEP,
    truth::{Ending, Truth, Wrong},
};
use crate::support::{
    audit::{audit, dump},
    world::{World, completed, failed, new_task},
};
use shuzhiren::{
    queue::{Acquired, Cancelled, Claimed, Enqueued, InFlight, Lease, Renewed, Token, Written},
    task::{Attempt, FailureKind, InstanceId, NewTask, Priority, Progress, TaskId, TaskState},
};
use std::{collections::BTreeMap, time::Duration};

const INSTANCES: usize = 5;
const DISPATCHERS: usize = 4;
const SLOTS: u32 = 2;
const TTL: Duration = Duration::from_secs(30);

/// A dispatcher with what it believes.
#[derive(Default)]
struct Dispatcher {
    name: String,
    leases: BTreeMap<InstanceId, Token>,
    running: BTreeMap<InstanceId, BTreeMap<TaskId, Attempt>>,
    cancelled: Vec<(InstanceId, TaskId)>,
    /// Everything it ever ran: words that come late are about these.
    past: Vec<(InstanceId, TaskId, Attempt)>,
    /// Steps for which it is stopped, view and tokens kept.
    paused: usize,
}

pub struct Model<'a> {
    world: &'a World,
    dice: Dice,
    truth: Truth,
    dispatchers: Vec<Dispatcher>,
    claims: u64,
    /// Tasks with a `startBy`, not known to have ended.
    patient: Vec<TaskId>,
}

/// A lease and one of its tasks.
struct Job {
    lease: Lease,
    task: TaskId,
    attempt: Attempt,
}

impl Job {
    fn by(&self) -> (InstanceId, Attempt) {
        (self.lease.instance.clone(), self.attempt)
    }
}

impl<'a> Model<'a> {
    pub fn new(world: &'a World, seed: u64) -> Self {
        let dispatcher = |number| Dispatcher { name: format!("d{number}"), ..Dispatcher::default() };
        let dispatchers = (0..DISPATCHERS).map(dispatcher).collect();
        Self { world, dice: Dice::new(seed), truth: Truth::default(), dispatchers, claims: 0, patient: Vec::new() }
    }

    /// One random operation; some are sent twice, as a connection does after a lost reply.
    pub async fn step(&mut self) -> Result<(), Wrong> {
        if self.dice.chance(15) {
            let seconds = 1 + self.dice.below(12) as u64;
            self.world.pass(Duration::from_secs(seconds));
        }
        if self.dice.chance(12) {
            self.world.queue.tidy_once().await.map_err(|error| error.to_string())?;
            self.note_endings_of_the_janitor().await?;
        }
        let who = self.dice.below(DISPATCHERS);
        let operation = self.dice.below(120);
        if operation < 27 {
            return if operation < 22 { self.enqueue().await } else { self.cancel().await };
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
            81..=88 => self.progress(who).await,
            89..=103 => self.settle(who).await,
            104..=107 => self.requeue(who).await,
            108..=112 => self.release(who).await,
            113..=114 => self.give_back_lease(who).await,
            115 => self.reclaim(who).await,
            116 => {
                // Killed: its memory is gone, its leases run on.
                self.dispatchers[who] = Dispatcher { name: format!("d{who}"), ..Dispatcher::default() };
                Ok(())
            }
            _ => self.report(who).await,
        }
    }

    pub fn audit(&mut self) -> Result<(), Wrong> {
        audit(self.world, SLOTS as usize)?;
        let tasks = dump(self.world).tasks();
        for (id, ending) in &self.truth.tasks {
            match (tasks.get(&id.to_string()), ending) {
                (None, None) => return Err(format!("{id} was accepted and is gone without an end")),
                (None, Some(_)) => {}
                (Some(task), Some(ending)) if task["state"] != ending.state.as_str() => {
                    return Err(format!("{id} is {} after it had ended {ending:?}", task["state"]));
                }
                (Some(task), None) if task.contains_key("endings") => {
                    return Err(format!("{id} is {} and nobody was told", task["state"]));
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
            "throughput",
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

    pub async fn heal(&mut self) {
        self.world.queue.heal().await.unwrap();
    }

    fn twice(&mut self) -> usize {
        if self.dice.chance(25) { 2 } else { 1 }
    }

    async fn enqueue(&mut self) -> Result<(), Wrong> {
        let priority = *self.dice.pick(&Priority::ALL).unwrap_or(&Priority::Normal);
        let owner = format!("u{}", self.dice.below(4));
        let patience = 1_000 + self.dice.below(120_000) as u64;
        let start_by_ms = self.dice.chance(15).then(|| self.world.now_ms() + patience);
        let max_attempts = 1 + self.dice.below(3) as u32;
        let new = NewTask { owner, priority, start_by_ms, max_attempts, ..new_task() };
        for turn in 0..self.twice() {
            match self.world.queue.enqueue(&new).await.map_err(|error| error.to_string())? {
                Enqueued::Created(_) if turn == 0 => {}
                Enqueued::Replayed(_) if turn == 1 => {}
                other => return Err(format!("enqueue {turn}: {other:?}")),
            }
        }
        self.truth.tasks.insert(new.id, None);
        if new.start_by_ms.is_some() {
            self.patient.push(new.id);
        }
        Ok(())
    }

    async fn cancel(&mut self) -> Result<(), Wrong> {
        let ids: Vec<TaskId> = self.truth.tasks.keys().copied().collect();
        let Some(&id) = self.dice.pick(&ids) else { return Ok(()) };
        for _ in 0..self.twice() {
            match self.world.queue.cancel(id).await.map_err(|error| error.to_string())? {
                Cancelled::Cancelled(task) if task.state == TaskState::Cancelled => {
                    self.truth.end("cancel", id, Ending { state: TaskState::Cancelled, by: None })?;
                }
                Cancelled::AlreadyEnded(task) => self.truth.ended_otherwise("cancel", id, task.state)?,
                Cancelled::NotFound if self.truth.tasks[&id].is_some() => {}
                other => return Err(format!("cancel {id}: {other:?}")),
            }
        }
        Ok(())
    }

    async fn acquire(&mut self, who: usize) -> Result<(), Wrong> {
        let instance = InstanceId::new(format!("i{}", self.dice.below(INSTANCES)));
        let token = Token::new();
        for _ in 0..self.twice() {
            let name = self.dispatchers[who].name.clone();
            let answer = self.world.queue.acquire(&instance, &name, &token, TTL).await;
            if let Acquired::Ours(in_flight) = answer.map_err(|error| error.to_string())? {
                self.truth.acquired(&instance, token.as_str(), self.world.now_ms(), TTL.as_millis() as u64)?;
                self.adopt(who, &instance, token.clone(), in_flight);
            }
        }
        Ok(())
    }

    fn adopt(&mut self, who: usize, instance: &InstanceId, token: Token, in_flight: InFlight) {
        let dispatcher = &mut self.dispatchers[who];
        dispatcher.leases.insert(instance.clone(), token);
        dispatcher.running.insert(instance.clone(), in_flight.tasks.into_iter().collect());
        dispatcher.cancelled.retain(|(at, _)| at != instance);
        dispatcher.cancelled.extend(in_flight.cancelled.into_iter().map(|task| (instance.clone(), task)));
    }

    fn lose(&mut self, who: usize, instance: &InstanceId) {
        self.dispatchers[who].leases.remove(instance);
        self.dispatchers[who].running.remove(instance);
    }

    async fn renew(&mut self, who: usize) -> Result<(), Wrong> {
        for (instance, token) in self.dispatchers[who].leases.clone() {
            let lease = Lease { instance: instance.clone(), token: token.clone() };
            let is_current = self.truth.is_current(&instance, token.as_str());
            match self.world.queue.renew(&lease, TTL).await.map_err(|error| error.to_string())? {
                Renewed::Ours(in_flight) if is_current => {
                    let deadline = self.world.now_ms() + TTL.as_millis() as u64;
                    self.truth.leases.insert(instance.clone(), (token.as_str().to_owned(), deadline));
                    self.adopt(who, &instance, token, in_flight);
                }
                Renewed::Lost if !is_current => self.lose(who, &instance),
                answer => return Err(format!("renew of {instance} by its owner = {is_current}: {answer:?}")),
            }
        }
        Ok(())
    }

    async fn claim(&mut self, who: usize) -> Result<(), Wrong> {
        let Some(lease) = self.any_lease(who) else { return Ok(()) };
        self.claims += 1;
        let nonce = format!("n{}", self.claims);
        let window = if self.dice.chance(50) { 1 } else { 8 };
        let (before, mut first) = (self.slots(&lease.instance), None);
        for turn in 0..self.twice() {
            let answer =
                self.world.queue.claim(&lease, &nonce, SLOTS, window).await.map_err(|error| error.to_string())?;
            let Claimed::Task(claim) = answer else {
                if turn == 1 && first.is_some() {
                    return Err("a claim sent twice was answered once".to_owned());
                }
                continue;
            };
            if !self.truth.is_current(&lease.instance, lease.token.as_str()) {
                return Err(format!("{} claimed for {} without its lease", claim.task, lease.instance));
            }
            self.truth.claimed(claim.task, &lease.instance, claim.attempt, first.is_some())?;
            first = Some(claim.task);
            // One reply in ten is lost: the next renew tells.
            if self.dice.chance(90) {
                let running = self.dispatchers[who].running.entry(lease.instance.clone()).or_default();
                running.insert(claim.task, claim.attempt);
                self.dispatchers[who].past.push((lease.instance.clone(), claim.task, claim.attempt));
            }
        }
        if self.slots(&lease.instance) > before + 1 {
            return Err(format!("one claim took more than one slot of {}", lease.instance));
        }
        Ok(())
    }

    fn slots(&self, instance: &InstanceId) -> i64 {
        self.world.redis(&["HLEN", &self.world.key(&format!("in-flight:{instance}"))]).number()
    }

    fn any_lease(&mut self, who: usize) -> Option<Lease> {
        let leases: Vec<Lease> = self.dispatchers[who]
            .leases
            .iter()
            .map(|(instance, token)| Lease { instance: instance.clone(), token: token.clone() })
            .collect();
        self.dice.pick(&leases).cloned()
    }

    fn any_job(&mut self, who: usize) -> Option<Job> {
        let is_late = self.dice.chance(12);
        let dispatcher = &self.dispatchers[who];
        let past = dispatcher.past.iter().filter(|(instance, ..)| dispatcher.leases.contains_key(instance)).cloned();
        let jobs: Vec<(InstanceId, TaskId, Attempt)> = if is_late {
            past.collect()
        } else {
            dispatcher
                .running
                .iter()
                .filter(|(instance, _)| dispatcher.leases.contains_key(*instance))
                .flat_map(|(instance, tasks)| tasks.iter().map(|(task, attempt)| (instance.clone(), *task, *attempt)))
                .collect()
        };
        let (instance, task, attempt) = self.dice.pick(&jobs)?.clone();
        let token = self.dispatchers[who].leases[&instance].clone();
        Some(Job { lease: Lease { instance, token }, task, attempt })
    }

    fn drop_job(&mut self, who: usize, job: &Job) {
        if let Some(tasks) = self.dispatchers[who].running.get_mut(&job.lease.instance) {
            tasks.remove(&job.task);
        }
    }

    async fn start(&mut self, who: usize) -> Result<(), Wrong> {
        let Some(job) = self.any_job(who) else { return Ok(()) };
        for _ in 0..self.twice() {
            let answer = self.world.queue.start(&job.lease, job.task, job.attempt).await;
            self.note("start", &job, answer, None)?;
        }
        Ok(())
    }

    async fn progress(&mut self, who: usize) -> Result<(), Wrong> {
        let Some(job) = self.any_job(who) else { return Ok(()) };
        let progress = Progress { percent: self.dice.below(100) as u8, ..Progress::default() };
        let answer = self.world.queue.progress(&job.lease, job.task, job.attempt, &progress).await;
        self.note("progress", &job, answer, None)
    }

    async fn settle(&mut self, who: usize) -> Result<(), Wrong> {
        let Some(job) = self.any_job(who) else { return Ok(()) };
        let (outcome, ends) = match self.dice.below(5) {
            0 | 1 => (completed(), TaskState::Completed),
            2 => (failed(FailureKind::NodeError), TaskState::Failed),
            _ => (failed(FailureKind::Stalled), TaskState::Failed),
        };
        for _ in 0..self.twice() {
            let answer = self.world.queue.settle(&job.lease, job.task, job.attempt, &outcome).await;
            let is_slot_kept = matches!(answer, Ok(Written::Done | Written::Retrying | Written::AlreadyEnded(_)))
                && self.holds_slot(&job);
            self.note("settle", &job, answer, Some(ends))?;
            if is_slot_kept {
                return Err(format!("settle of {} kept its slot", job.task));
            }
        }
        // One reply in seven is lost: it is said again later.
        if self.dice.chance(85) {
            self.drop_job(who, &job);
        }
        Ok(())
    }

    fn holds_slot(&self, job: &Job) -> bool {
        let key = self.world.key(&format!("in-flight:{}", job.lease.instance));
        self.world.redis(&["HEXISTS", &key, &job.task.to_string()]).number() == 1
    }

    async fn requeue(&mut self, who: usize) -> Result<(), Wrong> {
        let Some(job) = self.any_job(who) else { return Ok(()) };
        let lost = self.dice.chance(40);
        for _ in 0..self.twice() {
            let answer = self.world.queue.requeue(&job.lease, job.task, job.attempt, lost, "model").await;
            if let Ok(Written::AlreadyEnded(TaskState::Failed)) = answer
                && self.truth.tasks.get(&job.task) == Some(&None)
            {
                self.truth.end("poison", job.task, Ending { state: TaskState::Failed, by: None })?;
            }
            self.note("requeue", &job, answer, None)?;
        }
        self.drop_job(who, &job);
        Ok(())
    }

    async fn release(&mut self, who: usize) -> Result<(), Wrong> {
        let mut known = self.dispatchers[who].cancelled.clone();
        if self.dice.chance(30) {
            known = self.dispatchers[who].past.iter().map(|(instance, task, _)| (instance.clone(), *task)).collect();
        }
        let Some((instance, task)) = self.dice.pick(&known).cloned() else { return Ok(()) };
        let Some(token) = self.dispatchers[who].leases.get(&instance).cloned() else { return Ok(()) };
        let lease = Lease { instance: instance.clone(), token };
        for _ in 0..self.twice() {
            let answer = self.world.queue.release(&lease, task).await.map_err(|error| error.to_string())?;
            let is_current = self.truth.is_current(&instance, lease.token.as_str());
            if is_current == (answer == Written::Fenced) {
                return Err(format!("release on {instance} by its owner = {is_current}: {answer:?}"));
            }
            if answer == Written::NotThisAttempt {
                return Ok(());
            }
        }
        if let Some(tasks) = self.dispatchers[who].running.get_mut(&instance) {
            tasks.remove(&task);
        }
        self.dispatchers[who].cancelled.retain(|entry| *entry != (instance.clone(), task));
        Ok(())
    }

    async fn give_back_lease(&mut self, who: usize) -> Result<(), Wrong> {
        let Some(lease) = self.any_lease(who) else { return Ok(()) };
        for _ in 0..self.twice() {
            self.world.queue.yield_lease(&lease).await.map_err(|error| error.to_string())?;
        }
        if self.truth.is_current(&lease.instance, lease.token.as_str()) {
            self.truth.leases.insert(lease.instance.clone(), (String::new(), 0));
        }
        self.lose(who, &lease.instance);
        Ok(())
    }

    /// Claims to run a task that it may never have had, as after a failover.
    async fn reclaim(&mut self, who: usize) -> Result<(), Wrong> {
        let Some(job) = self.any_job(who) else { return Ok(()) };
        let answer = self.world.queue.reclaim(&job.lease, job.task, job.attempt).await;
        self.note("reclaim", &job, answer, None)
    }

    async fn report(&mut self, who: usize) -> Result<(), Wrong> {
        let Some(lease) = self.any_lease(who) else { return Ok(()) };
        let answer =
            self.world.queue.report(&lease, &Default::default(), true).await.map_err(|error| error.to_string())?;
        let is_current = self.truth.is_current(&lease.instance, lease.token.as_str());
        let expected = if is_current { Written::Done } else { Written::Fenced };
        if answer == expected { Ok(()) } else { Err(format!("report by the owner = {is_current}: {answer:?}")) }
    }

    fn note(
        &mut self,
        what: &str,
        job: &Job,
        answer: shuzhiren::queue::Result<Written>,
        ends: Option<TaskState>,
    ) -> Result<(), Wrong> {
        let answer = answer.map_err(|error| format!("{what}: {error}"))?;
        let task = self.world.key(&format!("task:{}", job.task));
        let is_collected = matches!(self.truth.tasks.get(&job.task), Some(Some(_)))
            && self.world.redis(&["EXISTS", &task]).number() == 0;
        if is_collected && answer == Written::NotThisAttempt {
            return Ok(());
        }
        self.truth.wrote(what, job.task, &job.by(), job.lease.token.as_str(), answer, ends)
    }

    /// What the janitor ended (`startBy`), nobody was told.
    async fn note_endings_of_the_janitor(&mut self) -> Result<(), Wrong> {
        let truth = &self.truth;
        self.patient.retain(|id| truth.tasks[id].is_none());
        let tasks = self.world.queue.tasks(&self.patient).await.map_err(|error| error.to_string())?;
        for (id, task) in self.patient.clone().into_iter().zip(tasks) {
            let Some(task) = task else { return Err(format!("{id} is gone without an end")) };
            let is_late = task.start_by_ms.is_some_and(|by| by <= self.world.now_ms());
            if task.state == TaskState::Failed && is_late && task.started_ms.is_none() {
                self.truth.end("startBy", id, Ending { state: TaskState::Failed, by: None })?;
            }
        }
        Ok(())
    }

    /// Everybody is gone but one healthy dispatcher: it must be able to end everything and free every slot.
    pub async fn drain(&mut self) -> Result<String, Wrong> {
        self.world.pass(TTL);
        self.dispatchers = vec![Dispatcher { name: "last".to_owned(), ..Dispatcher::default() }];
        for round in 0..10_000 {
            self.world.pass(Duration::from_secs(6));
            self.world.queue.tidy_once().await.map_err(|error| error.to_string())?;
            self.note_endings_of_the_janitor().await?;
            self.drain_round().await?;
            let counts = self.world.queue.counts().await.map_err(|error| error.to_string())?;
            let busy = (0..INSTANCES).any(|number| self.slots(&InstanceId::new(format!("i{number}"))) > 0);
            if counts.pending + counts.running == 0 && !busy {
                self.audit()?;
                return self.check_collection(round).await;
            }
        }
        Err("a healthy dispatcher cannot end what is left".to_owned())
    }

    async fn drain_round(&mut self) -> Result<(), Wrong> {
        for number in 0..INSTANCES {
            let instance = InstanceId::new(format!("i{number}"));
            if !self.dispatchers[0].leases.contains_key(&instance) {
                let token = Token::new();
                let answer = self.world.queue.acquire(&instance, "last", &token, TTL).await;
                if let Acquired::Ours(in_flight) = answer.map_err(|error| error.to_string())? {
                    self.truth.acquired(&instance, token.as_str(), self.world.now_ms(), TTL.as_millis() as u64)?;
                    self.adopt(0, &instance, token, in_flight);
                }
            }
        }
        for _ in 0..INSTANCES * 2 {
            self.claim(0).await?;
            self.settle(0).await?;
        }
        self.renew(0).await?;
        for _ in 0..INSTANCES * 2 {
            self.release(0).await?;
        }
        Ok(())
    }

    /// Long after, nothing is left but what does not belong to tasks.
    async fn check_collection(&mut self, rounds: usize) -> Result<String, Wrong> {
        let unended = self.truth.tasks.values().filter(|ending| ending.is_none()).count();
        if unended > 0 {
            return Err(format!("{unended} tasks have ended and nobody was told"));
        }
        self.world.pass(KEEP);
        self.world.queue.tidy_once().await.map_err(|error| error.to_string())?;
        let left: Vec<String> = dump(self.world)
            .names()
            .into_iter()
            .filter(|key| {
                ["task:", "payload:", "index:", "wait:", "expiry", "delayed"].iter().any(|of| key.starts_with(of))
            })
            .collect();
        if !left.is_empty() {
            return Err(format!("left after collection: {left:?}"));
        }
        Ok(format!("{} tasks, {} claims, drained in {rounds} rounds", self.truth.tasks.len(), self.claims))
    }
}
