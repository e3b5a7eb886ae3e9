//! The simulator: traces are read and compressed as promised, every schedule runs every task, and ours is better.

use super::{
    Schedule, Settings, simulate,
    trace::{Request, Trace},
};

const SETTINGS: Settings = Settings { instances: 4, warm_models: 1, load_ms: 20_000 };

/// Returns a day of requests in bursts of users, each with a model of 6.
fn trace() -> Trace {
    let mut text = "arrival_s,user,model,loras,images,steps,exec_s\n".to_owned();
    for burst in 0_u32..120 {
        let (user, model) = (burst * 7 % 23, burst * 5 % 6);
        for task in 0..1 + burst % 6 {
            let at = burst * 600 + task * 20;
            text.push_str(&format!("{at},u{user},m{model},0,1,30,{}\n", 15 + (burst + task) % 30));
        }
    }
    Trace::read(text.as_bytes()).unwrap()
}

fn requests(load: f64) -> Vec<Request> {
    trace().requests(None, SETTINGS.instances, load).unwrap()
}

#[test]
fn arrivals_are_compressed_until_run_time_fills_the_share() {
    let requests = requests(0.5);
    let run_ms: u64 = requests.iter().map(|request| request.run_ms).sum();
    // The last arrival is at 71,460 s of the day's 86,400.
    let span_ms = requests.last().unwrap().arrival_ms as f64 * 86_400.0 / 71_460.0;
    let load = run_ms as f64 / (SETTINGS.instances as f64 * span_ms);
    assert!((load - 0.5).abs() < 0.01, "{load}");
}

#[test]
fn our_schedule_loads_less_and_waits_less_than_the_others() {
    for load in [0.6, 0.9] {
        let requests = requests(load);
        let [ours, fifo, round_robin, least_queue] = Schedule::ALL.map(|it| simulate(&requests, &SETTINGS, it));
        for other in [&fifo, &round_robin, &least_queue] {
            assert!(ours.loads_per_100 < other.loads_per_100, "{ours:?} {other:?}");
            assert!(ours.wait_and_load_mean_s < other.wait_and_load_mean_s, "{ours:?} {other:?}");
        }
        assert!(ours.passed_over_max <= Some(64));
        assert_eq!((fifo.passed_over_max, fifo.overtaken_max), (Some(0), 0));
        assert_eq!(fifo.idle_share_while_waiting, 0.0, "fifo holds nothing back");
        assert!(round_robin.idle_share_while_waiting > 0.0, "a task waits at a busy instance while others are idle");
    }
}

#[test]
fn a_simulation_is_the_same_each_time() {
    let requests = requests(0.5);
    for schedule in Schedule::ALL {
        assert_eq!(simulate(&requests, &SETTINGS, schedule), simulate(&requests, &SETTINGS, schedule));
    }
}

#[test]
fn the_work_is_that_of_the_trace() {
    let requests = requests(0.5);
    let run_s: f64 = requests.iter().map(|request| request.run_ms as f64 / 1e3).sum();
    for schedule in Schedule::ALL {
        let figures = simulate(&requests, &SETTINGS, schedule);
        let loads_s = figures.loads_per_100 / 100.0 * 20.0;
        let expected = run_s / requests.len() as f64 + loads_s;
        assert!((figures.gpu_s_per_task - expected).abs() < 1e-6, "{schedule:?}");
        assert_eq!(figures.tasks, requests.len());
    }
}

#[test]
fn one_instance_runs_one_task_after_the_other() {
    let text = "arrival_s,user,model,loras,images,steps,exec_s\n0,a,x,0,1,1,10\n1,b,y,0,1,1,10\n2,c,x,0,1,1,10\n";
    let trace = Trace::read(text.as_bytes()).unwrap();
    // 30 s of work in a day, compressed 8,640 times: all arrive at once.
    let requests = trace.requests(None, 1, 3.0).unwrap();
    let settings = Settings { instances: 1, ..SETTINGS };
    let fifo = simulate(&requests, &settings, Schedule::Fifo);
    assert_eq!((fifo.loads_per_100, fifo.wait_mean_s.round()), (100.0, 30.0));
    let warm = simulate(&requests, &settings, Schedule::Warm);
    assert_eq!((warm.loads_per_100.round(), warm.wait_mean_s.round(), warm.passed_over_max), (67.0, 23.0, Some(1)));
    let two_models = Settings { warm_models: 2, ..settings };
    assert_eq!(simulate(&requests, &two_models, Schedule::Fifo).loads_per_100.round(), 67.0);
}

#[test]
fn a_file_that_is_no_trace_is_refused() {
    for (text, message) in [
        ("a,b\n1,2\n", "missing field"),
        ("arrival_s,user,model,loras,images,steps,exec_s\n0,a,x,0,1,1,-5\n", "request 1: arrival_s and exec_s"),
        ("arrival_s,user,model,loras,images,steps,exec_s\nsoon,a,x,0,1,1,5\n", "invalid float"),
        ("arrival_s,user,model,loras,images,steps,exec_s\n0,a,x,0\n", "record 1"),
    ] {
        let error = Trace::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let error = trace().requests(Some(&(5..=6)), 4, 0.5).unwrap_err().to_string();
    assert_eq!(error, "no requests in these days; the trace has the days 1 to 1");
}

#[test]
fn a_simulation_is_the_same_for_a_day_in_a_longer_trace() {
    let text = "arrival_s,user,model,loras,images,steps,exec_s\n10,a,x,0,1,1,10\n86410,a,x,0,1,1,10\n86500,b,y,,,,20\n";
    let trace = Trace::read(text.as_bytes()).unwrap();
    let second = trace.requests(Some(&(2..=2)), 1, 0.5).unwrap();
    assert_eq!((second.len(), second[0].arrival_ms, second[0].model), (2, 0, 0));
}
