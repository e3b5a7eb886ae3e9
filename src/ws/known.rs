//! What the hub knows of tasks: the newest version told, so that nothing older is told after it, and which tasks have not
//! ended, so that their versions can be compared with Redis. Pure.

use super::limits::{ENDED_MAX, TRACKED_MAX};
use crate::{
    event::{TaskChange, TaskEvent},
    task::{Attempt, Task, TaskId, TaskState},
};
use std::{
    cmp::Ordering,
    collections::{HashMap, VecDeque},
};

/// The table.
#[derive(Debug, Default)]
pub struct KnownTasks {
    tasks: HashMap<TaskId, Known>,
    /// Ended ones, oldest first.
    ended: VecDeque<TaskId>,
    /// Whether every unended task of the queue is in the table.
    complete: bool,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// How often it was revived: an earlier life is never news, a later one always.
    revived: u32,
    version: u64,
    attempt: Attempt,
    percent: u8,
    is_ended: bool,
}

/// What a comparison with Redis found.
#[derive(Debug, PartialEq, Eq)]
pub enum Position {
    /// Nothing was missed.
    Current,
    /// Read the task and tell it.
    Behind,
    /// It does not exist any more.
    Gone,
}

impl KnownTasks {
    /// Notes an event; whether it is news. An ending is news unless an ending was told before: after a failover that lost
    /// writes its version may be lower than one we told.
    pub fn admit(&mut self, event: &TaskEvent) -> bool {
        let is_ended = event.change.is_terminal();
        let before = self.tasks.get(&event.id).copied();
        if before.is_some_and(|known| event.revived < known.revived) {
            return false;
        }
        let before = before.filter(|known| event.revived == known.revived);
        if before.is_some_and(|known| known.is_ended || (!is_ended && event.version <= known.version)) {
            return false;
        }
        if before.is_none() && !is_ended && self.live() >= TRACKED_MAX {
            self.complete = false;
            return true;
        }
        let percent = match &event.change {
            TaskChange::Progress(progress) => progress.percent,
            TaskChange::Pending | TaskChange::Claimed | TaskChange::Output { .. } => self.percent_of(event),
            TaskChange::Revived
            | TaskChange::Started
            | TaskChange::Completed { .. }
            | TaskChange::Failed { .. }
            | TaskChange::Cancelled => 0,
        };
        let (revived, version, attempt) = (event.revived, event.version, event.attempt);
        self.put(event.id, Known { revived, version, attempt, percent, is_ended });
        true
    }

    /// How far the attempt of this event was: a task that goes back to `pending` must not seem to fall within its attempt.
    pub fn percent_of(&self, event: &TaskEvent) -> u8 {
        let is_of = |known: &&Known| known.attempt == event.attempt && known.revived == event.revived;
        let known = self.tasks.get(&event.id).filter(is_of);
        known.map_or(0, |known| known.percent)
    }

    /// Whether a task as read is older than what was told.
    pub fn is_overtaken(&self, task: &Task) -> bool {
        self.tasks.get(&task.id).is_some_and(|known| match known.revived.cmp(&task.revived) {
            Ordering::Greater => true,
            Ordering::Equal => !task.state.is_terminal() && known.version > task.version,
            Ordering::Less => false,
        })
    }

    /// Brings a task as read up to what was told: for one whose events are quicker than its reads.
    pub fn raise(&self, task: &mut Task) {
        let is_of = |known: &&Known| known.attempt == task.attempt && known.revived == task.revived && !known.is_ended;
        let known = self.tasks.get(&task.id).filter(is_of);
        if let Some(known) = known.filter(|known| known.version > task.version) {
            task.version = known.version;
            task.progress.percent = task.progress.percent.max(known.percent);
        }
    }

