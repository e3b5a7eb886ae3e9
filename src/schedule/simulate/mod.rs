//! Simulation of schedules in virtual time over a trace of requests, with the code that the dispatcher runs.
//!
//! The arrivals of a trace are compressed until the pure run time fills the given share of the fleet ([`trace`]). Each
//! instance holds its last models and takes `load_ms` to load another; the scheduler does not know that and learns it, like
//! run times, from tasks that have ended. One scheduler sees all instances, which are equal and have one slot.

mod figures;
mod instances;
mod pull;
mod push;
#[cfg(test)]
mod tests;
pub mod trace;
mod waiting;

pub use figures::Figures;
use trace::Request;

/// Simulated fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Number of instances, at least 1.
    pub instances: usize,
    /// Models that an instance holds, at least 1.
    pub warm_models: usize,
    /// Time to load a model, in ms.
    pub load_ms: u64,
}

/// Order in which tasks go to instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Our policy.
    Warm,
    /// By arrival, to an idle instance that is warm if there is one.
    Fifo,
    /// Pushed to the instances in turn on arrival.
    RoundRobin,
    /// Pushed on arrival to the instance with the fewest unfinished tasks.
    LeastQueue,
}

impl Schedule {
    /// All schedules, the order of a report.
    pub const ALL: [Self; 4] = [Self::Warm, Self::Fifo, Self::RoundRobin, Self::LeastQueue];

    /// Returns the name of the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Fifo => "fifo",
            Self::RoundRobin => "round-robin",
            Self::LeastQueue => "least-queue",
        }
    }
}

/// Start of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Started {
    at_ms: u64,
    load_ms: u64,
}

/// Result of a simulation, before it is summed up.
#[derive(Debug, Default)]
struct Course {
    started: Vec<Started>,
    /// Most passes over one task; `None` if the schedule has no order of which it could be said.
    passed_over_max: Option<u32>,
    /// Idle time of instances, and all their time, while a task waits.
    idle_ms: u64,
    all_ms: u64,
}

/// Runs requests, sorted by arrival, through a fleet.
#[must_use]
pub fn simulate(requests: &[Request], settings: &Settings, schedule: Schedule) -> Figures {
    let course = match schedule {
        Schedule::Warm | Schedule::Fifo => pull::Pull::new(requests, settings, schedule).run(),
        Schedule::RoundRobin | Schedule::LeastQueue => push::run(requests, settings, schedule),
    };
    Figures::new(requests, &course)
}
