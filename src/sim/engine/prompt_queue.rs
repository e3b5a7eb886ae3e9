//! Pending, running and finished prompts, under one lock as in the real server.

use super::{history::History, prompt_heap::Item};
use crate::sim::{HISTORY_BYTES_MAX, PENDING_MAX};
use serde_json::{Value, json};

/// Pending, running and finished prompts, under one lock as in the real server.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Next `number` the server gives.
    pub counter: i64,
    pub pending: Vec<Item>,
    pub running: Option<Item>,
    pub history: History,
}

impl Queue {
    /// `{"exec_info":{"queue_remaining":N}}`.
    pub(crate) fn info(&self) -> Value {
        let remaining = self.pending.len() + usize::from(self.running.is_some());
        json!({"exec_info": {"queue_remaining": remaining}})
    }

    /// Whether one more request of so many bytes may wait.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.pending.len() < PENDING_MAX
            && self.pending.iter().map(|item| item.bytes).sum::<usize>() + bytes <= 4 * HISTORY_BYTES_MAX
    }
}
