//! The primary of a Sentinel set is killed.

use super::{
    cluster::{Cluster, Plan},
    load::Load,
    observers::Observers,
    redis_servers::RedisPlan,
    referee::{Allow, verify},
    traffic::Traffic,
};
use std::time::{Duration, Instant};

const PER_SECOND: u32 = 6;
/// Time from a promotion until tasks are accepted again.
const BACK_WITHIN: Duration = Duration::from_secs(10);

fn plan(durability: &'static str) -> Plan {
    Plan { apis: 2, redis: RedisPlan::Sentinel(None, vec![]), durability, ..Plan::default() }
}

/// Waits until another primary is promoted and tasks are accepted there. Returns the number of the old primary.
async fn see_failover(cluster: &mut Cluster, traffic: &Traffic, before: usize) {
    cluster.redis.sentinel().wait_promoted(before).await;
    let promoted = Instant::now();
    traffic.wait_accepted(3).await;
    println!("accepted again {:?} after the promotion", promoted.elapsed());
    assert!(promoted.elapsed() < BACK_WITHIN, "{:?}", promoted.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_behind_sentinel_loses_nothing() {
    let mut cluster = Cluster::start(plan("replica")).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let traffic = Traffic::start(vec![load.clone()], PER_SECOND);
    traffic.wait_accepted(15).await;
    let primary = cluster.redis.sentinel().primary();
    cluster.redis.sentinel().nodes[primary].redis.kill();
    see_failover(&mut cluster, &traffic, primary).await;
    traffic.wait_accepted(10).await;
    traffic.stop().await;
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}
