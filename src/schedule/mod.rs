//! Scheduling: which waiting task an instance takes next. Pure code: no clock, no Redis, no instance is asked.
//!
//! A *group* is the set of tasks with the same needs; only its *head*, the task with the lowest fair tag, is ever a
//! candidate. A *place* is an instance as the policy sees it. [`policy`] decides; [`fair`] gives the tags; [`passes`] counts
//! how often the first head of a lane was passed over, which bounds it; [`holds`] remembers since when a head waits for a
//! warm place; [`warm`] is what an instance holds; [`predict`] learns run and load times. [`simulate`] runs the same code in
//! virtual time over a trace.
//!
//! # Promises
//!
//! Held by property tests in `policy/tests.rs`:
//!
//! * A place takes no task that it cannot run.
//! * While a head is the first of its lane that a place can run, at most [`policy::Policy::passes_max`] later tasks of the
//!   lane go to such places, and none later than [`policy::Policy::passed_ms_max`] after the first of them.
//! * An idle place takes a task that it can run unless each such task has been held for less than its hold.
//! * A second slot is not filled while an idle place can run the task.
//! * In `fifo` order, tasks are taken by their tags, and tasks of one tag by arrival.

pub mod fair;
pub mod holds;
pub mod passes;
pub mod policy;
pub mod predict;
pub mod simulate;
pub mod warm;
