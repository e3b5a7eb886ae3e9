//! Handlers, one file per resource: wire forms in, queue calls, wire forms out.

pub(super) mod batches;
pub(super) mod config;
pub(super) mod download;
pub(super) mod files;
pub(super) mod instances;
pub(super) mod login;
pub(super) mod monitor;
pub(super) mod nodes;
pub(super) mod preview;
pub(super) mod retry;
pub(super) mod submit;
pub(super) mod tasks;
pub(super) mod thumbnail;
pub(super) mod upload;
pub(super) mod waiting_reason;
pub(super) mod workflows;
