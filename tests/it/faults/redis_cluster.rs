//! A Redis Cluster of three primaries: the owner of our slot fails over, the slot moves, a replica is missing.

use super::{
    cluster::{Cluster, Plan, ROOT},
    load::Load,
    observers::Observers,
    redis_servers::RedisPlan,
    referee::{Allow, verify},
    traffic::Traffic,
};
use crate::support::{eventually, servers::server};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

const PER_SECOND: u32 = 6;
const WAIT_MAX: Duration = Duration::from_secs(60);

fn plan(program: Option<PathBuf>, has_replicas: bool, durability: &'static str) -> Plan {
    Plan { apis: 2, redis: RedisPlan::Cluster { program, has_replicas }, durability, ..Plan::default() }
}

/// Another primary than the owner of our slot.
fn other_primary(cluster: &mut Cluster) -> usize {
    (cluster.redis.cluster().owner(ROOT) + 1) % 3
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_of_the_owner_by_command_and_by_death_loses_nothing() {
    let mut cluster = Cluster::start(plan(None, true, "local")).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let traffic = Traffic::start(vec![load.clone()], PER_SECOND);
    traffic.wait_accepted(10).await;
    let redis = cluster.redis.cluster();
    let owner = redis.owner(ROOT);
    let replica = redis.replica_of(owner);
    redis.nodes[replica].redis.raw().run(&["CLUSTER", "FAILOVER"]);
    redis.wait_promoted(ROOT, owner).await;
    traffic.wait_accepted(10).await;
    redis.wait_whole().await;
    redis.nodes[replica].redis.kill();
    redis.wait_promoted(ROOT, replica).await;
    traffic.wait_accepted(10).await;
    redis.nodes[replica].redis.launch();
    redis.wait_whole().await;
    traffic.stop().await;
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

/// No script runs on half of the keys, and no connection gives up for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moved_key_by_key_under_load_loses_nothing() {
    let mut cluster = Cluster::start(plan(None, false, "local")).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let traffic = Traffic::start(vec![load.clone()], PER_SECOND);
    traffic.wait_accepted(20).await;
    let target = other_primary(&mut cluster);
    let redis = cluster.redis.cluster();
    // Requests arrive while half of the keys are at either server.
    redis.move_slot(ROOT, target, async || tokio::time::sleep(Duration::from_secs(3)).await).await;
    traffic.wait_accepted(15).await;
    redis.wait_whole().await;
    for api in &cluster.apis {
        let client = cluster.client.at(api.port);
        eventually("the api is ready", WAIT_MAX, async || {
            client.try_get("/readyz").await.filter(|(status, _)| *status == 200)
        })
        .await;
    }
    traffic.stop().await;
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_atomic_migration_of_the_slot_is_not_felt() {
    let Some(program) = server("valkey-9") else { return };
    let mut cluster = Cluster::start(plan(Some(program), false, "local")).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let traffic = Traffic::start(vec![load.clone()], PER_SECOND);
    traffic.wait_accepted(20).await;
    let target = other_primary(&mut cluster);
    let begun = Instant::now();
    cluster.redis.cluster().migrate_slot(ROOT, target).await;
    println!("moved in {:?}", begun.elapsed());
    traffic.wait_accepted(15).await;
    traffic.stop().await;
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

/// Each other primary has its replica: the one to ask is the owner of our slot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durability_replica_on_a_cluster_asks_the_owner_of_the_slot() {
    let mut cluster = Cluster::start(plan(None, true, "replica")).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let traffic = Traffic::start(vec![load.clone()], PER_SECOND);
    traffic.wait_accepted(5).await;
    let redis = cluster.redis.cluster();
    let owner = redis.owner(ROOT);
    let replica = redis.replica_of(owner);
    redis.nodes[replica].redis.signal("-STOP");
    let refused = load.refusals().len();
    eventually("submits are refused", WAIT_MAX, async || (load.refusals().len() >= refused + 6).then_some(())).await;
    let before = traffic.accepted();
    eventually("more are refused", WAIT_MAX, async || (load.refusals().len() >= refused + 12).then_some(())).await;
    assert_eq!(traffic.accepted(), before, "a task was accepted without a replica");
    redis.nodes[replica].redis.signal("-CONT");
    traffic.wait_accepted(10).await;
    traffic.stop().await;
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}
