//! Tasks in Redis, for the api: enqueue, read, cancel, batches, payloads, previews.

pub(super) mod batches;
pub(super) mod enqueue_batcher;
pub(super) mod list_rows;
pub(super) mod previews;
pub(super) mod task_hash;
pub(super) mod verbs;
