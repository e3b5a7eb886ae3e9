//! Redis is killed, paused, unreachable for longer than a lease, and forgets everything.

use super::{
    dispatchers::run_everywhere,
    load::{Kind, Load},
    referee::{Allow, judge},
    stage::{Plan, ROOT, Stage, WAIT_MAX},
    watch::Watch,
};
use crate::support::{eventually, proxy::Fault};
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// Half of all refusals come within this; none comes later than [`REFUSED_MAX`].
const REFUSED: Duration = Duration::from_secs(3);
const REFUSED_MAX: Duration = Duration::from_secs(5);

/// 16 clients that post one task after the other until told to stop.
pub fn clients(
    load: &Load,
    count: usize,
    stop: &tokio_util::sync::CancellationToken,
) -> Vec<tokio::task::JoinHandle<()>> {
    (0..count)
        .map(|_| {
            let (load, stop) = (load.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    load.post(Kind::Quick).await;
                    tokio::time::sleep(Duration::from_millis(700)).await;
                }
            })
        })
        .collect()
}

/// Every API answers 503 in time while Redis is away.
pub async fn refused_everywhere(stage: &Stage) {
    for api in &stage.apis {
        let client = stage.client.at(api.port);
        let asked = Instant::now();
        let (health, tasks) = tokio::join!(client.try_get("/api/health"), client.try_get("/api/tasks"));
        let took = asked.elapsed();
        let (health, tasks) = (health.expect("an answer"), tasks.expect("an answer"));
        assert_eq!((health.0.as_u16(), tasks.0.as_u16()), (503, 503), "{health:?} {tasks:?}");
        assert_eq!(health.1["data"]["redis"], "disconnected");
        assert!(took < REFUSED_MAX, "{}: {took:?}", api.name);
    }
}

pub fn check_refusals(load: &Load) {
    let refusals = load.refusals();
    println!("{} refusals; the slowest took {:?}", refusals.len(), refusals.last());
    assert!(refusals.iter().all(|took| *took < REFUSED_MAX), "{refusals:?}");
    assert!(refusals.get(refusals.len() / 2).is_none_or(|median| *median < REFUSED), "{refusals:?}");
}

/// F3: with `fsync` every answer of 200 is true after kill -9, and everything comes back by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_makes_no_answer_untrue() {
    let mut stage = Stage::start(Plan { apis: 2, ..Plan::default() }).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    let running = run_everywhere(&stage, &load, 6.0).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let posting = clients(&load, 16, &stop);
    for _ in 0..2 {
        let before = load.ids().len();
        eventually("tasks are accepted", WAIT_MAX, || async { (load.ids().len() > before + 8).then_some(()) }).await;
        stage.redis.kill();
        refused_everywhere(&stage).await;
        let before = load.ids().len();
        stage.redis.launch();
        eventually("tasks are accepted again", WAIT_MAX, || async { (load.ids().len() > before).then_some(()) }).await;
    }
    stop.cancel();
    for client in posting {
        client.await.unwrap();
    }
    judge(&mut stage, &load, &watch, Allow::default()).await;
    check_refusals(&load);
    assert!(running.len() == 2 && load.book().iter().any(|entry| entry.unanswered == 0));
}

/// I14: killed, then paused, then cut off, for longer than the leases last. Nobody takes what another owns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_longer_than_the_lease_changes_no_owner() {
    let mut stage = Stage::start(Plan { dispatchers: 3, instances: 3, ..Plan::default() }).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    let away = stage.plan.lease_ttl * 5 / 2;

    stage.wait_fair().await;
    run_everywhere(&stage, &load, 16.0).await;
    let owners = stage.owners();
    stage.redis.kill();
    // What is tested is the time itself.
    tokio::time::sleep(away).await;
    refused_everywhere(&stage).await;
    stage.redis.launch();
    renewed(&stage).await;
    assert_eq!(stage.owners(), owners, "after a kill");

    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &stage.redis.pid().to_string()]).status().unwrap().success())
    };
    signal("-STOP");
    tokio::time::sleep(away).await;
    signal("-CONT");
    renewed(&stage).await;
    assert_eq!(stage.owners(), owners, "after a pause");

    for _ in 0..2 {
        stage.dispatchers.iter().for_each(|dispatcher| dispatcher.redis.set(Fault::Refuse));
        tokio::time::sleep(away).await;
        stage.dispatchers.iter().for_each(|dispatcher| dispatcher.redis.set(Fault::None));
        renewed(&stage).await;
        assert_eq!(stage.owners(), owners, "after a cut");
    }
    judge(&mut stage, &load, &watch, Allow::default()).await;
}

