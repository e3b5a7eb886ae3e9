//! What an instance did, for tests to judge: every submit, start and end of every prompt, with times. Survives restarts.

use crate::{clock, sim::lock};
use serde::Serialize;
use std::{collections::VecDeque, sync::Mutex};

/// The oldest entries go beyond this.
const ENTRIES_MAX: usize = 100_000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// A prompt was queued.
    Submitted,
    /// `POST /prompt` refused one with a 400.
    Refused,
    /// A pending prompt was deleted.
    Deleted,
    /// The worker began a prompt.
    Started,
    /// It ended well.
    Succeeded,
    /// A node failed.
    Failed,
    /// It was interrupted.
    Interrupted,
    /// `POST /interrupt` was received (`prompt_id` empty: a global one).
    InterruptAsked,
    /// `POST /free` was received.
    FreeAsked,
    /// A file was uploaded; `prompt_id` holds its name.
    Uploaded,
    /// The process was killed.
    Killed,
    /// The process came up.
    Up,
}

/// One entry of [`crate::sim::Sim::log`] and `GET /sim/log`.
#[derive(Debug, Clone, Serialize)]
pub struct LogEntry {
    /// Unix time in ms.
    pub at_ms: u64,
    /// Which life of the process, from 1.
    pub life: u64,
    /// What happened.
    pub event: Happened,
    /// The prompt, empty for events without one.
    pub prompt_id: String,
    /// Up to four `filename_prefix` values of the prompt (`submitted` only): they name the task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Record {
    entries: Mutex<VecDeque<LogEntry>>,
}

impl Record {
    pub(crate) fn add(&self, life: u64, event: Happened, prompt_id: &str) {
        self.add_with(life, event, prompt_id, Vec::new());
    }

    pub(crate) fn add_with(&self, life: u64, event: Happened, prompt_id: &str, prefixes: Vec<String>) {
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