    /// Whether a task as read is newer than what was told. One that was never heard of is only noted.
    pub fn is_news(&mut self, task: &Task) -> bool {
        let is_ended = task.state.is_terminal();
        match self.tasks.get(&task.id) {
            Some(known) if task.revived != known.revived => task.revived > known.revived,
            Some(known) => !known.is_ended && (is_ended || task.version > known.version),
            None if is_ended => false,
            None => {
                if self.live() >= TRACKED_MAX {
                    self.complete = false;
                } else {
                    let (revived, version, attempt) = (task.revived, task.version, task.attempt);
                    let percent = task.progress.percent;
                    self.put(task.id, Known { revived, version, attempt, percent, is_ended });
                }
                false
            }
        }
    }

    /// Whether the task was ever heard of (ended ones are forgotten in time).
    pub fn contains(&self, id: TaskId) -> bool {
        self.tasks.contains_key(&id)
    }

    /// Whether the task is known not to have ended, or to live again.
    pub fn is_alive(&self, id: TaskId) -> bool {
        self.tasks.get(&id).is_some_and(|known| !known.is_ended)
    }

    /// Unended tasks with the version told.
    pub fn unended(&self) -> Vec<(TaskId, u64)> {
        let live = self.tasks.iter().filter(|(_, known)| !known.is_ended);
        live.map(|(id, known)| (*id, known.version)).collect()
    }

    /// Compares one unended task with Redis. `told` is the version when the read began.
    pub fn position(&mut self, id: TaskId, told: u64, found: Option<(u64, TaskState)>) -> Position {
        let Some(known) = self.tasks.get_mut(&id).filter(|known| !known.is_ended) else {
            return Position::Current;
        };
        match found {
            None => {
                self.tasks.remove(&id);
                Position::Gone
            }
            Some((version, state)) if state.is_terminal() || version > known.version => Position::Behind,
            Some((version, _)) => {
                // Redis lost writes that we had told (failover): what comes now has lower numbers.
                if known.version == told {
                    known.version = version;
                }
                Position::Current
            }
        }
    }

    /// Whether every unended task of the queue is in the table.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Says so.
    pub fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    fn live(&self) -> usize {
        self.tasks.len() - self.ended.len()
    }

    fn put(&mut self, id: TaskId, known: Known) {
        let before = self.tasks.insert(id, known);
        if before.is_some_and(|known| known.is_ended) {
            // It lives again, which is rare.
            self.ended.retain(|ended| *ended != id);
        }
        if known.is_ended {
            self.ended.push_back(id);
            if self.ended.len() > ENDED_MAX
                && let Some(oldest) = self.ended.pop_front()
            {
                self.tasks.remove(&oldest);
            }
        }
    }
}

/// The event that a task as read amounts to.
pub fn event_of(task: &Task) -> TaskEvent {
    let change = match task.state {
        TaskState::Delayed | TaskState::Waiting => TaskChange::Pending,
        TaskState::Claimed => TaskChange::Claimed,
        TaskState::Running => TaskChange::Progress(task.progress.clone()),
        TaskState::Completed => TaskChange::Completed { outputs: task.outputs.clone() },
        TaskState::Failed => match &task.failure {
            Some(failure) => TaskChange::Failed { failure: failure.clone() },
            None => TaskChange::Cancelled,
        },
        TaskState::Cancelled => TaskChange::Cancelled,
    };
    TaskEvent {
        id: task.id,
        owner: task.owner.clone(),
        version: task.version,
        attempt: task.attempt,
        revived: task.revived,
        instance: task.instance.clone(),
        change,
    }
}

#[cfg(test)]
mod tests {
    use super::{KnownTasks, Position};
    use crate::{
        event::{TaskChange, TaskEvent},
        task::{Attempt, Progress, TaskId, TaskState},
        ws::limits::ENDED_MAX,
    };

    fn event(id: TaskId, version: u64, change: TaskChange) -> TaskEvent {
        TaskEvent { id, owner: "a".to_owned(), version, attempt: Attempt::new(1), revived: 0, instance: None, change }
    }

