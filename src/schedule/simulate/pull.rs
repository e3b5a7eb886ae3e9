//! Schedules in which instances take tasks: ours, and first in, first out.

use super::{
    super::{
        fair,
        holds::Holds,
        policy::{Head, Policy},
    },
    Course, Schedule, Settings, Started,
    instances::Instances,
    trace::Request,
    waiting::{GroupHead, Waiting},
};
use std::{cmp::Reverse, collections::BinaryHeap};

/// A simulation in progress.
pub(super) struct Pull<'a> {
    requests: &'a [Request],
    settings: &'a Settings,
    policy: Policy,
    /// Arrived requests.
    arrived: usize,
    waiting: Waiting,
    instances: Instances<'a>,
    /// Ends of running tasks, and the instances.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    holds: Holds<usize>,
    look_again_ms: Option<u64>,
    course: Course,
}

impl<'a> Pull<'a> {
    pub(super) fn new(requests: &'a [Request], settings: &'a Settings, schedule: Schedule) -> Self {
        let policy = if schedule == Schedule::Warm { Policy::warm(settings.load_ms) } else { Policy::fifo() };
        Self {
            requests,
            settings,
            policy,
            arrived: 0,
            waiting: Waiting::default(),
            instances: Instances::new(requests, settings),
            ends: BinaryHeap::new(),
            holds: Holds::default(),
            look_again_ms: None,
            course: Course { started: vec![Started::default(); requests.len()], ..Course::default() },
        }
    }

    pub(super) fn run(mut self) -> Course {
        let mut now_ms = 0;
        while let Some(next_ms) = self.next_ms() {
            if !self.waiting.is_empty() {
                self.course.idle_ms += self.instances.idle() as u64 * (next_ms - now_ms);
                self.course.all_ms += self.settings.instances as u64 * (next_ms - now_ms);
            }
            now_ms = next_ms;
            self.end_tasks(now_ms);
            self.admit(now_ms);
            while self.plan(now_ms) {}
        }
        self.course.passed_over_max = Some(self.waiting.passed_over_max);
        self.course
    }

    fn next_ms(&self) -> Option<u64> {
        let arrival = self.requests.get(self.arrived).map(|request| request.arrival_ms);
        let end = self.ends.peek().map(|Reverse((at_ms, _))| *at_ms);
        [arrival, end, self.look_again_ms].into_iter().flatten().min()
    }

    fn end_tasks(&mut self, now_ms: u64) {
        while let Some(&Reverse((at_ms, place))) = self.ends.peek()
            && at_ms <= now_ms
        {
            self.ends.pop();
            self.instances.end(place, self.requests, now_ms);
        }
    }

    fn admit(&mut self, now_ms: u64) {
        while let Some(request) = self.requests.get(self.arrived).filter(|request| request.arrival_ms <= now_ms) {
            let tag = if self.policy.is_warm_first {
                let (run_ms, mean_ms) = self.instances.run_ms(request);
                self.waiting.fair.tag(request.user, fair::cost(run_ms, mean_ms), 1.0)
            } else {
                self.arrived as f64
            };
            self.waiting.add(request.model, self.arrived, tag);
            self.arrived += 1;
        }
    }

    /// Returns true if tasks were started: there are new heads to plan with.
    fn plan(&mut self, now_ms: u64) -> bool {
        self.look_again_ms = None;
        if self.waiting.is_empty() || self.instances.idle() == 0 {
            return false;
        }
        let group_heads = self.waiting.heads();
        let heads: Vec<Head> = group_heads.iter().map(|head| self.head(head)).collect();
        let view = self.instances.view(group_heads.iter().map(|head| head.group).collect());
        let plan = self.policy.plan(&heads, &self.instances.places(), &view, now_ms);
        self.holds.update(group_heads.iter().map(|head| (head.group, head.tag)), &plan.held, now_ms);
        self.look_again_ms = plan.look_again_ms.filter(|&at_ms| at_ms > now_ms);
        let mut has_started = false;
        for claim in &plan.claims {
            let Some(task) = self.waiting.take(claim, &group_heads, now_ms) else { continue };
            let request = &self.requests[task];
            let load_ms = self.instances.start(claim.place, task, request, now_ms);
            self.ends.push(Reverse((now_ms + load_ms + request.run_ms, claim.place)));
            self.course.started[task] = Started { at_ms: now_ms, load_ms };
            has_started = true;
        }
        has_started
    }

    fn head(&self, head: &GroupHead) -> Head {
        Head {
            lane: 1,
            tag: head.tag,
            waiting: head.waiting,
            is_in_window: head.is_in_window,
            run_ms: self.instances.run_ms(&self.requests[head.task]).0.unwrap_or(0.0) as u64,
            passes: head.passes,
            held_since_ms: self.holds.since_ms(&head.group, head.tag),
        }
    }
}
