//! Progress of followed tasks: bars on a terminal, a line per change elsewhere, JSON lines for programs.

use super::{batch_progress::BatchProgress, follow::Update};
use crate::cli::{
    client::envelope::Answer,
    error::Error,
    term::{
        format::{format_ms, node_of, text},
        output::{self, Color},
    },
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::{collections::HashMap, time::Duration};

/// Bars shown at the same time. Further tasks get one when others have ended.
const BARS_MAX: usize = 20;
/// Percent of progress between two lines about a running task.
const PERCENT_STEP: u64 = 10;
/// Interval of the spinner of a waiting task.
const TICK: Duration = Duration::from_millis(120);

/// Reports updates of followed tasks.
pub(crate) struct ProgressReporter {
    style: Style,
    /// Last state reported of each task, so that nothing is reported twice.
    reported: HashMap<String, String>,
    /// Progress of a batch, and its bar.
    batch: Option<(BatchProgress, ProgressBar)>,
}

enum Style {
    Json,
    Lines,
    Bars(MultiProgress, HashMap<String, ProgressBar>),
}

impl ProgressReporter {
    /// Creates a reporter: JSON lines, else bars if standard error is a terminal, else lines.
    pub(crate) fn new(json: bool) -> Self {
        let style = if json {
            Style::Json
        } else if output::can_draw_bars() {
            Style::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), HashMap::new())
        } else {
            Style::Lines
        };
        Self { style, reported: HashMap::new(), batch: None }
    }

    /// Creates a reporter for a batch of `count` tasks, which shows endings and the progress of the batch.
    pub(crate) fn of_batch(json: bool, count: usize) -> Self {
        let mut reporter = Self::new(json);
        let bar = match &reporter.style {
            Style::Bars(bars, _) => bar(bars, "{spinner} {bar:24} {pos:>3} %  {wide_msg}"),
            Style::Json | Style::Lines => ProgressBar::hidden(),
        };
        let batch = BatchProgress::new(count);
        bar.set_message(batch.state());
        reporter.batch = Some((batch, bar));
        reporter
    }

    /// Reports an update.
    pub(crate) fn report(&mut self, update: Update<'_>) -> Result<(), Error> {
        if let Some((batch, bar)) = &mut self.batch {
            match &update {
                Update::Task(task) | Update::Ended(task) => batch.update(task.text("id"), &task.value),
                Update::Progress(event) => batch.update(text(&event.data, "taskId"), &event.data),
                Update::Lost(_) => {}
            }
            bar.set_position(batch.percent());
            bar.set_message(batch.state());
            if batch.percent() == 100 {
                bar.finish_and_clear();
            }
        }
        let reported = self.report_update(update);
        if let (Some((batch, _)), Style::Lines) = (&mut self.batch, &self.style)
            && let Some(line) = batch.line()
        {
            output::hint(&line);
        }
        reported
    }

    fn report_update(&mut self, update: Update<'_>) -> Result<(), Error> {
        match update {
            Update::Task(task) => {
                let (id, state) = (task.text("id").to_owned(), state_of(&task.value));
                if !self.is_new(&id, &task.value, &state) {
                    return Ok(());
                }
                if let Style::Json = self.style {
                    return output::print_json_line("task", &task.raw);
                }
                self.show(&id, &task.value, state);
            }
            Update::Progress(event) => {
                let (id, state) = (text(&event.data, "taskId").to_owned(), state_of(&event.data));
                if let Style::Json = self.style {
                    return output::print_line(&event.raw);
                }
                // Only REST answers say what a waiting task waits for.
                if event.data["status"] != "pending" && self.is_new(&id, &event.data, &state) {
                    self.show(&id, &event.data, state);
                }
            }
            Update::Ended(task) => return self.ended(task),
            Update::Lost(why) => self.hint(&format!("no live updates ({}); polling", output::sanitize(why))),
        }
        Ok(())
    }

    /// Whether the state is worth reporting: in a log, not every percent is.
    fn is_new(&mut self, id: &str, task: &Value, state: &str) -> bool {
        let key = match &self.style {
            Style::Lines if task["status"] == "running" => {
                format!("{}{}", task["progress"].as_u64().unwrap_or(0) / PERCENT_STEP, place_of(task))
            }
            Style::Json | Style::Lines | Style::Bars(..) => state.to_owned(),
        };
        self.reported.insert(id.to_owned(), key.clone()) != Some(key)
    }

    fn show(&mut self, id: &str, task: &Value, state: String) {
        match &mut self.style {
            Style::Json => {}
            Style::Lines if self.batch.is_some() => {}
            Style::Lines => output::hint(&format!("{id} {state}")),
            // In a batch only running tasks have a bar of their own.
            Style::Bars(_, shown) if self.batch.is_some() && task["status"] != "running" => {
                if let Some(bar) = shown.remove(id) {
                    bar.finish_and_clear();
                }
            }
            Style::Bars(bars, shown) => {
                if !shown.contains_key(id) && shown.len() >= BARS_MAX {
                    return;
                }
                let bar = shown.entry(id.to_owned()).or_insert_with(|| new_bar(bars, id));
                bar.set_position(task["progress"].as_u64().unwrap_or(0));
                bar.set_message(if task["status"] == "running" { place_of(task) + &steps_of(task) } else { state });
            }
        }
    }

    fn ended(&mut self, task: &Answer) -> Result<(), Error> {
        let (id, line) = (task.text("id"), ending(&task.value));
        match &mut self.style {
            Style::Json => return output::print_json_line("task", &task.raw),
            Style::Lines => {}
            Style::Bars(_, shown) => {
                if let Some(bar) = shown.remove(id) {
                    bar.finish_and_clear();
                }
            }
        }
        let color = Color::of(task.text("status"));
        let line = format!("{id} {}", color.paint(&line, output::has_colors()));
        match &self.style {
            Style::Bars(bars, _) => bars.suspend(|| output::print_line(&line)),
            Style::Json | Style::Lines => output::print_line(&line),
        }
    }

    fn hint(&self, line: &str) {
        match &self.style {
            Style::Bars(bars, _) => bars.suspend(|| output::hint(line)),
            Style::Json | Style::Lines => output::hint(line),
        }
    }
}

