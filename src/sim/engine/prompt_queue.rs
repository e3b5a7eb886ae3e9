//! Pending, running and finished prompts, under one lock as in the real server.

use crate::sim::{
    engine::{history::History, prompt_heap::QueueItem},
    limits::{HISTORY_BYTES_MAX, PENDING_MAX},
};
use serde_json::{Value, json};

/// Pending, running and finished prompts, under one lock as in the real server.
#[derive(Debug, Default)]
pub(crate) struct PromptQueue {
    /// The next `number` to assign.
    pub counter: i64,
    pub pending: Vec<QueueItem>,
    pub running: Option<QueueItem>,
    pub history: History,
}

impl PromptQueue {
    /// Returns `{"exec_info":{"queue_remaining":N}}`.
    pub(crate) fn info(&self) -> Value {
        let remaining = self.pending.len() + usize::from(self.running.is_some());
        json!({"exec_info": {"queue_remaining": remaining}})
    }

    /// Whether a request of this size may be queued.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.pending.len() < PENDING_MAX
            && self.pending.iter().map(|item| item.bytes).sum::<usize>() + bytes <= 4 * HISTORY_BYTES_MAX
    }
}
