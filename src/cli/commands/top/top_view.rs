//! State and drawing of `top`.

use crate::cli::{
    client::websocket::Event,
    commands::instances::vram,
    term::{
        format::{format_ms, text},
        output::{self, Color},
        table::{Table, truncate},
    },
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Width of a progress bar.
const BAR_COLUMNS: usize = 20;

/// The fleet as shown.
pub(crate) struct TopView {
    base: String,
    /// `data` of `GET /api/monitor/overview`.
    pub(crate) overview: Value,
    /// `data` of `GET /api/instances`.
    pub(crate) instances: Vec<Value>,
    /// Running tasks by id: items of `GET /api/tasks`, or `data` of `task_progress`.
    pub(crate) running: BTreeMap<String, Value>,
    /// Reason that the view may be outdated.
    pub(crate) warning: Option<String>,
}

impl TopView {
    /// Creates an empty view of the system at `base`.
    pub(crate) fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            overview: Value::Null,
            instances: Vec::new(),
            running: BTreeMap::new(),
            warning: None,
        }
    }

    /// Applies an event.
    pub(super) fn apply(&mut self, event: &Event) {
        let id = text(&event.data, "taskId").to_owned();
        match event.kind.as_str() {
            "global_status" => self.overview = event.data.clone(),
            "instance_status" => {
                let known = self.instances.iter_mut().find(|one| one["id"] == event.data["instanceId"]);
                let (Some(Value::Object(known)), Value::Object(update)) = (known, &event.data) else { return };
                for (name, value) in update.iter().filter(|(name, _)| *name != "instanceId") {
                    known.insert(name.clone(), value.clone());
                }
            }
            "task_progress" if event.data["status"] == "running" => {
                self.running.insert(id, event.data.clone());
            }
            "task_progress" | "task_completed" | "task_failed" => {
                self.running.remove(&id);
            }
            _ => {}
        }
    }

    /// Returns `{"overview","instances","running"}`.
    pub(crate) fn json(&self) -> Value {
        let running: Vec<&Value> = self.running.values().collect();
        json!({"overview": self.overview, "instances": self.instances, "running": running})
    }
}

/// Draws at most `lines_max` lines, none wider than `columns`.
pub(crate) fn draw(view: &TopView, columns: usize, lines_max: usize, has_colors: bool) -> Vec<String> {
    let count = |name: &str| view.overview[name].as_u64().unwrap_or(0);
    let oldest = view.overview["oldestWaitingMs"].as_u64().map(|ms| format!(" (oldest {})", format_ms(ms)));
    let mut lines = vec![
        format!(
            "{}   instances {} of {} alive, {} busy   {} per minute",
            view.base,
            count("aliveInstances"),
            count("totalInstances"),
            count("busyInstances"),
            count("throughputPerMinute"),
        ),
        format!(
            "tasks   {} pending{}   {} running   {} completed   {} failed   {} cancelled",
            count("pendingTasks"),
            oldest.unwrap_or_default(),
            count("runningTasks"),
            count("completedTasks"),
            count("failedTasks"),
            count("cancelledTasks"),
        ),
    ];
    let mut lines: Vec<String> = lines.drain(..).map(|line| truncate(&line, columns)).collect();
    let warning = view.warning.as_deref().unwrap_or_default();
    lines.push(Color::Bad.paint(&truncate(&output::sanitize(warning), columns), has_colors && !warning.is_empty()));
    let mut table = Table::new(&["INSTANCE", "PHASE", "PROGRESS", "NODE", "TASK", "VRAM FREE", "ERROR"]);
    let free = lines_max.saturating_sub(lines.len() + 1);
    let is_short = view.instances.len() > free;
    let shown = if is_short { free.saturating_sub(1) } else { free };
    view.instances.iter().take(shown).for_each(|instance| row(view, instance, &mut table));
    lines.extend(table.lines(Some(columns), has_colors));
    if is_short {
        lines.push(truncate(&format!("and {} more", view.instances.len() - shown), columns));
    }
    lines
}

fn row(view: &TopView, instance: &Value, table: &mut Table) {
    let phase = text(instance, "phase");
    let task_id = text(instance, "currentTaskId");
    let task = view.running.get(task_id);
    let progress = task.and_then(|task| task["progress"].as_u64());
    let error = if phase == "up" { "" } else { text(instance, "lastError") };
    let plain = |text: String| (text, Color::Plain);
    let shown = if instance["enabled"] == false { format!("{phase}, disabled") } else { phase.to_owned() };
    table.push([
        plain(text(instance, "id").to_owned()),
        (shown, Color::of(phase)),
        plain(match (progress, task_id) {
            (Some(percent), _) => bar(percent),
            (None, "") => String::new(),
            (None, _) => "starting".to_owned(),
        }),
        plain(task.map_or_else(String::new, |task| text(task, "currentNode").to_owned())),
        plain(task_id.to_owned()),
        plain(vram(&instance["device"])),
        plain(error.to_owned()),
    ]);
}

fn bar(percent: u64) -> String {
    let full = usize::try_from(percent.min(100)).unwrap_or(0) * BAR_COLUMNS / 100;
    format!("{}{} {percent:>3} %", "█".repeat(full), "░".repeat(BAR_COLUMNS - full))
}

#[cfg(test)]
mod tests {
    use super::{TopView, draw};
    use serde_json::json;
    use unicode_width::UnicodeWidthStr as _;

    fn view(count: usize) -> TopView {
        let mut view = TopView::new("http://x");
        view.overview =
            json!({"totalInstances": count, "aliveInstances": 1, "pendingTasks": 7, "oldestWaitingMs": 61_000});
        view.instances = (0..count)
            .map(|n| json!({"id": format!("a:{n}"), "phase": "up", "enabled": true, "currentTaskId": format!("t{n}")}))
            .collect();
        view.running.insert("t0".to_owned(), json!({"status": "running", "progress": 45, "currentNode": "3"}));
        view
    }

    #[test]
    fn a_busy_instance_has_a_progress_bar_and_the_queue_its_age() {
        let lines = draw(&view(2), 200, 40, false);
        assert!(lines[1].contains("7 pending (oldest 1 min 1 s)"), "{lines:?}");
        assert!(lines[4].contains("a:0") && lines[4].contains("█████████░░░░░░░░░░░  45 %  3"), "{lines:?}");
        assert!(lines[5].contains("starting"), "{lines:?}");
    }

    #[test]
    fn the_view_fits_the_terminal() {
        for (columns, height) in [(80, 24), (20, 5), (1, 1)] {
            let lines = draw(&view(300), columns, height, false);
            assert!(lines.len() <= height.max(5), "{}", lines.len());
            assert!(lines.iter().all(|line| line.width() <= columns), "{columns}: {lines:?}");
        }
        assert!(
            draw(&view(300), 80, 24, false)[23].starts_with("and 281 more"),
            "{:?}",
            draw(&view(300), 80, 24, false)
        );
    }
}
