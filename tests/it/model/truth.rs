//! The ground truth, derived from the answers that callers got.

use shuzhiren::{
    queue::Written,
    task::{Attempt, FailureKind, InstanceId, TaskId, TaskState},
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Description of a violation.
pub type Violation = String;

/// A task's ending according to an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub state: TaskState,
    /// Kind of failure, if the caller gave one.
    pub kind: Option<FailureKind>,
    /// Instance and attempt that ended it; `None` = the API or the janitor.
    pub by: Option<(InstanceId, Attempt)>,
}

/// Leases, claims and endings according to the answers.
#[derive(Default)]
pub struct Truth {
    /// Instance → current token and deadline.
    pub leases: HashMap<InstanceId, (String, u64)>,
    /// Task → its last claim.
    pub claims: HashMap<TaskId, (InstanceId, Attempt)>,
    /// Every task ever accepted, with its ending.
    pub tasks: BTreeMap<TaskId, Option<Ending>>,
    /// Highest attempt ever claimed.
    pub attempts: HashMap<TaskId, Attempt>,
    /// Claims that were requeued or ended for a later attempt.
    pub given_back: HashSet<(TaskId, Attempt)>,
}

impl Truth {
    /// Records that a lease was granted.
    pub fn acquired(&mut self, instance: &InstanceId, token: &str, now: u64, ttl: u64) -> Result<(), Violation> {
        if let Some((holder, deadline)) = self.leases.get(instance)
            && holder != token
            && !holder.is_empty()
            && *deadline > now
        {
            return Err(format!("the lease of {instance} was taken {} ms before its end", deadline - now));
        }
        self.leases.insert(instance.clone(), (token.to_owned(), now + ttl));
        Ok(())
    }

    /// Returns true if the token is the current one.
    pub fn is_current(&self, instance: &InstanceId, token: &str) -> bool {
        self.leases.get(instance).is_some_and(|(holder, _)| holder == token)
    }

    /// Records a claim, or (`again`) its replay.
    pub fn claimed(
        &mut self,
        task: TaskId,
        instance: &InstanceId,
        attempt: Attempt,
        again: bool,
    ) -> Result<(), Violation> {
        let claim = (instance.clone(), attempt);
        if again {
            return if self.claims.get(&task) == Some(&claim) {
                Ok(())
            } else {
                Err(format!("{task}: a claim replayed wrongly"))
            };
        }
        if let Some(Some(ending)) = self.tasks.get(&task) {
            return Err(format!("{task} was claimed after it had ended {ending:?}"));
        }
        let highest = self.attempts.entry(task).or_default();
        if attempt <= *highest {
            return Err(format!("{task}: attempt {attempt} was used before"));
        }
        *highest = attempt;
        self.claims.insert(task, claim);
        Ok(())
    }

    /// Checks the answer to a write of an attempt.
    pub fn wrote(
        &mut self,
        what: &str,
        task: TaskId,
        by: &(InstanceId, Attempt),
        token: &str,
        answer: Written,
        ends: Option<(TaskState, Option<FailureKind>)>,
    ) -> Result<(), Violation> {
        let is_current = self.is_current(&by.0, token);
        match answer {
            Written::Fenced if is_current => return Err(format!("{what}: the owner of {} was fenced", by.0)),
            Written::Fenced => return Ok(()),
            _ if !is_current => {
                return Err(format!("{what} of {task} was not fenced though the lease of {} is lost", by.0));
            }
            Written::NotThisAttempt if self.claims.get(&task) != Some(by) => return Ok(()),
            Written::NotThisAttempt if self.given_back.contains(&(task, by.1)) => return Ok(()),
            Written::NotThisAttempt => return Err(format!("{what} of {task} was refused to its own attempt {by:?}")),
            Written::AlreadyEnded(state) => return self.ended_otherwise(what, task, state),
            Written::Done | Written::Retrying => {}
        }
        if self.claims.get(&task) != Some(by) {
            return Err(format!("{what} of {task} was accepted from {by:?}, not {:?}", self.claims.get(&task)));
        }
        if answer == Written::Retrying || what == "requeue" {
            self.given_back.insert((task, by.1));
        }
        match (answer, ends) {
            (Written::Done, Some((state, kind))) => self.end(what, task, Ending { state, kind, by: Some(by.clone()) }),
            _ if matches!(self.tasks.get(&task), Some(Some(_))) => {
                Err(format!("{what} of {task} was accepted after its end"))
            }
            _ => Ok(()),
        }
    }

    /// Records a revival. Later writes of the last attempt belong to before the revival.
    pub fn revived(&mut self, task: TaskId) {
        self.tasks.insert(task, None);
        if let Some((_, attempt)) = self.claims.get(&task) {
            self.given_back.insert((task, *attempt));
        }
    }

    /// Records that a task ended like this.
    pub fn end(&mut self, what: &str, task: TaskId, ending: Ending) -> Result<(), Violation> {
        match self.tasks.get_mut(&task) {
            Some(known @ None) => *known = Some(ending),
            Some(Some(known)) if *known == ending => {}
            known => return Err(format!("{what} ended {task} as {ending:?}, but it had ended {known:?}")),
        }
        Ok(())
    }

    /// Checks an answer that the task had already ended.
    pub fn ended_otherwise(&mut self, what: &str, task: TaskId, state: TaskState) -> Result<(), Violation> {
        match self.tasks.get(&task) {
            Some(Some(known)) if known.state == state => Ok(()),
            known => Err(format!("{what}: the answer is that {task} had ended {state:?}, but known is {known:?}")),
        }
    }
}
