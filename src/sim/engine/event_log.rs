//! Log of an instance for tests: every submit, start and end of a prompt, with times. Survives restarts.

use crate::{clock, sim::lock::lock};
use serde::Serialize;
use std::{collections::VecDeque, sync::Mutex};

/// Entries kept; the oldest are dropped.
const ENTRIES_MAX: usize = 100_000;

/// Kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogEvent {
    /// A prompt was queued.
    Submitted,
    /// `POST /prompt` refused a prompt with a 400.
    Refused,
    /// A pending prompt was deleted.
    Deleted,
    /// The worker started a prompt.
    Started,
    /// A prompt succeeded.
    Succeeded,
    /// A node failed.
    Failed,
    /// A prompt was interrupted.
    Interrupted,
    /// `POST /interrupt` was received (`prompt_id` empty: a global one).
    InterruptAsked,
    /// `POST /free` was received.
    FreeAsked,
    /// A file was uploaded; `prompt_id` holds its name.
    Uploaded,
    /// The process was killed.
    Killed,
    /// The process started.
    Up,
}

/// An entry of [`crate::sim::Sim::log`] and `GET /sim/log`.
#[derive(Debug, Clone, Serialize)]
pub struct LogEntry {
    /// Unix time in ms.
    pub at_ms: u64,
    /// Number of the simulated process, from 1.
    pub life: u64,
    /// The event.
    pub event: LogEvent,
    /// The prompt, empty for events without one.
    pub prompt_id: String,
    /// Up to four `filename_prefix` values of the prompt (`submitted` only), which identify the task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    entries: Mutex<VecDeque<LogEntry>>,
}

impl EventLog {
    pub(crate) fn add(&self, life: u64, event: LogEvent, prompt_id: &str) {
        self.add_with(life, event, prompt_id, Vec::new());
    }

    pub(crate) fn add_with(&self, life: u64, event: LogEvent, prompt_id: &str, prefixes: Vec<String>) {
        let mut entries = lock(&self.entries);
        if entries.len() >= ENTRIES_MAX {
            entries.pop_front();
        }
        let prompt_id = prompt_id.chars().take(200).collect();
        entries.push_back(LogEntry { at_ms: clock::unix_ms(), life, event, prompt_id, prefixes });
    }

    pub(crate) fn all(&self) -> Vec<LogEntry> {
        lock(&self.entries).iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        lock(&self.entries).clear();
    }
}
