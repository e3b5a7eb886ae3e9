//! A batch in one line: how far all of it is. What each of its tasks does is told beside it.

use crate::cli::term::{
    format::{is_ended, text},
    output,
};
use serde_json::Value;
use std::collections::HashMap;

/// Percent between two lines of a log.
const PERCENT_STEP: u64 = 10;

/// All tasks of a batch, as far as they were heard of.
pub(crate) struct Whole {
    count: usize,
    tasks: HashMap<String, Stand>,
    /// Why one waits that was asked.
    waits_for: String,
    /// What was told last.
    told: Option<(u64, usize)>,
}

struct Stand {
    status: String,
    percent: u64,
}

impl Whole {
    /// Of so many tasks.
    pub(crate) fn new(count: usize) -> Self {
        Self { count, tasks: HashMap::new(), waits_for: String::new(), told: None }
    }

    /// Takes in what is heard of one task.
    pub(crate) fn hear(&mut self, id: &str, task: &Value) {
        let status = text(task, "status").to_owned();
        if let Some(why) = task["waitingFor"].as_str() {
            self.waits_for = output::clean(why).into_owned();
        }
        let percent = if is_ended(&status) { 100 } else { task["progress"].as_u64().unwrap_or(0).min(99) };
        self.tasks.insert(id.to_owned(), Stand { status, percent });
    }

    /// Of all; 100 when all have ended.
    pub(crate) fn percent(&self) -> u64 {
        let sum: u64 = self.tasks.values().map(|stand| stand.percent).sum();
        sum / self.count.max(1) as u64
    }

    /// `2 of 6 ended, 1 of them badly; 1 runs, 3 wait for a free instance: all 2 are busy`
    pub(crate) fn state(&self) -> String {
        let count = |is: fn(&str) -> bool| self.tasks.values().filter(|stand| is(&stand.status)).count();
        let (ended, badly) = (count(is_ended), count(is_bad));
        let running = count(|status| status == "running");
        let waiting = self.count.saturating_sub(ended + running);
        let mut state = format!("{ended} of {} ended", self.count);
        if badly > 0 {
            state.push_str(&format!(", {badly} of them badly"));
        }
        if running > 0 {
            state.push_str(&format!("; {running} {}", if running == 1 { "runs" } else { "run" }));
        }
        if waiting > 0 {
            let separator = if running > 0 { ", " } else { "; " };
            let verb = if waiting == 1 { "waits" } else { "wait" };
            // While others of it run, it waits for those.
            let why = if running > 0 || self.waits_for.is_empty() {
                String::new()
            } else {
                format!(" for {}", self.waits_for)
            };
            state.push_str(&format!("{separator}{waiting} {verb}{why}"));
        }
        state
    }

    /// The line of a log, when there is something new to tell.
    pub(crate) fn news(&mut self) -> Option<String> {
        let badly = self.tasks.values().filter(|stand| is_bad(&stand.status)).count();
        let key = (self.percent() / PERCENT_STEP, badly);
        // The first news of each task come one by one.
        if self.tasks.len() < self.count || self.told == Some(key) {
            return None;
        }
        self.told = Some(key);
        Some(format!("{} %: {}", self.percent(), self.state()))
    }
}

fn is_bad(status: &str) -> bool {
    matches!(status, "failed" | "cancelled")
}

#[cfg(test)]
mod tests {
    use super::Whole;
    use serde_json::json;

    #[test]
    fn a_batch_is_told_at_every_tenth_and_every_failure() {
        let mut whole = Whole::new(4);
        let waits = json!({"status": "pending", "progress": 0, "waitingFor": "a free\u{1b} instance"});
        for id in ["a", "b", "c"] {
            whole.hear(id, &waits);
            assert_eq!(whole.news(), None, "not before all were heard of");
        }
        whole.hear("d", &waits);
        assert_eq!(whole.news().unwrap(), "0 %: 0 of 4 ended; 4 wait for a free  instance");
        whole.hear("a", &json!({"status": "running", "progress": 20}));
        assert_eq!(whole.news(), None, "5 % are no news");
        whole.hear("a", &json!({"status": "running", "progress": 48}));
        assert_eq!(whole.news().unwrap(), "12 %: 0 of 4 ended; 1 runs, 3 wait");
        whole.hear("a", &json!({"status": "completed", "progress": 100}));
        whole.hear("b", &json!({"status": "failed", "progress": 12}));
        assert_eq!(whole.news().unwrap(), "50 %: 2 of 4 ended, 1 of them badly; 2 wait for a free  instance");
        whole.hear("c", &json!({"status": "cancelled"}));
        whole.hear("d", &json!({"status": "completed"}));
        assert_eq!((whole.percent(), whole.state().as_str()), (100, "4 of 4 ended, 2 of them badly"));
    }
}
