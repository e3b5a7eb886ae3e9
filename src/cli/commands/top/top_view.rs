//! State and drawing of `top`.

use crate::cli::{
    commands::instances::vram,
    term::{
        format::{span, text},
        output::{self, Ink},
        table::{Table, cut},
    },
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Width of a progress bar.
const BAR_COLUMNS: usize = 20;

/// The fleet as shown.
pub(crate) struct Scene {
    base: String,
    /// `data` of `GET /api/monitor/overview`.
    pub(crate) overview: Value,
    /// `data` of `GET /api/instances`.
    pub(crate) instances: Vec<Value>,
    /// Running tasks by id: items of `GET /api/tasks`, or `data` of `task_progress`.
    pub(crate) running: BTreeMap<String, Value>,
    /// Reason that the view may be outdated.
    pub(crate) trouble: Option<String>,
}

impl Scene {
    /// Creates an empty view of the system at `base`.
    pub(crate) fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            overview: Value::Null,
            instances: Vec::new(),
            running: BTreeMap::new(),
            trouble: None,
        }
    }

    /// Returns `{"overview","instances","running"}`.
    pub(crate) fn json(&self) -> Value {
        let running: Vec<&Value> = self.running.values().collect();
        json!({"overview": self.overview, "instances": self.instances, "running": running})
    }
}

/// Draws at most `lines_max` lines, none wider than `columns`.
pub(crate) fn draw(scene: &Scene, columns: usize, lines_max: usize, has_colours: bool) -> Vec<String> {
    let count = |name: &str| scene.overview[name].as_u64().unwrap_or(0);
    let oldest = scene.overview["oldestWaitingMs"].as_u64().map(|ms| format!(" (oldest {})", span(ms)));
    let mut lines = vec![
        format!(
            "{}   instances {} of {} alive, {} busy   {} per minute",
            scene.base,
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
    let mut lines: Vec<String> = lines.drain(..).map(|line| cut(&line, columns)).collect();
    let trouble = scene.trouble.as_deref().unwrap_or_default();
    lines.push(Ink::Bad.paint(&cut(&output::clean(trouble), columns), has_colours && !trouble.is_empty()));
    let mut table = Table::new(&["INSTANCE", "PHASE", "PROGRESS", "NODE", "TASK", "VRAM FREE", "ERROR"]);
    let free = lines_max.saturating_sub(lines.len() + 1);
    let is_short = scene.instances.len() > free;
    let shown = if is_short { free.saturating_sub(1) } else { free };
    scene.instances.iter().take(shown).for_each(|instance| row(scene, instance, &mut table));
    lines.extend(table.lines(Some(columns), has_colours));
    if is_short {
        lines.push(cut(&format!("and {} more", scene.instances.len() - shown), columns));
    }
    lines
}

fn row(scene: &Scene, instance: &Value, table: &mut Table) {
    let phase = text(instance, "phase");
    let task_id = text(instance, "currentTaskId");
    let task = scene.running.get(task_id);
    let progress = task.and_then(|task| task["progress"].as_u64());
    let error = if phase == "up" { "" } else { text(instance, "lastError") };
    let plain = |text: String| (text, Ink::Plain);
    let shown = if instance["enabled"] == false { format!("{phase}, disabled") } else { phase.to_owned() };
    table.row([
        plain(text(instance, "id").to_owned()),
        (shown, Ink::of(phase)),
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
    use super::{Scene, draw};
    use serde_json::json;
    use unicode_width::UnicodeWidthStr as _;

    fn scene(count: usize) -> Scene {
        let mut scene = Scene::new("http://x");
        scene.overview =
            json!({"totalInstances": count, "aliveInstances": 1, "pendingTasks": 7, "oldestWaitingMs": 61_000});
        scene.instances = (0..count)
            .map(|n| json!({"id": format!("a:{n}"), "phase": "up", "enabled": true, "currentTaskId": format!("t{n}")}))
            .collect();
        scene.running.insert("t0".to_owned(), json!({"status": "running", "progress": 45, "currentNode": "3"}));
        scene
    }

    #[test]
    fn a_busy_instance_has_a_progress_bar_and_the_queue_its_age() {
        let lines = draw(&scene(2), 200, 40, false);
        assert!(lines[1].contains("7 pending (oldest 1 min 1 s)"), "{lines:?}");
        assert!(lines[4].contains("a:0") && lines[4].contains("█████████░░░░░░░░░░░  45 %  3"), "{lines:?}");
        assert!(lines[5].contains("starting"), "{lines:?}");
    }

    #[test]
    fn the_view_fits_the_terminal() {
        for (columns, height) in [(80, 24), (20, 5), (1, 1)] {
            let lines = draw(&scene(300), columns, height, false);
            assert!(lines.len() <= height.max(5), "{}", lines.len());
            assert!(lines.iter().all(|line| line.width() <= columns), "{columns}: {lines:?}");
        }
        assert!(
            draw(&scene(300), 80, 24, false)[23].starts_with("and 281 more"),
            "{:?}",
            draw(&scene(300), 80, 24, false)
        );
    }
}
