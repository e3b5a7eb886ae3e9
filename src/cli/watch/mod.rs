//! Following tasks and batches to their endings, and showing their progress.

pub(super) mod batch_progress;
pub(super) mod follow;
pub(super) mod progress;
pub(super) mod targets;
pub(super) mod watch_all;
