//! Tasks accumulate without an instance, and another consumer modifies the ledger.

use super::{
    cluster::{Cluster, Plan, ROOT, WAIT_MAX},
    load::{Kind, Load},
    observers::Observers,
    referee::{Allow, verify},
};
use crate::support::eventually;
use std::time::{Duration, Instant};

const BACKLOG: usize = 300;

/// F20: all instances are dead and the backlog grows. Once they are back, every task runs once and about in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_without_instances_is_worked_off_once_they_are_back() {
    let mut cluster = Cluster::start(Plan { instances: 3, speed: 10.0, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    for instance in &cluster.instances {
        instance.sim.kill().await;
    }
    eventually("all instances are down", WAIT_MAX, || async {
        let overview = cluster.client.get("/api/monitor/overview").await;
        (overview["aliveInstances"] == 0).then_some(())
    })
    .await;
    let mut slowest = Duration::ZERO;
    let mut ids = Vec::new();
    for number in 0..BACKLOG {
        ids.push(load.post(Kind::Quick).await);
        if number % 10 == 0 {
            let asked = Instant::now();
            let page = cluster.client.get("/api/tasks?limit=50").await;
            slowest = slowest.max(asked.elapsed());
            assert_eq!(page["total"], number + 1);
        }
    }
    let overview = cluster.client.get("/api/monitor/overview").await;
    assert_eq!(
        (&overview["pendingTasks"], &overview["failedTasks"]),
        (&BACKLOG.into(), &0.into()),
        "none fails for waiting"
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    for instance in &cluster.instances {
        instance.sim.restart().await.unwrap();
    }
    let ended = verify(&mut cluster, &load, &observers, Allow::default()).await;
    let mut started: Vec<(String, String)> = ended
        .into_iter()
        .map(|(entry, task)| (task["startedAt"].as_str().unwrap().to_owned(), entry.id.unwrap()))
        .collect();
    started.sort();
    // First in, first out: claims follow the order of the posts, except for what is in progress at three instances at
    // once.
    for (what, order) in [("claimed", claimed(&cluster)), ("started", started.into_iter().map(|(_, id)| id).collect())]
    {
        assert_eq!(order.len(), BACKLOG, "{what}");
        let away = |(place, id): (usize, &String)| place.abs_diff(ids.iter().position(|posted| posted == id).unwrap());
        let (furthest, id) = order.iter().enumerate().map(|one| (away(one), one.1)).max().unwrap();
        println!("{what}: {id} was furthest from its place: {furthest}\n{}", cluster.logs_about(id));
        let limit = if what == "claimed" { 6 } else { BACKLOG / 2 };
        assert!(furthest <= limit, "{id} was {what} {furthest} places away from its own\n{}", cluster.logs_about(id));
    }
}

/// Tasks in the order of their first claims.
fn claimed(cluster: &Cluster) -> Vec<String> {
    let log = cluster.logs_about("\"message\":\"task claimed\"");
    let mut claims: Vec<(String, String)> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line.split_once(": ").unwrap().1).unwrap())
        .map(|line| (line["timestamp"].as_str().unwrap().to_owned(), line["task"].as_str().unwrap().to_owned()))
        .collect();
    claims.sort();
    let mut seen = std::collections::BTreeSet::new();
    claims.into_iter().map(|(_, id)| id).filter(|id| seen.insert(id.clone())).collect()
}

/// F21, I18: false wake-ups, and data of an earlier release in their stream. The task's state decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_wake_ups_run_nothing_twice() {
    let mut cluster = Cluster::start(Plan { dispatchers: 0, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let jobs = format!("{ROOT}jobs");
    cluster.raw().run(&["XGROUP", "CREATE", &jobs, "dispatch", "0", "MKSTREAM"]);
    for _ in 0..20 {
        let id = load.post(Kind::Steps(0.3)).await;
        for entry in [["task", id.as_str()], ["added", "-1"], ["added", "1000"]] {
            cluster.raw().run(&["XADD", &jobs, "*", entry[0], entry[1]]);
        }
    }
    cluster.add_dispatcher();
    cluster.add_dispatcher();
    cluster.wait_owned().await;
    eventually("all tasks are done", WAIT_MAX, || async {
        (cluster.client.get("/api/monitor/overview").await["completedTasks"] == 20).then_some(())
    })
    .await;
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}
