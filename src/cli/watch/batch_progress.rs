//! Progress of a batch in one line. Single tasks are reported by [`super::progress`].

use crate::cli::term::{
    format::{is_ended, text},
    output,
};
use serde_json::Value;
use std::collections::HashMap;

/// Percent of progress between two lines of a log.
const PERCENT_STEP: u64 = 10;

/// State of a batch, from the updates of its tasks.
pub(crate) struct BatchProgress {
    count: usize,
    tasks: HashMap<String, TaskState>,
    /// Reason that a waiting task waits.
    waiting_for: String,
    /// Percentage step and failures last reported.
    reported: Option<(u64, usize)>,
}

struct TaskState {
    status: String,
    percent: u64,
}

impl BatchProgress {
    /// Creates the state of a batch of `count` tasks.
    pub(crate) fn new(count: usize) -> Self {
        Self { count, tasks: HashMap::new(), waiting_for: String::new(), reported: None }
    }

    /// Applies an update of a task.
    pub(crate) fn update(&mut self, id: &str, task: &Value) {
        let status = text(task, "status").to_owned();
        if let Some(why) = task["waitingFor"].as_str() {
            self.waiting_for = output::sanitize(why).into_owned();
        }
        let percent = if is_ended(&status) { 100 } else { task["progress"].as_u64().unwrap_or(0).min(99) };
        self.tasks.insert(id.to_owned(), TaskState { status, percent });
    }

    /// Returns the progress of all tasks; 100 when all have ended.
    pub(crate) fn percent(&self) -> u64 {
        let sum: u64 = self.tasks.values().map(|task| task.percent).sum();
        sum / self.count.max(1) as u64
    }

    /// Describes the state: `2 of 6 done, 1 failed; 1 running, 3 waiting for a free instance: all 2 are busy`
    pub(crate) fn state(&self) -> String {
        let count = |is: fn(&str) -> bool| self.tasks.values().filter(|task| is(&task.status)).count();
        let (ended, failed) = (count(is_ended), count(is_failed));
        let running = count(|status| status == "running");
        let waiting = self.count.saturating_sub(ended + running);
        let mut state = format!("{ended} of {} done", self.count);
        if failed > 0 {
            state.push_str(&format!(", {failed} failed"));
        }
        if running > 0 {
            state.push_str(&format!("; {running} running"));
        }
        if waiting > 0 {
            let separator = if running > 0 { ", " } else { "; " };
            // While some tasks run, the others wait for them.
            let why = if running > 0 || self.waiting_for.is_empty() {
                String::new()
            } else {
                format!(" for {}", self.waiting_for)
            };
            state.push_str(&format!("{separator}{waiting} waiting{why}"));
        }
        state
    }

    /// Returns a line for the log if there is enough progress.
    pub(crate) fn line(&mut self) -> Option<String> {
        let failed = self.tasks.values().filter(|task| is_failed(&task.status)).count();
        let key = (self.percent() / PERCENT_STEP, failed);
        // The first updates of the tasks arrive one by one.
        if self.tasks.len() < self.count || self.reported == Some(key) {
            return None;
        }
        self.reported = Some(key);
        Some(format!("{} %: {}", self.percent(), self.state()))
    }
}

fn is_failed(status: &str) -> bool {
    matches!(status, "failed" | "cancelled")
}

#[cfg(test)]
mod tests {
    use super::BatchProgress;
    use serde_json::json;

    #[test]
    fn a_batch_is_reported_at_every_tenth_and_every_failure() {
        let mut batch = BatchProgress::new(4);
        let waits = json!({"status": "pending", "progress": 0, "waitingFor": "a free\u{1b} instance"});
        for id in ["a", "b", "c"] {
            batch.update(id, &waits);
            assert_eq!(batch.line(), None, "not before each task had an update");
        }
        batch.update("d", &waits);
        assert_eq!(batch.line().unwrap(), "0 %: 0 of 4 done; 4 waiting for a free  instance");
        batch.update("a", &json!({"status": "running", "progress": 20}));
        assert_eq!(batch.line(), None, "5 % is not enough");
        batch.update("a", &json!({"status": "running", "progress": 48}));
        assert_eq!(batch.line().unwrap(), "12 %: 0 of 4 done; 1 running, 3 waiting");
        batch.update("a", &json!({"status": "completed", "progress": 100}));
        batch.update("b", &json!({"status": "failed", "progress": 12}));
        assert_eq!(batch.line().unwrap(), "50 %: 2 of 4 done, 1 failed; 2 waiting for a free  instance");
        batch.update("c", &json!({"status": "cancelled"}));
        batch.update("d", &json!({"status": "completed"}));
        assert_eq!((batch.percent(), batch.state().as_str()), (100, "4 of 4 done, 2 failed"));
    }
}