fn new_bar(bars: &MultiProgress, id: &str) -> ProgressBar {
    bar(bars, "{spinner} {prefix} {bar:24} {pos:>3} %  {wide_msg}").with_prefix(id.to_owned())
}

fn bar(bars: &MultiProgress, template: &str) -> ProgressBar {
    let bar = bars.add(ProgressBar::new(100));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    }
    bar.enable_steady_tick(TICK);
    bar
}

/// State of a task that has not ended: `waits for …`, `45 % on 127.0.0.1:8001, node 2`.
pub(crate) fn state_of(task: &Value) -> String {
    match text(task, "status") {
        "pending" => match task["waitingFor"].as_str() {
            Some(why) => format!("waits for {}{}", output::sanitize(why), attempt_of(task)),
            None => format!("waits{}", attempt_of(task)),
        },
        "running" => format!("{} % {}", task["progress"], place_of(task)).trim_end().to_owned(),
        other => output::sanitize(other).into_owned(),
    }
}

/// Place of a running task: `on 127.0.0.1:8001, node 2, attempt 2`.
fn place_of(task: &Value) -> String {
    let place = task["instanceId"].as_str().map(|id| format!("on {}", output::sanitize(id))).unwrap_or_default();
    let node = task["currentNode"].as_str().map(|id| format!(", node {}", output::sanitize(id))).unwrap_or_default();
    format!("{place}{node}{}", attempt_of(task))
}

/// Steps of the executing node and the rest of the run: `, step 5 of 20, 3.2 s left`.
fn steps_of(task: &Value) -> String {
    let steps = task["step"].as_u64().zip(task["steps"].as_u64()).filter(|(_, steps)| *steps > 1);
    let steps = steps.map(|(step, steps)| format!(", step {step} of {steps}")).unwrap_or_default();
    let rest = task["remainingMs"].as_u64().map(|ms| format!(", {} left", format_ms(ms))).unwrap_or_default();
    steps + &rest
}

fn attempt_of(task: &Value) -> String {
    let attempt = task["attempt"].as_u64().filter(|attempt| *attempt > 1);
    attempt.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default()
}

/// End of a task: `completed in 3.2 s on 127.0.0.1:8001`, `failed: node_error in node 2 (TestSteps): boom`.
pub(crate) fn ending(task: &Value) -> String {
    let status = text(task, "status");
    if status == "completed" {
        let took = task["runMs"].as_u64().map(|ms| format!(" in {}", format_ms(ms))).unwrap_or_default();
        let place = task["instanceId"].as_str().map(|id| format!(" on {}", output::sanitize(id))).unwrap_or_default();
        return format!("completed{took}{place}");
    }
    let error = &task["error"];
    if status != "failed" || error.is_null() {
        return status.to_owned();
    }
    let node = node_of(error).map(|node| format!(" in {node}")).unwrap_or_default();
    output::sanitize(&format!("failed: {}{node}: {}", text(error, "type"), text(error, "message").trim())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{ending, state_of};
    use serde_json::json;

    #[test]
    fn a_state_is_one_line() {
        for (task, expected) in [
            (json!({"status": "pending", "waitingFor": "a free instance", "attempt": 0}), "waits for a free instance"),
            (json!({"status": "pending", "progress": 30, "attempt": 2}), "waits, attempt 2"),
            (
                json!({"status": "running", "progress": 45, "instanceId": "a:1", "currentNode": "2\u{1b}[2J", "attempt": 1}),
                "45 % on a:1, node 2 [2J",
            ),
        ] {
            assert_eq!(state_of(&task), expected);
        }
        let failed = json!({"status": "failed", "error": {"type": "node_error", "message": "boom\n", "nodeId": "2", "nodeType": "K"}});
        assert_eq!(ending(&failed), "failed: node_error in node 2 (K): boom");
        assert_eq!(
            ending(&json!({"status": "completed", "runMs": 3200, "instanceId": "a:1"})),
            "completed in 3.2 s on a:1"
        );
        assert_eq!(ending(&json!({"status": "cancelled", "error": {"type": "node_error"}})), "cancelled");
    }
}
