//! Traces of requests: CSV with the columns `arrival_s, user, model, loras, images, steps, exec_s`.

use serde::Deserialize;
use std::{collections::HashMap, io::Read, ops::RangeInclusive};

/// Requests that a trace may have.
pub const REQUESTS_MAX: usize = 5_000_000;
const DAY_S: f64 = 86_400.0;

/// Reason why a trace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line is not as described.
    #[error("not a trace: {0}; wanted the columns arrival_s, user, model, loras, images, steps, exec_s")]
    Csv(#[from] csv::Error),
    /// A time is negative or not a number.
    #[error("request {0}: arrival_s and exec_s must be numbers of at least 0")]
    Time(usize),
    /// More requests than [`REQUESTS_MAX`].
    #[error("the trace has more than {REQUESTS_MAX} requests")]
    TooLong,
    /// No request, or none with a run time.
    #[error("no requests in these days; the trace has the days {0}")]
    Empty(String),
}

/// Line of a trace. `loras` and `images` may be left empty, like `steps`.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    arrival_s: f64,
    user: String,
    model: String,
    loras: Option<f64>,
    images: Option<f64>,
    steps: Option<f64>,
    exec_s: f64,
}

/// Request of a trace. Users, models and shapes are numbered by their first appearance.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Arrival, in ms of virtual time.
    pub arrival_ms: u64,
    /// User.
    pub user: usize,
    /// Model: the group of the task.
    pub model: usize,
    /// Model, number of LoRAs, images and steps: the shape and size of the workflow.
    pub shape: usize,
    /// Run time without loading, in ms.
    pub run_ms: u64,
}

/// Requests as read, in s.
#[derive(Debug)]
pub struct Trace {
    lines: Vec<Line>,
}

impl Trace {
    /// Reads a trace and sorts it by arrival.
    ///
    /// # Errors
    ///
    /// A line that is no request, or too many of them.
    pub fn read(source: impl Read) -> Result<Self, Error> {
        let mut lines: Vec<Line> = Vec::new();
        for line in csv::Reader::from_reader(source).into_deserialize::<Line>() {
            let line = line?;
            let is_time = |value: f64| value.is_finite() && (0.0..1e12).contains(&value);
            if !is_time(line.arrival_s) || !is_time(line.exec_s) {
                return Err(Error::Time(lines.len() + 1));
            }
            if lines.len() >= REQUESTS_MAX {
                return Err(Error::TooLong);
            }
            lines.push(line);
        }
        lines.sort_by(|a, b| a.arrival_s.total_cmp(&b.arrival_s));
        Ok(Self { lines })
    }

    /// Returns the requests of these days, the first is 1, with arrivals compressed until the run time fills the share
    /// `load` of `instances`. The time that is compressed are whole days, from the first to the last with a request.
    ///
    /// # Errors
    ///
    /// No request in these days.
    pub fn requests(
        &self,
        days: Option<&RangeInclusive<u64>>,
        instances: usize,
        load: f64,
    ) -> Result<Vec<Request>, Error> {
        let is_wanted = |line: &&Line| days.is_none_or(|days| days.contains(&day(line)));
        let lines: Vec<&Line> = self.lines.iter().filter(is_wanted).collect();
        let run_s: f64 = lines.iter().map(|line| line.exec_s).sum();
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Err(self.empty()) };
        if run_s <= 0.0 {
            return Err(self.empty());
        }
        let span_s = (day(last) - day(first) + 1) as f64 * DAY_S;
        let factor = run_s / (load * instances as f64 * span_s);
        let mut numbers = Numbers::default();
        Ok(lines.iter().map(|line| numbers.request(line, first.arrival_s, factor)).collect())
    }

    fn empty(&self) -> Error {
        let days = match (self.lines.first(), self.lines.last()) {
            (Some(first), Some(last)) => format!("{} to {}", day(first), day(last)),
            _ => "0 to 0: it is empty".to_owned(),
        };
        Error::Empty(days)
    }
}

fn day(line: &Line) -> u64 {
    (line.arrival_s / DAY_S) as u64 + 1
}

/// Numbers of names.
#[derive(Default)]
struct Numbers {
    users: HashMap<String, usize>,
    models: HashMap<String, usize>,
    shapes: HashMap<(usize, [u64; 3]), usize>,
}

impl Numbers {
    fn request(&mut self, line: &Line, start_s: f64, factor: f64) -> Request {
        let model = number_of(&mut self.models, line.model.clone());
        let size = [line.loras, line.images, line.steps].map(|value| value.unwrap_or(0.0).to_bits());
        Request {
            arrival_ms: ((line.arrival_s - start_s) * factor * 1e3) as u64,
            user: number_of(&mut self.users, line.user.clone()),
            model,
            shape: number_of(&mut self.shapes, (model, size)),
            run_ms: (line.exec_s * 1e3) as u64,
        }
    }
}

fn number_of<K: std::hash::Hash + Eq>(numbers: &mut HashMap<K, usize>, name: K) -> usize {
    let next = numbers.len();
    *numbers.entry(name).or_insert(next)
}
