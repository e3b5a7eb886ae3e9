//! The random operations of dispatchers, whose views may be outdated.

use super::{
    actors::{INSTANCES, Model, SLOTS, TTL},
    truth::{Ending, Violation},
};
use crate::support::world::{completed, failed};
use shuzhiren::{
    queue::{Acquired, Claimed, InFlight, Lease, OutputsAdded, Renewed, Token, Written},
    task::{Attempt, FailureKind, InstanceId, Output, Progress, TaskId, TaskState},
};

/// A task in flight and the lease under which it was claimed.
pub(super) struct Run {
    lease: Lease,
    task: TaskId,
    attempt: Attempt,
}

impl Run {
    fn owner(&self) -> (InstanceId, Attempt) {
        (self.lease.instance.clone(), self.attempt)
    }
}

impl Model<'_> {
    pub(super) async fn acquire(&mut self, who: usize) -> Result<(), Violation> {
        let instance = InstanceId::new(format!("i{}", self.dice.below(INSTANCES)));
        let token = Token::new();
        for _ in 0..self.repeats() {
            let name = self.dispatchers[who].name.clone();
            let answer = self.world.queue.acquire(&instance, &name, &token, TTL).await;
            if let Acquired::Ours(in_flight) = answer.map_err(|error| error.to_string())? {
                self.truth.acquired(&instance, token.as_str(), self.world.now_ms(), TTL.as_millis() as u64)?;
                self.adopt(who, &instance, token.clone(), in_flight);
            }
        }
        Ok(())
    }

    pub(super) fn adopt(&mut self, who: usize, instance: &InstanceId, token: Token, in_flight: InFlight) {
        let dispatcher = &mut self.dispatchers[who];
        dispatcher.leases.insert(instance.clone(), token);
        dispatcher.running.insert(instance.clone(), in_flight.tasks.into_iter().collect());
        dispatcher.cancelled.retain(|(at, _)| at != instance);
        dispatcher.cancelled.extend(in_flight.cancelled.into_iter().map(|task| (instance.clone(), task)));
    }

    pub(super) fn lose(&mut self, who: usize, instance: &InstanceId) {
        self.dispatchers[who].leases.remove(instance);
        self.dispatchers[who].running.remove(instance);
    }

    pub(super) async fn renew(&mut self, who: usize) -> Result<(), Violation> {
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

    pub(super) async fn claim(&mut self, who: usize) -> Result<(), Violation> {
        let Some(lease) = self.any_lease(who) else { return Ok(()) };
        self.claims += 1;
        let nonce = format!("n{}", self.claims);
        let window = if self.dice.chance(50) { 1 } else { 8 };
        let (before, mut first) = (self.slots(&lease.instance), None);
        for turn in 0..self.repeats() {
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
            // One reply in ten is lost: the next renew reports the claim.
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

    pub(super) fn slots(&self, instance: &InstanceId) -> i64 {
        self.world.redis(&["HLEN", &self.world.key(&format!("in-flight:{instance}"))]).number()
    }

    pub(super) fn any_lease(&mut self, who: usize) -> Option<Lease> {
        let leases: Vec<Lease> = self.dispatchers[who]
            .leases
            .iter()
            .map(|(instance, token)| Lease { instance: instance.clone(), token: token.clone() })
            .collect();
        self.dice.pick(&leases).cloned()
    }

    pub(super) fn any_run(&mut self, who: usize) -> Option<Run> {
        let is_late = self.dice.chance(12);
        let dispatcher = &self.dispatchers[who];
        let past = dispatcher.past.iter().filter(|(instance, ..)| dispatcher.leases.contains_key(instance)).cloned();
        let runs: Vec<(InstanceId, TaskId, Attempt)> = if is_late {
            past.collect()
        } else {
            dispatcher
                .running
                .iter()
                .filter(|(instance, _)| dispatcher.leases.contains_key(*instance))
                .flat_map(|(instance, tasks)| tasks.iter().map(|(task, attempt)| (instance.clone(), *task, *attempt)))
                .collect()
        };
        let (instance, task, attempt) = self.dice.pick(&runs)?.clone();
        let token = self.dispatchers[who].leases[&instance].clone();
        Some(Run { lease: Lease { instance, token }, task, attempt })
    }

    pub(super) fn drop_run(&mut self, who: usize, run: &Run) {
        if let Some(tasks) = self.dispatchers[who].running.get_mut(&run.lease.instance) {
            tasks.remove(&run.task);
        }
    }

    pub(super) async fn start(&mut self, who: usize) -> Result<(), Violation> {
        let Some(run) = self.any_run(who) else { return Ok(()) };
        for _ in 0..self.repeats() {
            let answer = self.world.queue.start(&run.lease, run.task, run.attempt).await;
            self.note("start", &run, answer, None)?;
        }
        Ok(())
    }

    pub(super) async fn progress(&mut self, who: usize) -> Result<(), Violation> {
        let Some(run) = self.any_run(who) else { return Ok(()) };
        let progress = Progress { percent: self.dice.below(100) as u8, ..Progress::default() };
        let answer = self.world.queue.progress(&run.lease, run.task, run.attempt, &progress).await;
        self.note("progress", &run, answer, None)
    }

    pub(super) async fn add_output(&mut self, who: usize) -> Result<(), Violation> {
        let Some(run) = self.any_run(who) else { return Ok(()) };
        let before = self.world.field(run.task, "outputs_told").parse().unwrap_or(0);
        let output = Output { node_id: before.to_string(), ..Output::default() };
        for _ in 0..self.repeats() {
            let outputs = std::slice::from_ref(&output);
            let answer = self.world.queue.add_outputs(&run.lease, run.task, run.attempt, before, outputs).await;
            let answer = match answer.map_err(|error| error.to_string())? {
                OutputsAdded::Done => Written::Done,
                OutputsAdded::Refused(written) => written,
                OutputsAdded::Missing(known) => return Err(format!("{}: {known} outputs, not {before}", run.task)),
            };
            self.note("output", &run, Ok(answer), None)?;
            if answer != Written::Done {
                return Ok(());
            }
            let outputs = self.world.task(run.task).await.outputs;
            if outputs.len() != before + 1 || outputs.last() != Some(&output) {
                return Err(format!("{} has {outputs:?} after output {before}", run.task));
            }
        }
        Ok(())
    }

    pub(super) async fn settle(&mut self, who: usize) -> Result<(), Violation> {
        let Some(run) = self.any_run(who) else { return Ok(()) };
        let (outcome, ends) = match self.dice.below(5) {
            0 | 1 => (completed(), (TaskState::Completed, None)),
            2 => (failed(FailureKind::NodeError), (TaskState::Failed, Some(FailureKind::NodeError))),
            _ => (failed(FailureKind::Stalled), (TaskState::Failed, Some(FailureKind::Stalled))),
        };
        for _ in 0..self.repeats() {
            let answer = self.world.queue.settle(&run.lease, run.task, run.attempt, &outcome).await;
            let is_slot_kept = matches!(answer, Ok(Written::Done | Written::Retrying | Written::AlreadyEnded(_)))
                && self.holds_slot(&run);
            self.note("settle", &run, answer, Some(ends))?;
            if is_slot_kept {
                return Err(format!("settle of {} kept its slot", run.task));
            }
        }
        // One reply in seven is lost: the call is repeated later.
        if self.dice.chance(85) {
            self.drop_run(who, &run);
        }
        Ok(())
    }

    pub(super) fn holds_slot(&self, run: &Run) -> bool {
        let key = self.world.key(&format!("in-flight:{}", run.lease.instance));
        self.world.redis(&["HEXISTS", &key, &run.task.to_string()]).number() == 1
    }

    pub(super) async fn requeue(&mut self, who: usize) -> Result<(), Violation> {
        let Some(run) = self.any_run(who) else { return Ok(()) };
        let lost = self.dice.chance(40);
        for _ in 0..self.repeats() {
            let answer = self.world.queue.requeue(&run.lease, run.task, run.attempt, lost, "model").await;
            if let Ok(Written::AlreadyEnded(TaskState::Failed)) = answer
                && self.truth.tasks.get(&run.task) == Some(&None)
            {
                self.truth.end("poison", run.task, Ending { state: TaskState::Failed, kind: None, by: None })?;
            }
            self.note("requeue", &run, answer, None)?;
        }
        self.drop_run(who, &run);
        Ok(())
    }

    pub(super) async fn release(&mut self, who: usize) -> Result<(), Violation> {
        let mut known = self.dispatchers[who].cancelled.clone();
        if self.dice.chance(30) {
            known = self.dispatchers[who].past.iter().map(|(instance, task, _)| (instance.clone(), *task)).collect();
        }
        let Some((instance, task)) = self.dice.pick(&known).cloned() else { return Ok(()) };
        let Some(token) = self.dispatchers[who].leases.get(&instance).cloned() else { return Ok(()) };
        let lease = Lease { instance: instance.clone(), token };
        for _ in 0..self.repeats() {
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

    pub(super) async fn release_lease(&mut self, who: usize) -> Result<(), Violation> {
        let Some(lease) = self.any_lease(who) else { return Ok(()) };
        for _ in 0..self.repeats() {
            self.world.queue.release_lease(&lease).await.map_err(|error| error.to_string())?;
        }
        if self.truth.is_current(&lease.instance, lease.token.as_str()) {
            self.truth.leases.insert(lease.instance.clone(), (String::new(), 0));
        }
        self.lose(who, &lease.instance);
        Ok(())
    }

    /// Reclaims a task that it may never have had, as after a failover.
    pub(super) async fn reclaim(&mut self, who: usize) -> Result<(), Violation> {
        let Some(run) = self.any_run(who) else { return Ok(()) };
        let answer = self.world.queue.reclaim(&run.lease, run.task, run.attempt).await;
        self.note("reclaim", &run, answer, None)
    }

    pub(super) async fn report(&mut self, who: usize) -> Result<(), Violation> {
        let Some(lease) = self.any_lease(who) else { return Ok(()) };
        let answer =
            self.world.queue.report(&lease, &Default::default(), true).await.map_err(|error| error.to_string())?;
        let is_current = self.truth.is_current(&lease.instance, lease.token.as_str());
        let expected = if is_current { Written::Done } else { Written::Fenced };
        if answer == expected { Ok(()) } else { Err(format!("report by the owner = {is_current}: {answer:?}")) }
    }

    pub(super) fn note(
        &mut self,
        what: &str,
        run: &Run,
        answer: shuzhiren::queue::Result<Written>,
        ends: Option<(TaskState, Option<FailureKind>)>,
    ) -> Result<(), Violation> {
        let answer = answer.map_err(|error| format!("{what}: {error}"))?;
        let task = self.world.key(&format!("task:{}", run.task));
        let is_collected = matches!(self.truth.tasks.get(&run.task), Some(Some(_)))
            && self.world.redis(&["EXISTS", &task]).number() == 0;
        if is_collected && answer == Written::NotThisAttempt {
            return Ok(());
        }
        self.truth.wrote(what, run.task, &run.owner(), run.lease.token.as_str(), answer, ends)
    }
}
