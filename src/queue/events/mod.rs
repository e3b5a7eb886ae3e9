//! Published events, and the wake-up when tasks were added.

pub(super) mod feed;
pub(super) mod wakeups;
