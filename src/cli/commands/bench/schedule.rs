//! `shuzhiren bench schedule`: simulates schedules over a trace of requests. Needs no system.

use crate::{
    cli::{
        error::Error,
        term::{
            output::{self, Color},
            table::Table,
        },
    },
    schedule::simulate::{Figures, Schedule, Settings, simulate, trace::Trace},
    settings::duration,
};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

/// Settings of `bench schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// Trace: CSV with the columns arrival_s, user, model, loras, images, steps and exec_s
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// Number of instances
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    instances: u64,
    /// Models that an instance holds
    #[arg(long, value_name = "MODELS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    warm: u64,
    /// Share of the fleet that pure run time fills: the times between arrivals are compressed until it does
    #[arg(long, value_name = "SHARE", default_value_t = 0.35, value_parser = share)]
    load: f64,
    /// Days of the trace, e.g. 5 or 5-7; the first is 1 [default: all]
    #[arg(long, value_name = "A-B", value_parser = days)]
    days: Option<RangeInclusive<u64>>,
    /// Time to load a model
    #[arg(long, value_name = "DURATION", default_value = "22.7s", value_parser = load_time)]
    load_time: Duration,
    /// Schedule to simulate
    #[arg(long, value_enum, default_value_t = Policy::All)]
    policy: Policy,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Schedule on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// Warm instances first, fair over users: `--schedule warm` of the dispatcher
    Warm,
    /// By arrival
    Fifo,
    /// Pushed to the instances in turn
    RoundRobin,
    /// Pushed to the instance with the fewest tasks
    LeastQueue,
    /// Each of them
    All,
}

impl Policy {
    fn schedules(self) -> Vec<Schedule> {
        match self {
            Self::Warm => vec![Schedule::Warm],
            Self::Fifo => vec![Schedule::Fifo],
            Self::RoundRobin => vec![Schedule::RoundRobin],
            Self::LeastQueue => vec![Schedule::LeastQueue],
            Self::All => Schedule::ALL.to_vec(),
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if share > 0.0 && share <= 10.0 { Ok(share) } else { Err("must be above 0 and at most 10".to_owned()) }
}

fn days(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let day = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("{text:?} is not a day"));
    let days = day(first)?..=day(last)?;
    if days.is_empty() || *days.start() == 0 { Err("must be A-B with 1 ≤ A ≤ B".to_owned()) } else { Ok(days) }
}

fn load_time(text: &str) -> Result<Duration, String> {
    let read = duration(text)?;
    if read <= Duration::from_hours(24) { Ok(read) } else { Err("must be at most 24h".to_owned()) }
}

/// Reads the trace, simulates and prints the figures.
pub(super) fn schedule(args: &ScheduleArgs) -> Result<(), Error> {
    let unusable = |why: &dyn std::fmt::Display| Error::Usage(format!("cannot use {}: {why}", args.trace.display()));
    let file = std::fs::File::open(&args.trace).map_err(|error| unusable(&error))?;
    let trace = Trace::read(std::io::BufReader::new(file)).map_err(|error| unusable(&error))?;
    let settings = Settings {
        instances: usize::try_from(args.instances).unwrap_or(usize::MAX),
        warm_models: usize::try_from(args.warm).unwrap_or(usize::MAX),
        load_ms: u64::try_from(args.load_time.as_millis()).unwrap_or(u64::MAX),
    };
    let requests =
        trace.requests(args.days.as_ref(), settings.instances, args.load).map_err(|error| unusable(&error))?;
    let run = |schedule: Schedule| (schedule, simulate(&requests, &settings, schedule));
    let results: Vec<(Schedule, Figures)> = args.policy.schedules().into_iter().map(run).collect();
    if args.json {
        return output::print_line(&report(args, requests.len(), &results).to_string());
    }
    let days = args.days.as_ref().map_or_else(String::new, |days| format!(", days {}-{}", days.start(), days.end()));
    output::print_line(&format!(
        "{} tasks{days}; {} instances with {} warm, {:?} a load, load {}",
        requests.len(),
        settings.instances,
        settings.warm_models,
        args.load_time,
        args.load
    ))?;
    table(&results).print(true)
}

fn report(args: &ScheduleArgs, tasks: usize, results: &[(Schedule, Figures)]) -> Value {
    let policies: Map<String, Value> =
        results.iter().map(|(schedule, figures)| (schedule.as_str().to_owned(), figures_json(figures))).collect();
    json!({
        "trace": args.trace.display().to_string(),
        "days": args.days.as_ref().map(|days| [*days.start(), *days.end()]),
        "instances": args.instances,
        "warmModels": args.warm,
        "load": args.load,
        "loadTimeS": args.load_time.as_secs_f64(),
        "tasks": tasks,
        "policies": policies,
    })
}

fn figures_json(figures: &Figures) -> Value {
    json!({
        "loadsPer100Tasks": figures.loads_per_100,
        "waitMeanS": figures.wait_mean_s,
        "waitP50S": figures.wait_p50_s,
        "waitP95S": figures.wait_p95_s,
        "waitP95LightUsersS": figures.wait_p95_light_s,
        "waitAndLoadMeanS": figures.wait_and_load_mean_s,
        "gpuSecondsPerTask": figures.gpu_s_per_task,
        "passedOverMax": figures.passed_over_max,
        "overtakenMax": figures.overtaken_max,
        "idleShareWhileWaiting": figures.idle_share_while_waiting,
    })
}

fn table(results: &[(Schedule, Figures)]) -> Table {
    let head = [
        "POLICY",
        "LOADS/100",
        "MEAN WAIT",
        "P50",
        "P95",
        "P95 LIGHT",
        "WAIT+LOAD",
        "GPU S/TASK",
        "PASSED OVER",
        "IDLE WHILE WAITING",
    ];
    let mut table = Table::new(&head);
    for (schedule, figures) in results {
        let seconds = |value: f64| format!("{value:.0} s");
        let cells = [
            schedule.as_str().to_owned(),
            format!("{:.1}", figures.loads_per_100),
            seconds(figures.wait_mean_s),
            seconds(figures.wait_p50_s),
            seconds(figures.wait_p95_s),
            seconds(figures.wait_p95_light_s),
            seconds(figures.wait_and_load_mean_s),
            format!("{:.1}", figures.gpu_s_per_task),
            figures.passed_over_max.map_or_else(|| "-".to_owned(), |times| times.to_string()),
            format!("{:.1} %", 100.0 * figures.idle_share_while_waiting),
        ];
        table.push(cells.map(|cell| (cell, Color::Plain)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{days, load_time, share};
    use std::time::Duration;

    #[test]
    fn days_are_one_or_a_range() {
        assert_eq!((days("5"), days("5-7")), (Ok(5..=5), Ok(5..=7)));
        for wrong in ["0", "7-5", "x", "1-", "-3", "1-2-3"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_load_time_may_have_a_fraction() {
        assert_eq!(
            (load_time("22.7s"), load_time("1m")),
            (Ok(Duration::from_millis(22_700)), Ok(Duration::from_secs(60)))
        );
        for wrong in ["-1s", "NaNs", "25h", "soon", ""] {
            assert!(load_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_a_positive_number() {
        assert_eq!(share("0.35"), Ok(0.35));
        for wrong in ["0", "-1", "NaN", "inf", "x"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
