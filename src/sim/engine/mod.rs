//! The stand-in's execution engine: queue, validation, order, worker, history.

pub(super) mod cache;
pub(super) mod event_log;
pub(super) mod execution_order;
pub(super) mod freeze;
pub(super) mod graph;
pub(super) mod history;
pub(super) mod process;
pub(super) mod progress;
pub(super) mod prompt_heap;
pub(super) mod prompt_queue;
pub(super) mod run;
pub(super) mod validate;
pub(super) mod validate_input;
pub(super) mod worker;
