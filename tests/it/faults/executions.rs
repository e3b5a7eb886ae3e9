//! Executions by the stand-ins, in order: the only evidence for "nothing ran twice".

use serde::{Deserialize, Serialize};
use shuzhiren::{
    sim::LogEntry,
    task::{Attempt, TaskId},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Largest attempt number looked for.
const ATTEMPTS_MAX: u32 = 40;

/// A line of a stand-in's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogLine {
    pub at_ms: u64,
    pub life: u64,
    pub event: String,
    pub prompt_id: String,
}

impl LogLine {
    pub fn of(entry: &LogEntry) -> Self {
        serde_json::from_value(serde_json::to_value(entry).unwrap()).unwrap()
    }
}

/// The end of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Succeeded,
    Failed,
    Interrupted,
    /// The instance died during it.
    Died,
    /// Still running.
    Not,
}

/// An execution of a prompt; `at` is instance and attempt, for messages.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "read by a failing test's message")]
pub struct Execution {
    at: (String, u32),
    pub begun_ms: u64,
    pub ended_ms: u64,
    pub end: End,
    /// Time of the death of its instance after it succeeded: its result may be lost.
    pub result_lost_ms: Option<u64>,
}

/// All executions by the stand-ins.
pub struct Executions {
    by_task: BTreeMap<String, Vec<Execution>>,
    /// Executions of prompts that belong to no known task.
    pub foreign: Vec<String>,
    /// Largest number of prompts at one instance at a time.
    pub depth_max: usize,
    /// Violations in the logs, such as a prompt that began twice in one life of its instance.
    pub violations: Vec<String>,
}

impl Executions {
    /// Reads `logs` (instance → log). `tasks` holds all tasks that may have run.
    pub fn read(logs: &[(String, Vec<LogLine>)], tasks: &BTreeSet<String>) -> Self {
        let mut prompts = HashMap::new();
        for id in tasks {
            let task: TaskId = id.parse().unwrap();
            for attempt in 1..=ATTEMPTS_MAX {
                prompts.insert(task.prompt_id(Attempt::new(attempt)).to_string(), (id.clone(), attempt));
            }
        }
        let mut runs = Self { by_task: BTreeMap::new(), foreign: Vec::new(), depth_max: 0, violations: Vec::new() };
        for (instance, log) in logs {
            runs.read_one(instance, log, &prompts);
        }
        runs.by_task.values_mut().for_each(|executions| executions.sort_by_key(|one| one.begun_ms));
        runs
    }

    fn read_one(&mut self, instance: &str, log: &[LogLine], prompts: &HashMap<String, (String, u32)>) {
        let mut queued: BTreeSet<&str> = BTreeSet::new();
        let mut begun: BTreeSet<(&str, u64)> = BTreeSet::new();
        for (place, line) in log.iter().enumerate() {
            let prompt = line.prompt_id.as_str();
            match line.event.as_str() {
                "submitted" => {
                    if !queued.insert(prompt) {
                        self.violations.push(format!("{instance}: {prompt} was submitted while it was queued"));
                    }
                    self.depth_max = self.depth_max.max(queued.len());
                }
                "succeeded" | "failed" | "interrupted" | "deleted" => {
                    queued.remove(prompt);
                }
                "killed" => queued.clear(),
                "started" => {
                    if !begun.insert((prompt, line.life)) {
                        self.violations.push(format!("{instance}: {prompt} was begun twice in one life"));
                    }
                    match prompts.get(prompt) {
                        Some((task, attempt)) => {
                            let execution = execution(instance, *attempt, place, log);
                            self.by_task.entry(task.clone()).or_default().push(execution);
                        }
                        None => self.foreign.push(format!("{instance}: {prompt}")),
                    }
                }
                _ => {}
            }
        }
    }

    /// Executions of a task, in the order of their starts.
    pub fn of(&self, task: &str) -> &[Execution] {
        self.by_task.get(task).map_or(&[], Vec::as_slice)
    }

    /// Executions of a task beyond the first that nothing excuses; `excuses` are ends that allow another attempt.
    pub fn unexcused(&self, task: &str, excuses: &[End]) -> Vec<String> {
        let executions = self.of(task);
        let mut violations = Vec::new();
        for pair in executions.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let result_was_lost = before.result_lost_ms.is_some_and(|lost_ms| lost_ms <= after.begun_ms);
            if before.end == End::Not || before.ended_ms > after.begun_ms {
                violations.push(format!("task {task} ran twice at the same time: {executions:#?}"));
            } else if !excuses.contains(&before.end) && !result_was_lost {
                violations.push(format!("task {task} ran again after it {:?}: {executions:#?}", before.end));
            }
        }
        violations
    }
}

fn execution(instance: &str, attempt: u32, place: usize, log: &[LogLine]) -> Execution {
    let begun = &log[place];
    let mut execution = Execution {
        at: (instance.to_owned(), attempt),
        begun_ms: begun.at_ms,
        ended_ms: u64::MAX,
        end: End::Not,
        result_lost_ms: None,
    };
    for line in &log[place + 1..] {
        let is_own = line.prompt_id == begun.prompt_id && line.life == begun.life;
        let end = match line.event.as_str() {
            "succeeded" if is_own => End::Succeeded,
            "failed" if is_own => End::Failed,
            "interrupted" if is_own => End::Interrupted,
            "killed" if line.life == begun.life => End::Died,
            _ => continue,
        };
        if execution.end == End::Succeeded && end == End::Died {
            execution.result_lost_ms = Some(line.at_ms);
        }
        if execution.end == End::Not {
            (execution.end, execution.ended_ms) = (end, line.at_ms);
        }
        if end == End::Died {
            break;
        }
    }
    execution
}
