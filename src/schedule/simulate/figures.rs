//! Figures of a simulation.

use super::{Course, trace::Request};
use std::collections::HashMap;

/// Tasks of a user who counts as light.
const LIGHT_TASKS_MAX: usize = 5;

/// Figures of one schedule. Times are in s.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Number of tasks.
    pub tasks: usize,
    /// Tasks of 100 that loaded a model.
    pub loads_per_100: f64,
    /// Mean time from arrival to start.
    pub wait_mean_s: f64,
    /// Median of that time.
    pub wait_p50_s: f64,
    /// Its 95th percentile.
    pub wait_p95_s: f64,
    /// Its 95th percentile among the tasks of users with at most 5.
    pub wait_p95_light_s: f64,
    /// Mean of wait and load together.
    pub wait_and_load_mean_s: f64,
    /// Run and load time per task.
    pub gpu_s_per_task: f64,
    /// Most later tasks of its lane that went before one task while it was the first.
    pub passed_over_max: Option<u32>,
    /// Most later arrivals that started before one task, first or not.
    pub overtaken_max: usize,
    /// Idle share of the instances' time while a task waits.
    pub idle_share_while_waiting: f64,
}

impl Figures {
    pub(super) fn new(requests: &[Request], course: &Course) -> Self {
        let tasks = requests.len();
        let count = tasks.max(1) as f64;
        let pairs = || requests.iter().zip(&course.started);
        let wait = |(request, started): (&Request, &super::Started)| started.at_ms - request.arrival_ms;
        let mut tasks_of: HashMap<usize, usize> = HashMap::new();
        requests.iter().for_each(|request| *tasks_of.entry(request.user).or_default() += 1);
        let is_light = |request: &Request| tasks_of.get(&request.user).is_some_and(|&tasks| tasks <= LIGHT_TASKS_MAX);
        let waits = sorted(pairs().map(wait));
        let light = sorted(pairs().filter(|(request, _)| is_light(request)).map(wait));
        let loaded = course.started.iter().filter(|started| started.load_ms > 0).count();
        let load_ms: u64 = course.started.iter().map(|started| started.load_ms).sum();
        let run_ms: u64 = requests.iter().map(|request| request.run_ms).sum();
        let wait_ms: u64 = waits.iter().sum();
        Self {
            tasks,
            loads_per_100: 100.0 * loaded as f64 / count,
            wait_mean_s: wait_ms as f64 / count / 1e3,
            wait_p50_s: percentile_s(&waits, 50),
            wait_p95_s: percentile_s(&waits, 95),
            wait_p95_light_s: percentile_s(&light, 95),
            wait_and_load_mean_s: (wait_ms + load_ms) as f64 / count / 1e3,
            gpu_s_per_task: (run_ms + load_ms) as f64 / count / 1e3,
            passed_over_max: course.passed_over_max,
            overtaken_max: overtaken_max(course),
            idle_share_while_waiting: course.idle_ms as f64 / course.all_ms.max(1) as f64,
        }
    }
}

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

/// Returns the smallest value that `percent` of 100 do not exceed (nearest rank), in s.
fn percentile_s(sorted_ms: &[u64], percent: usize) -> f64 {
    let rank = (sorted_ms.len() * percent).div_ceil(100).max(1);
    sorted_ms.get(rank - 1).map_or(0.0, |ms| *ms as f64 / 1e3)
}

/// Returns the most later arrivals that started before one task. Counts the started tasks in a Fenwick tree over arrivals.
fn overtaken_max(course: &Course) -> usize {
    let tasks = course.started.len();
    let mut by_start: Vec<usize> = (0..tasks).collect();
    by_start.sort_by_key(|&task| (course.started[task].at_ms, task));
    let mut tree = vec![0; tasks + 1];
    let mut most = 0;
    for (before, &task) in by_start.iter().enumerate() {
        let (mut earlier, mut at) = (0, task + 1);
        while at > 0 {
            earlier += tree[at];
            at &= at - 1;
        }
        most = most.max(before - earlier);
        at = task + 1;
        while at <= tasks {
            tree[at] += 1;
            at += at & at.wrapping_neg();
        }
    }
    most
}