    #[test]
    fn nothing_older_is_told_after_something_newer() {
        let (mut known, id) = (KnownTasks::default(), TaskId::new());
        assert!(known.admit(&event(id, 3, TaskChange::Started)));
        assert!(!known.admit(&event(id, 3, TaskChange::Started)));
        assert!(!known.admit(&event(id, 2, TaskChange::Claimed)));
        assert!(known.admit(&event(id, 4, TaskChange::Cancelled)));
        assert!(!known.admit(&event(id, 5, TaskChange::Started)), "nothing follows an ending");
    }

    #[test]
    fn an_ending_is_told_once_even_when_its_version_is_low() {
        let (mut known, id) = (KnownTasks::default(), TaskId::new());
        assert!(known.admit(&event(id, 9, TaskChange::Started)));
        assert!(known.admit(&event(id, 7, TaskChange::Cancelled)));
        assert!(!known.admit(&event(id, 7, TaskChange::Cancelled)));
    }

    #[test]
    fn another_life_is_news_and_an_earlier_one_is_not() {
        let (mut known, id) = (KnownTasks::default(), TaskId::new());
        let life = |revived, version, change| TaskEvent { revived, ..event(id, version, change) };
        assert!(known.admit(&life(0, 4, TaskChange::Cancelled)));
        assert!(known.admit(&life(1, 5, TaskChange::Revived)));
        assert_eq!((known.unended(), known.live()), (vec![(id, 5)], 1));
        assert!(!known.admit(&life(0, 9, TaskChange::Cancelled)), "the first life is over");
        assert!(known.admit(&life(1, 6, TaskChange::Cancelled)));
        assert!(!known.admit(&life(1, 6, TaskChange::Cancelled)));
        assert_eq!((known.unended(), known.live()), (vec![], 0));
        // A revival that nobody told of.
        assert!(known.admit(&life(2, 9, TaskChange::Cancelled)));
        assert_eq!((known.tasks.len(), known.ended.len()), (1, 1));
    }

    #[test]
    fn a_retry_does_not_fall_within_its_attempt() {
        let (mut known, id) = (KnownTasks::default(), TaskId::new());
        let progress = Progress { percent: 40, ..Progress::default() };
        known.admit(&event(id, 1, TaskChange::Progress(progress)));
        assert_eq!(known.percent_of(&event(id, 2, TaskChange::Pending)), 40);
        let next = TaskEvent { attempt: Attempt::new(2), ..event(id, 2, TaskChange::Pending) };
        assert_eq!(known.percent_of(&next), 0);
    }

    #[test]
    fn positioning_finds_what_was_missed_and_accepts_that_redis_lost_writes() {
        let (mut known, id) = (KnownTasks::default(), TaskId::new());
        known.admit(&event(id, 5, TaskChange::Started));
        assert_eq!(known.unended(), [(id, 5)]);
        assert_eq!(known.position(id, 5, Some((5, TaskState::Running))), Position::Current);
        assert_eq!(known.position(id, 5, Some((6, TaskState::Running))), Position::Behind);
        assert_eq!(known.position(id, 5, Some((4, TaskState::Failed))), Position::Behind);
        assert_eq!(known.position(id, 5, Some((2, TaskState::Running))), Position::Current);
        assert!(known.admit(&event(id, 3, TaskChange::Claimed)), "numbers start again at what Redis has");
        assert_eq!(known.position(id, 3, None), Position::Gone);
        assert!(known.unended().is_empty());
    }

    #[test]
    fn ended_tasks_are_forgotten_in_time() {
        let mut known = KnownTasks::default();
        let first = TaskId::new();
        known.admit(&event(first, 1, TaskChange::Cancelled));
        for _ in 0..ENDED_MAX {
            known.admit(&event(TaskId::new(), 1, TaskChange::Cancelled));
        }
        assert!(!known.contains(first));
        assert_eq!(known.tasks.len(), ENDED_MAX);
    }
}