/// Every lease has been renewed since.
async fn renewed(stage: &Stage) {
    eventually("every lease is fresh", WAIT_MAX, || async {
        let mut raw = stage.raw();
        let time = raw.run(&["TIME"]).texts();
        let now_ms: u64 = time[0].parse::<u64>().unwrap() * 1000 + time[1].parse::<u64>().unwrap() / 1000;
        let leases = raw.run(&["ZCOUNT", &format!("{ROOT}leases"), &format!("({now_ms}"), "+inf"]).number();
        (usize::try_from(leases).unwrap() == stage.instances.len()).then_some(())
    })
    .await;
    // A thief would come with the next look of its roster.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
}

/// F5: Redis comes back without anything. Nobody must be restarted; the operator puts the config back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgot_everything_is_filled_again() {
    let mut stage = Stage::start(Plan { apis: 2, ..Plan::default() }).await;
    let lost = Load::new(&stage);
    run_everywhere(&stage, &lost, 2.0).await;
    lost.post(Kind::Steps(2.0)).await;
    stage.redis.kill();
    stage.redis.wipe();
    stage.redis.launch();
    eventually("the api is back", WAIT_MAX, || async {
        stage.client.try_get("/api/tasks").await.filter(|(status, page)| *status == 200 && page["data"]["total"] == 0)
    })
    .await;
    stage.client.put("/api/config", stage.fleet()).await;
    stage.wait_owned().await;
    // What ran is nobody's now; it ends by itself.
    eventually("the forgotten prompts have ended", WAIT_MAX, || async {
        for instance in &stage.instances {
            let queue: serde_json::Value =
                reqwest::get(format!("{}/queue", instance.sim.url())).await.ok()?.json().await.ok()?;
            if queue["queue_running"].as_array()?.len() + queue["queue_pending"].as_array()?.len() > 0 {
                return None;
            }
        }
        Some(())
    })
    .await;
    let before: Vec<usize> = stage.instances.iter().map(|instance| instance.log().len()).collect();
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    for _ in 0..10 {
        load.post(Kind::Quick).await;
    }
    for (instance, before) in stage.instances.iter_mut().zip(before) {
        instance.forget(before);
    }
    judge(&mut stage, &load, &watch, Allow::default()).await;
}

/// A Redis that comes back without its last moments (`everysec`, a failover) has forgotten a claim: who runs it says so
/// before anybody else may claim, and carries on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_redis_forgot_is_taken_back() {
    let mut stage = Stage::start(Plan { instances: 2, lease_ttl: Duration::from_secs(15), ..Plan::default() }).await;
    stage.wait_fair().await;
    let load = Load::new(&stage);
    let ids: Vec<String> = stage.instances.iter().map(super::stage::Instance::id).collect();
    let switch = async |stage: &Stage, on: bool| {
        for id in &ids {
            stage.client.put(&format!("/api/instances/{id}"), serde_json::json!({"enabled": on})).await;
        }
    };
    switch(&stage, false).await;
    let waiting = [load.post(Kind::Steps(8.0)).await, load.post(Kind::Steps(8.0)).await];
    let snapshot = stage.redis.snapshot();
    switch(&stage, true).await;
    for id in &waiting {
        stage.client.wait_for(id, &["running"]).await;
    }
    stage.redis.kill();
    stage.redis.restore(&snapshot);
    stage.redis.launch();
    eventually("the api is back", WAIT_MAX, || async {
        stage.client.try_get("/api/tasks").await.filter(|(status, _)| *status == 200)
    })
    .await;
    // Only now: versions that Redis forgot are given again.
    let watch = Watch::start(&stage).await;
    switch(&stage, true).await;
    judge(&mut stage, &load, &watch, Allow::default()).await;
}
