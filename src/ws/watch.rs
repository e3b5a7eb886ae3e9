//! Which tasks a session wants to hear of, and may.

use super::limits::IDS_PER_SESSION_MAX;
use crate::{auth::Caller, task::TaskId};
use std::collections::HashSet;

/// Whose tasks a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// Everybody's.
    All,
    /// Only this owner's.
    Own(String),
}

impl Sight {
    /// By role.
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

/// Everything but some, or only some. The default is everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// All tasks except these.
    AllBut(HashSet<TaskId>),
    /// Only these.
    Only(HashSet<TaskId>),
}

/// A session watches or mutes more than [`IDS_PER_SESSION_MAX`] tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Default for Watch {
    fn default() -> Self {
        Self::AllBut(HashSet::new())
    }
}

impl Watch {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Nothing.
    pub fn nothing() -> Self {
        Self::Only(HashSet::new())
    }

    /// Narrows to these tasks, or adds them to those already named.
    pub fn add(&mut self, ids: &[TaskId]) -> Result<(), TooMany> {
        if let Self::AllBut(_) = self {
            *self = Self::nothing();
        }
        self.put(ids)
    }

    /// Takes these tasks out.
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

    /// Whether it is wanted.
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
    use super::Watch;
    use crate::task::TaskId;

    #[test]
    fn naming_tasks_narrows_and_all_widens() {
        let (mut watch, a, b) = (Watch::all(), TaskId::new(), TaskId::new());
        assert!(watch.wants(a) && watch.wants(b));
        watch.remove(&[b]).unwrap();
        assert!(watch.wants(a) && !watch.wants(b));
        watch.add(&[b]).unwrap();
        assert!(!watch.wants(a) && watch.wants(b));
        watch.remove(&[b]).unwrap();
        assert!(!watch.wants(b));
        watch = Watch::all();
        assert!(watch.wants(b));
    }

    #[test]
    fn a_session_cannot_name_tasks_without_end() {
        let mut watch = Watch::nothing();
        let ids: Vec<TaskId> = (0..super::IDS_PER_SESSION_MAX).map(|_| TaskId::new()).collect();
        watch.add(&ids).unwrap();
        assert!(watch.add(&[TaskId::new()]).is_err());
    }
}
