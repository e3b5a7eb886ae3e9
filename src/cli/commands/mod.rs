//! The client commands, one file or folder each.

pub(super) mod batches;
pub(super) mod bench;
pub(super) mod completions;
pub(super) mod config;
pub(super) mod explain;
pub(super) mod files;
pub(super) mod for_each_id;
pub(super) mod instances;
pub(super) mod login;
pub(super) mod sample;
pub(super) mod submit;
pub(super) mod tasks;
pub(super) mod top;
pub(super) mod watch;
pub(super) mod workflows;
