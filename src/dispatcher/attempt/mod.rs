//! An attempt at a task: inputs, submit, follow, outputs, settle.

pub(super) mod cancel_prompt;
pub(super) mod context;
pub(super) mod follow;
pub(super) mod input_cache;
pub(super) mod inputs;
mod node_failure;
pub(super) mod outputs;
pub(super) mod record_progress;
pub(super) mod recover;
pub(super) mod reroute;
pub(super) mod restore_claim;
pub(super) mod run;
pub(super) mod settle;
pub(super) mod spans;
pub(super) mod stage_error;
pub(super) mod submit;
pub(super) mod watchdog;
