//! Redis is killed, paused, unreachable for longer than a lease, and loses everything.

use super::{
    cluster::{Cluster, Plan, ROOT, WAIT_MAX},
    dispatchers::run_everywhere,
    load::{Kind, Load},
    managed_process::ManagedProcess,
    observers::Observers,
    referee::{Allow, verify},
};
use crate::support::{eventually, proxy::Fault, stack::workflow};
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// Half of all refusals take less than this; none takes longer than [`REFUSED_MAX`].
const REFUSED: Duration = Duration::from_secs(3);
const REFUSED_MAX: Duration = Duration::from_secs(5);

/// Clients that post one task after the other until `stop`.
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

/// Asserts that every API answers 503 in time while Redis is unavailable.
pub async fn check_refused(cluster: &Cluster) {
    for api in &cluster.apis {
        let client = cluster.client.at(api.port);
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

/// F3: with `fsync`, every 200 stays true after kill -9, and everything recovers by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_a_killed_redis() {
    let mut cluster = Cluster::start(Plan { apis: 2, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let running = run_everywhere(&cluster, &load, 6.0).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let posting = clients(&load, 16, &stop);
    for _ in 0..2 {
        let before = load.ids().len();
        eventually("tasks are accepted", WAIT_MAX, || async { (load.ids().len() > before + 8).then_some(()) }).await;
        cluster.redis.one().kill();
        check_refused(&cluster).await;
        let before = load.ids().len();
        cluster.redis.one().launch();
        eventually("tasks are accepted again", WAIT_MAX, || async { (load.ids().len() > before).then_some(()) }).await;
    }
    stop.cancel();
    for client in posting {
        client.await.unwrap();
    }
    verify(&mut cluster, &load, &observers, Allow::default()).await;
    check_refusals(&load);
    assert!(running.len() == 2 && load.entries().iter().any(|entry| entry.unanswered == 0));
}

/// I14: Redis is killed, then paused, then cut off, for longer than the lease TTL. No dispatcher takes what another
/// owns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_longer_than_the_lease_ttl_changes_no_owner() {
    let mut cluster = Cluster::start(Plan { dispatchers: 3, instances: 3, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let away = cluster.plan.lease_ttl * 5 / 2;

    cluster.wait_fair().await;
    run_everywhere(&cluster, &load, 16.0).await;
    let owners = cluster.owners();
    cluster.redis.one().kill();
    // The time itself is under test.
    tokio::time::sleep(away).await;
    check_refused(&cluster).await;
    cluster.redis.one().launch();
    wait_renewed(&cluster).await;
    assert_eq!(cluster.owners(), owners, "after a kill");

    let redis = cluster.redis.one().pid().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &redis]).status().unwrap().success());
    signal("-STOP");
    tokio::time::sleep(away).await;
    signal("-CONT");
    wait_renewed(&cluster).await;
    assert_eq!(cluster.owners(), owners, "after a pause");

    for _ in 0..2 {
        cluster.dispatchers.iter().for_each(|dispatcher| dispatcher.redis.set(Fault::Refuse));
        tokio::time::sleep(away).await;
        cluster.dispatchers.iter().for_each(|dispatcher| dispatcher.redis.set(Fault::None));
        wait_renewed(&cluster).await;
        assert_eq!(cluster.owners(), owners, "after a cut");
    }
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

/// Waits until every lease has been renewed.
async fn wait_renewed(cluster: &Cluster) {
    eventually("every lease is fresh", WAIT_MAX, || async {
        let mut raw = cluster.raw();
        let time = raw.run(&["TIME"]).texts();
        let now_ms: u64 = time[0].parse::<u64>().unwrap() * 1000 + time[1].parse::<u64>().unwrap() / 1000;
        let leases = raw.run(&["ZCOUNT", &format!("{ROOT}leases"), &format!("({now_ms}"), "+inf"]).number();
        (usize::try_from(leases).unwrap() == cluster.instances.len()).then_some(())
    })
    .await;
    // A wrong takeover would come with the next update of a roster.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
}

/// F5: Redis is emptied under load. Nothing is accepted into it, every process says so once, and the restart of all
/// processes begins an empty system.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_accepts_nothing_until_the_processes_are_restarted() {
    let mut cluster = Cluster::start(Plan { apis: 2, ..Plan::default() }).await;
    let lost = Load::new(&cluster);
    run_everywhere(&cluster, &lost, 2.0).await;
    let posting = clients(&lost, 4, &tokio_util::sync::CancellationToken::new());
    let before = lost.ids().len();
    eventually("tasks are accepted", WAIT_MAX, || async { (lost.ids().len() > before + 4).then_some(()) }).await;
    cluster.raw().run(&["FLUSHALL"]);
    for process in cluster.apis.iter().chain(&cluster.dispatchers) {
        let (client, url) = (reqwest::Client::new(), format!("http://127.0.0.1:{}", process.port));
        eventually("the loss is noticed", WAIT_MAX, || async {
            let ready = client.get(format!("{url}/readyz")).send().await.ok()?.text().await.ok()?;
            let metrics = client.get(format!("{url}/metrics")).send().await.ok()?.text().await.ok()?;
            let is_noticed =
                ready.contains("redis lost the data") && metrics.contains("\nshuzhiren_redis_data_lost 1\n");
            is_noticed.then_some(())
        })
        .await;
    }
    for api in &cluster.apis {
        let client = cluster.client.at(api.port);
        let task = serde_json::json!({"workflow": workflow::quick(1)});
        let (status, answer) = client.call(reqwest::Method::POST, "/api/tasks", Some(task)).await;
        assert_eq!((status.as_u16(), &answer["error"]["type"]), (503, &"queue_lost".into()), "{answer}");
        let (_, health) = client.try_get("/api/health").await.unwrap();
        assert_eq!((&health["data"]["redis"], &health["error"]["type"]), (&"lost".into(), &"queue_lost".into()));
    }
    let keys = cluster.raw().run(&["KEYS", "*"]).texts();
    assert!(keys.iter().all(|key| key.contains(":catalog:")), "written into the empty system: {keys:?}");
    posting.iter().for_each(tokio::task::JoinHandle::abort);
    // Restarted alone it begins a new system, for which the others do nothing.
    cluster.apis[0].terminate().await;
    cluster.apis[0].start();
    let client = cluster.client.at(cluster.apis[0].port);
    eventually("the files of the old system are noticed", WAIT_MAX, || async {
        let (_, health) = client.try_get("/api/health").await?;
        (health["data"]["warnings"] == serde_json::json!(["store_foreign"])).then_some(())
    })
    .await;
    for process in cluster.apis.iter_mut().skip(1).chain(&mut cluster.dispatchers) {
        let count = process.log().lines().filter(|line| line.contains("redis lost the data of this system: r")).count();
        assert_eq!(count, 1, "{} says it once", process.name);
        process.terminate().await;
    }
    cluster.apis[0].terminate().await;
    cluster.apis.iter_mut().chain(&mut cluster.dispatchers).for_each(ManagedProcess::start);
    cluster.wait_owned().await;
    cluster.instances.iter_mut().for_each(|instance| instance.forget(instance.log().len()));
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    for _ in 0..10 {
        load.post(Kind::Quick).await;
    }
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

/// A Redis that lost its last writes (`everysec`, a failover) has lost a claim: the dispatcher that runs the task
/// reclaims it before any other may claim, and continues.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_redis_lost_is_reclaimed() {
    let mut cluster =
        Cluster::start(Plan { instances: 2, lease_ttl: Duration::from_secs(15), ..Plan::default() }).await;
    cluster.wait_fair().await;
    let load = Load::new(&cluster);
    let ids: Vec<String> = cluster.instances.iter().map(super::cluster::Instance::id).collect();
    let switch = async |cluster: &Cluster, on: bool| {
        for id in &ids {
            cluster.client.put(&format!("/api/instances/{id}"), serde_json::json!({"enabled": on})).await;
        }
    };
    switch(&cluster, false).await;
    let waiting = [load.post(Kind::Steps(8.0)).await, load.post(Kind::Steps(8.0)).await];
    let snapshot = cluster.redis.one().snapshot();
    switch(&cluster, true).await;
    for id in &waiting {
        cluster.client.wait_for(id, &["running"]).await;
    }
    cluster.redis.one().kill();
    cluster.redis.one().restore(&snapshot);
    cluster.redis.one().launch();
    eventually("the api is back", WAIT_MAX, || async {
        cluster.client.try_get("/api/tasks").await.filter(|(status, _)| *status == 200)
    })
    .await;
    // Started only now: versions that Redis lost are issued again.
    let observers = Observers::start(&cluster).await;
    switch(&cluster, true).await;
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}
