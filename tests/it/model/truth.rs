//! What the harness knows for certain, from what callers were told.

use shuzhiren::{
    queue::Written,
    task::{Attempt, FailureKind, InstanceId, TaskId, TaskState},
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A violation in words.
pub type Wrong = String;

/// A task's ending that a caller was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub state: TaskState,
    /// The failure's kind, where the caller said one.
    pub kind: Option<FailureKind>,
    /// Who ended it; `None` = the API or the janitor.
    pub by: Option<(InstanceId, Attempt)>,
}

/// Leases, claims and endings as callers were told.
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
    /// Claims that were given back or ended for a later attempt.
    pub given_back: HashSet<(TaskId, Attempt)>,
}

impl Truth {
    /// A lease was granted.
    pub fn acquired(&mut self, instance: &InstanceId, token: &str, now: u64, ttl: u64) -> Result<(), Wrong> {
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

    /// Whether the token is the current one.
    pub fn is_current(&self, instance: &InstanceId, token: &str) -> bool {
        self.leases.get(instance).is_some_and(|(holder, _)| holder == token)
    }

    /// A task was claimed (or the claim was told again).
    pub fn claimed(&mut self, task: TaskId, instance: &InstanceId, attempt: Attempt, again: bool) -> Result<(), Wrong> {
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

    /// A write of an attempt was answered.
    pub fn wrote(
        &mut self,
        what: &str,
        task: TaskId,
        by: &(InstanceId, Attempt),
        token: &str,
        answer: Written,
        ends: Option<(TaskState, Option<FailureKind>)>,
    ) -> Result<(), Wrong> {
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

    /// A caller was told that it lives again: what the last attempt still says is of the life before.
    pub fn revived(&mut self, task: TaskId) {
        self.tasks.insert(task, None);
        if let Some((_, attempt)) = self.claims.get(&task) {
            self.given_back.insert((task, *attempt));
        }
    }

    /// A caller was told that a task ended like this.
    pub fn end(&mut self, what: &str, task: TaskId, ending: Ending) -> Result<(), Wrong> {
        match self.tasks.get_mut(&task) {
            Some(known @ None) => *known = Some(ending),
            Some(Some(known)) if *known == ending => {}
            known => return Err(format!("{what} ended {task} as {ending:?}, but it had ended {known:?}")),
        }
        Ok(())
    }

    /// A caller was told that it had ended before.
    pub fn ended_otherwise(&mut self, what: &str, task: TaskId, state: TaskState) -> Result<(), Wrong> {
        match self.tasks.get(&task) {
            Some(Some(known)) if known.state == state => Ok(()),
            known => Err(format!("{what}: told that {task} had ended {state:?}, but known is {known:?}")),
        }
    }
}
