//! Schedules that give a task to an instance when it arrives: the task waits there, wherever others are idle.

use super::{Course, Schedule, Settings, Started, trace::Request};
use std::collections::VecDeque;

#[derive(Clone, Default)]
struct Queue {
    models: Vec<usize>,
    free_ms: u64,
    /// Starts and ends of its tasks that have not ended.
    tasks: VecDeque<(u64, u64)>,
}

impl Queue {
    fn push(&mut self, request: &Request, settings: &Settings) -> Started {
        let is_held = self.models.contains(&request.model);
        self.models.retain(|&model| model != request.model);
        self.models.insert(0, request.model);
        self.models.truncate(settings.warm_models);
        let load_ms = if is_held { 0 } else { settings.load_ms };
        let at_ms = request.arrival_ms.max(self.free_ms);
        self.free_ms = at_ms + load_ms + request.run_ms;
        self.tasks.push_back((at_ms, self.free_ms));
        Started { at_ms, load_ms }
    }
}

pub(super) fn run(requests: &[Request], settings: &Settings, schedule: Schedule) -> Course {
    let mut queues = vec![Queue::default(); settings.instances];
    let mut course = Course::default();
    // Times at which the number of busy instances or of waiting tasks changes.
    let mut changes: Vec<(u64, i64, i64)> = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        for queue in &mut queues {
            while queue.tasks.front().is_some_and(|(_, end_ms)| *end_ms <= request.arrival_ms) {
                queue.tasks.pop_front();
            }
        }
        let place = match schedule {
            Schedule::RoundRobin => number % settings.instances,
            _ => (0..queues.len()).min_by_key(|&place| (queues[place].tasks.len(), place)).unwrap_or(0),
        };
        let started = queues[place].push(request, settings);
        let end_ms = started.at_ms + started.load_ms + request.run_ms;
        changes.extend([(request.arrival_ms, 0, 1), (started.at_ms, 1, -1), (end_ms, -1, 0)]);
        course.started.push(started);
    }
    changes.sort_unstable_by_key(|(at_ms, ..)| *at_ms);
    let (mut busy, mut waiting, mut before_ms) = (0, 0, 0);
    for (at_ms, more_busy, more_waiting) in changes {
        if waiting > 0 {
            let idle = (settings.instances as i64 - busy).max(0);
            course.idle_ms += idle.unsigned_abs() * (at_ms - before_ms);
            course.all_ms += settings.instances as u64 * (at_ms - before_ms);
        }
        (busy, waiting, before_ms) = (busy + more_busy, waiting + more_waiting, at_ms);
    }
    course
}
