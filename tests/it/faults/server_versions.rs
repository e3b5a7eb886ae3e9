//! Other versions of Redis, and Valkey: tasks run, a killed primary is replaced, nothing is lost.

use super::{
    cluster::{Cluster, Plan},
    load::{Kind, Load},
    observers::Observers,
    redis_servers::RedisPlan,
    referee::{Allow, verify},
};
use crate::support::servers::server;

async fn run_and_fail_over(name: &str) {
    let Some(program) = server(name) else { return };
    let redis = RedisPlan::Sentinel { program: Some(program), replicas: 2, options: vec![] };
    let plan = Plan { dispatchers: 1, instances: 1, redis, durability: "replica", ..Plan::default() };
    let mut cluster = Cluster::start(plan).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    for _ in 0..3 {
        load.post(Kind::Quick).await;
    }
    let running = load.post(Kind::Steps(6.0)).await;
    cluster.client.wait_for(&running, &["running"]).await;
    let set = cluster.redis.sentinel();
    let primary = set.primary();
    set.nodes[primary].redis.kill();
    for _ in 0..3 {
        load.post(Kind::Quick).await;
    }
    assert_ne!(set.primary(), primary);
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_7_0_runs_tasks_and_fails_over() {
    run_and_fail_over("redis-7.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_8_runs_tasks_and_fails_over() {
    run_and_fail_over("redis-8").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_8_runs_tasks_and_fails_over() {
    run_and_fail_over("valkey-8").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_9_runs_tasks_and_fails_over() {
    run_and_fail_over("valkey-9").await;
}

/// Row 7 of the table of faults: WAITAOF answers once a second on Redis, and at once on Valkey.
async fn fsync_every_second(name: &str) {
    let Some(program) = server(name) else { return };
    let redis = RedisPlan::EverySecond(program);
    let mut cluster = Cluster::start(Plan { dispatchers: 1, instances: 1, redis, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    for _ in 0..4 {
        load.post(Kind::Quick).await;
    }
    assert!(load.refusals().is_empty(), "{:?}", load.refusals());
    load.post(Kind::Quick).await;
    cluster.redis.one().kill();
    cluster.redis.one().launch();
    load.post(Kind::Quick).await;
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_8_confirms_writes_that_its_disk_has_once_a_second() {
    fsync_every_second("redis-8").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_9_confirms_writes_that_its_disk_has() {
    fsync_every_second("valkey-9").await;
}
