//! Task versions sent so far, so that the hub never sends an older state after a newer one, and the unended tasks,
//! whose versions are compared with Redis. Pure.

use super::limits::{ENDED_MAX, TRACKED_MAX};
use crate::{
    event::{TaskChange, TaskEvent},
    task::{Attempt, Task, TaskId, TaskState},
};
use std::{
    cmp::Ordering,
    collections::{HashMap, VecDeque},
};

/// Table of the newest version sent of each task.
#[derive(Debug, Default)]
pub struct TaskVersions {
    tasks: HashMap<TaskId, KnownTask>,
    /// Ended tasks, oldest first.
    ended: VecDeque<TaskId>,
    /// Whether the table holds every unended task of the queue.
    complete: bool,
}

#[derive(Debug, Clone, Copy)]
struct KnownTask {
    /// Number of revivals. An event of an earlier life is never newer, one of a later life always.
    revived: u32,
    version: u64,
    attempt: Attempt,
    percent: u8,
    is_ended: bool,
}

/// Result of comparing one task with Redis.
#[derive(Debug, PartialEq, Eq)]
pub enum Drift {
    /// No event was missed.
    Current,
    /// Redis has a newer version: read the task and publish it.
    Behind,
    /// The task no longer exists.
    Gone,
}

impl TaskVersions {
    /// Records an event and returns whether it must be sent. An ending is sent unless an ending was sent before, even
    /// if its version is lower: a failover may have lost writes whose events were sent.
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
        self.put(event.id, KnownTask { revived, version, attempt, percent, is_ended });
        true
    }

    /// Returns the last progress of the event's attempt: a task that goes back to `pending` must not seem to lose
    /// progress within its attempt.
    pub fn percent_of(&self, event: &TaskEvent) -> u8 {
        let is_of = |known: &&KnownTask| known.attempt == event.attempt && known.revived == event.revived;
        let known = self.tasks.get(&event.id).filter(is_of);
        known.map_or(0, |known| known.percent)
    }

    /// Whether a task read from Redis is older than the last event sent.
    pub fn is_outdated(&self, task: &Task) -> bool {
        self.tasks.get(&task.id).is_some_and(|known| match known.revived.cmp(&task.revived) {
            Ordering::Greater => true,
            Ordering::Equal => !task.state.is_terminal() && known.version > task.version,
            Ordering::Less => false,
        })
    }

    /// Raises version and progress of a task read from Redis to those last sent, for a task whose events outpace its
    /// reads.
    pub fn raise_to_sent(&self, task: &mut Task) {
        let is_of =
            |known: &&KnownTask| known.attempt == task.attempt && known.revived == task.revived && !known.is_ended;
        let known = self.tasks.get(&task.id).filter(is_of);
        if let Some(known) = known.filter(|known| known.version > task.version) {
            task.version = known.version;
            task.progress.percent = task.progress.percent.max(known.percent);
        }
    }

    /// Whether a task read from Redis is newer than the last event sent. An unknown task is recorded and not newer.
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
                    self.put(task.id, KnownTask { revived, version, attempt, percent, is_ended });
                }
                false
            }
        }
    }

    /// Whether the table holds the task. The oldest ended tasks are dropped from it.
    pub fn contains(&self, id: TaskId) -> bool {
        self.tasks.contains_key(&id)
    }

    /// Whether the table holds the task and it has not ended, or was revived.
    pub fn is_alive(&self, id: TaskId) -> bool {
        self.tasks.get(&id).is_some_and(|known| !known.is_ended)
    }

    /// Returns the unended tasks with the version last sent.
    pub fn unended(&self) -> Vec<(TaskId, u64)> {
        let live = self.tasks.iter().filter(|(_, known)| !known.is_ended);
        live.map(|(id, known)| (*id, known.version)).collect()
    }

    /// Compares one unended task with Redis. `sent` is the version last sent when the read began.
    pub fn compare(&mut self, id: TaskId, sent: u64, found: Option<(u64, TaskState)>) -> Drift {
        let Some(known) = self.tasks.get_mut(&id).filter(|known| !known.is_ended) else {
            return Drift::Current;
        };
        match found {
            None => {
                self.tasks.remove(&id);
                Drift::Gone
            }
            Some((version, state)) if state.is_terminal() || version > known.version => Drift::Behind,
            Some((version, _)) => {
                // Redis lost writes whose events were sent (failover): the next versions are lower.
                if known.version == sent {
                    known.version = version;
                }
                Drift::Current
            }
        }
    }

    /// Whether the table holds every unended task of the queue.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Sets whether the table holds every unended task of the queue.
    pub fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    fn live(&self) -> usize {
        self.tasks.len() - self.ended.len()
    }

    fn put(&mut self, id: TaskId, known: KnownTask) {
        let before = self.tasks.insert(id, known);
        if before.is_some_and(|known| known.is_ended) {
            // The task was revived, which is rare.
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

/// Makes the event that describes the state of a task read from Redis.
pub fn event_of(task: &Task) -> TaskEvent {
    let change = match task.state {
        TaskState::Delayed | TaskState::Waiting => TaskChange::Pending,
        TaskState::Claimed => TaskChange::Claimed,
        TaskState::Running => TaskChange::Progress(task.progress.clone()),
        TaskState::Completed => TaskChange::Completed {
            outputs: task.outputs.clone(),
            outputs_dropped: task.outputs_dropped,
            warnings: task.output_warnings.clone(),
        },
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
    use super::{Drift, TaskVersions};
    use crate::{
        event::{TaskChange, TaskEvent},
        task::{Attempt, Progress, TaskId, TaskState},
        ws::limits::ENDED_MAX,
    };

    fn event(id: TaskId, version: u64, change: TaskChange) -> TaskEvent {
        TaskEvent { id, owner: "a".to_owned(), version, attempt: Attempt::new(1), revived: 0, instance: None, change }
    }

    #[test]
    fn no_older_event_is_sent_after_a_newer_one() {
        let (mut known, id) = (TaskVersions::default(), TaskId::new());
        assert!(known.admit(&event(id, 3, TaskChange::Started)));
        assert!(!known.admit(&event(id, 3, TaskChange::Started)));
        assert!(!known.admit(&event(id, 2, TaskChange::Claimed)));
        assert!(known.admit(&event(id, 4, TaskChange::Cancelled)));
        assert!(!known.admit(&event(id, 5, TaskChange::Started)), "nothing follows an ending");
    }

    #[test]
    fn an_ending_is_sent_once_even_when_its_version_is_low() {
        let (mut known, id) = (TaskVersions::default(), TaskId::new());
        assert!(known.admit(&event(id, 9, TaskChange::Started)));
        assert!(known.admit(&event(id, 7, TaskChange::Cancelled)));
        assert!(!known.admit(&event(id, 7, TaskChange::Cancelled)));
    }

    #[test]
    fn events_of_a_later_life_are_sent_and_of_an_earlier_one_are_not() {
        let (mut known, id) = (TaskVersions::default(), TaskId::new());
        let life = |revived, version, change| TaskEvent { revived, ..event(id, version, change) };
        assert!(known.admit(&life(0, 4, TaskChange::Cancelled)));
        assert!(known.admit(&life(1, 5, TaskChange::Revived)));
        assert_eq!((known.unended(), known.live()), (vec![(id, 5)], 1));
        assert!(!known.admit(&life(0, 9, TaskChange::Cancelled)), "the first life is over");
        assert!(known.admit(&life(1, 6, TaskChange::Cancelled)));
        assert!(!known.admit(&life(1, 6, TaskChange::Cancelled)));
        assert_eq!((known.unended(), known.live()), (vec![], 0));
        // A revival whose event was missed.
        assert!(known.admit(&life(2, 9, TaskChange::Cancelled)));
        assert_eq!((known.tasks.len(), known.ended.len()), (1, 1));
    }

    #[test]
    fn a_retry_keeps_the_progress_of_its_attempt() {
        let (mut known, id) = (TaskVersions::default(), TaskId::new());
        let progress = Progress { percent: 40, ..Progress::default() };
        known.admit(&event(id, 1, TaskChange::Progress(progress)));
        assert_eq!(known.percent_of(&event(id, 2, TaskChange::Pending)), 40);
        let next = TaskEvent { attempt: Attempt::new(2), ..event(id, 2, TaskChange::Pending) };
        assert_eq!(known.percent_of(&next), 0);
    }

    #[test]
    fn comparison_finds_missed_events_and_accepts_lost_writes() {
        let (mut known, id) = (TaskVersions::default(), TaskId::new());
        known.admit(&event(id, 5, TaskChange::Started));
        assert_eq!(known.unended(), [(id, 5)]);
        assert_eq!(known.compare(id, 5, Some((5, TaskState::Running))), Drift::Current);
        assert_eq!(known.compare(id, 5, Some((6, TaskState::Running))), Drift::Behind);
        assert_eq!(known.compare(id, 5, Some((4, TaskState::Failed))), Drift::Behind);
        assert_eq!(known.compare(id, 5, Some((2, TaskState::Running))), Drift::Current);
        assert!(known.admit(&event(id, 3, TaskChange::Claimed)), "versions continue from the one in Redis");
        assert_eq!(known.compare(id, 3, None), Drift::Gone);
        assert!(known.unended().is_empty());
    }

    #[test]
    fn the_oldest_ended_tasks_are_dropped() {
        let mut known = TaskVersions::default();
        let first = TaskId::new();
        known.admit(&event(first, 1, TaskChange::Cancelled));
        for _ in 0..ENDED_MAX {
            known.admit(&event(TaskId::new(), 1, TaskChange::Cancelled));
        }
        assert!(!known.contains(first));
        assert_eq!(known.tasks.len(), ENDED_MAX);
    }
}
