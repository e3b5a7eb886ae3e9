//! Subscription of a session, and the tasks that its caller may see.

use super::limits::IDS_PER_SESSION_MAX;
use crate::{auth::Caller, task::TaskId};
use std::collections::HashSet;

/// The tasks that a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// All tasks.
    All,
    /// The tasks of this owner only.
    Own(String),
}

impl Visibility {
    /// Derives it from the caller's role.
    pub fn of(caller: &Caller) -> Self {
        caller.only_owner().map_or(Self::All, |owner| Self::Own(owner.to_owned()))
    }

    /// Whether a task of this owner may be seen.
    pub fn covers(&self, owner: &str) -> bool {
        match self {
            Self::All => true,
            Self::Own(own) => own == owner,
        }
    }
}

/// Tasks that a session wants: all but some, or only some. The default is all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// All tasks except these.
    AllBut(HashSet<TaskId>),
    /// Only these.
    Only(HashSet<TaskId>),
}

/// Error of a session that subscribes to or mutes more than [`IDS_PER_SESSION_MAX`] tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Default for Subscription {
    fn default() -> Self {
        Self::AllBut(HashSet::new())
    }
}

impl Subscription {
    /// Subscribes to all tasks.
    pub fn all() -> Self {
        Self::default()
    }

    /// Subscribes to no task.
    pub fn nothing() -> Self {
        Self::Only(HashSet::new())
    }

    /// Narrows a subscription to all tasks to these; adds them to one of named tasks.
    pub fn add(&mut self, ids: &[TaskId]) -> Result<(), TooMany> {
        if let Self::AllBut(_) = self {
            *self = Self::nothing();
        }
        self.put(ids)
    }

    /// Removes these tasks from the subscription.
    pub fn remove(&mut self, ids: &[TaskId]) -> Result<(), TooMany> {
        match self {
            Self::AllBut(_) => self.put(ids),
            Self::Only(only) => {
                for id in ids {
                    only.remove(id);
                }
                Ok(())
            }
        }
    }

    /// Whether the session wants events of this task.
    pub fn wants(&self, id: TaskId) -> bool {
        match self {
            Self::AllBut(muted) => muted.is_empty() || !muted.contains(&id),
            Self::Only(only) => only.contains(&id),
        }
    }

    fn put(&mut self, ids: &[TaskId]) -> Result<(), TooMany> {
        let (Self::AllBut(named) | Self::Only(named)) = self;
        if named.len() + ids.len() > IDS_PER_SESSION_MAX {
            return Err(TooMany);
        }
        named.extend(ids);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Subscription;
    use crate::task::TaskId;

    #[test]
    fn naming_tasks_narrows_and_all_widens() {
        let (mut subscription, a, b) = (Subscription::all(), TaskId::new(), TaskId::new());
        assert!(subscription.wants(a) && subscription.wants(b));
        subscription.remove(&[b]).unwrap();
        assert!(subscription.wants(a) && !subscription.wants(b));
        subscription.add(&[b]).unwrap();
        assert!(!subscription.wants(a) && subscription.wants(b));
        subscription.remove(&[b]).unwrap();
        assert!(!subscription.wants(b));
        subscription = Subscription::all();
        assert!(subscription.wants(b));
    }

    #[test]
    fn the_number_of_named_tasks_is_limited() {
        let mut subscription = Subscription::nothing();
        let ids: Vec<TaskId> = (0..super::IDS_PER_SESSION_MAX).map(|_| TaskId::new()).collect();
        subscription.add(&ids).unwrap();
        assert!(subscription.add(&[TaskId::new()]).is_err());
    }
}
