//! Nobody works while tasks pile up; and somebody meddles with the ledger by hand.

use super::{
    load::{Kind, Load},
    referee::{Allow, judge},
    stage::{Plan, ROOT, Stage, WAIT_MAX},
    watch::Watch,
};
use crate::support::eventually;
use std::time::{Duration, Instant};

const BACKLOG: usize = 300;

/// F20: all instances are dead, the backlog grows; back again, all run once and about in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_without_instances_is_worked_off_once_they_are_back() {
    let mut stage = Stage::start(Plan { instances: 3, speed: 10.0, ..Plan::default() }).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    for instance in &stage.instances {
        instance.sim.kill().await;
    }
    eventually("all instances are down", WAIT_MAX, || async {
        let overview = stage.client.get("/api/monitor/overview").await;
        (overview["aliveInstances"] == 0).then_some(())
    })
    .await;
    let mut slowest = Duration::ZERO;
    let mut ids = Vec::new();
    for number in 0..BACKLOG {
        ids.push(load.post(Kind::Quick).await);
        if number % 10 == 0 {
            let asked = Instant::now();
            let page = stage.client.get("/api/tasks?limit=50").await;
            slowest = slowest.max(asked.elapsed());
            assert_eq!(page["total"], number + 1);
        }
    }
    let overview = stage.client.get("/api/monitor/overview").await;
    assert_eq!(
        (&overview["pendingTasks"], &overview["failedTasks"]),
        (&BACKLOG.into(), &0.into()),
        "none fails for waiting"
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    for instance in &stage.instances {
        instance.sim.restart().await.unwrap();
    }
    let ended = judge(&mut stage, &load, &watch, Allow::default()).await;
    let mut started: Vec<(String, String)> = ended
        .into_iter()
        .map(|(entry, task)| (task["startedAt"].as_str().unwrap().to_owned(), entry.id.unwrap()))
        .collect();
    started.sort();
    // First in, first out: claims come in the order of the posts, but for what is under way at three instances at once.
    for (what, order) in [("claimed", claimed(&stage)), ("started", started.into_iter().map(|(_, id)| id).collect())] {
        assert_eq!(order.len(), BACKLOG, "{what}");
        let away = |(place, id): (usize, &String)| place.abs_diff(ids.iter().position(|posted| posted == id).unwrap());
        let (furthest, id) = order.iter().enumerate().map(|one| (away(one), one.1)).max().unwrap();
        println!("{what}: {id} was furthest from its place: {furthest}\n{}", stage.logs_about(id));
        let limit = if what == "claimed" { 6 } else { BACKLOG / 2 };
        assert!(furthest <= limit, "{id} was {what} {furthest} places away from its own\n{}", stage.logs_about(id));
    }
}

/// Tasks in the order of their first claims.
fn claimed(stage: &Stage) -> Vec<String> {
    let log = stage.logs_about("\"message\":\"claimed\"");
    let mut claims: Vec<(String, String)> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line.split_once(": ").unwrap().1).unwrap())
        .map(|line| (line["timestamp"].as_str().unwrap().to_owned(), line["task"].as_str().unwrap().to_owned()))
        .collect();
    claims.sort();
    let mut seen = std::collections::BTreeSet::new();
    claims.into_iter().map(|(_, id)| id).filter(|id| seen.insert(id.clone())).collect()
}

/// F21, I18: copies of every ledger entry, and entries claimed away by a stranger. The task's state decides, not the entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_in_the_ledger_and_stolen_entries_run_nothing_twice() {
    let mut stage = Stage::start(Plan { dispatchers: 0, ..Plan::default() }).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    let jobs = format!("{ROOT}jobs");
    for _ in 0..20 {
        let id = load.post(Kind::Steps(0.3)).await;
        for _ in 0..3 {
            stage.raw().run(&["XADD", &jobs, "*", "task", &id]);
        }
    }
    stage.add_dispatcher();
    stage.add_dispatcher();
    stage.wait_owned().await;
    let mut stolen = 0;
    while stage.client.get("/api/monitor/overview").await["completedTasks"] != 20 {
        let mut raw = stage.raw();
        for entry in raw.run(&["XRANGE", &jobs, "-", "+", "COUNT", "5"]).list() {
            let entry = entry.list()[0].text();
            let words = ["XCLAIM", &jobs, "dispatch", "stranger", "0", &entry, "FORCE", "JUSTID"];
            stolen += raw.run(&words).list().len();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(stolen > 0);
    // A new janitor begins with a sweep of everything.
    for dispatcher in &mut stage.dispatchers {
        dispatcher.terminate().await;
        dispatcher.start();
    }
    eventually("the ledger is clean", WAIT_MAX, || async {
        (stage.raw().run(&["XLEN", &jobs]).number() == 0).then_some(())
    })
    .await;
    judge(&mut stage, &load, &watch, Allow::default()).await;
}
