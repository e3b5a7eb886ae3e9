//! The primary of a Sentinel set is killed, frozen for longer than every time-out, or cut off together with a client.

use super::{
    cluster::{Cluster, Plan},
    load::{Kind, Load},
    observers::Observers,
    redis_servers::RedisPlan,
    referee::{Allow, verify},
    traffic::Traffic,
};
use crate::support::proxy::Fault;
use std::time::{Duration, Instant};

const PER_SECOND: u32 = 6;
/// Tasks that wait when the primary is cut off: work for longer than a failover takes.
const BACKLOG: usize = 12;
/// Time from a promotion until tasks are accepted again.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Longer than every time-out of the processes.
const FREEZE: Duration = Duration::from_secs(20);

fn plan(durability: &'static str) -> Plan {
    let redis = RedisPlan::Sentinel { program: None, replicas: 2, options: vec![] };
    Plan { apis: 2, redis, durability, ..Plan::default() }
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

/// The frozen server keeps its connections open: only a missing answer shows that it is gone. When it goes on, it still
/// is a primary for some seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_primary_behind_sentinel_is_given_up_and_loses_nothing() {
    let mut cluster = Cluster::start(plan("local")).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let traffic = Traffic::start(vec![load.clone()], PER_SECOND);
    traffic.wait_accepted(15).await;
    let primary = cluster.redis.sentinel().primary();
    let frozen = Instant::now();
    cluster.redis.sentinel().nodes[primary].redis.signal("-STOP");
    see_failover(&mut cluster, &traffic, primary).await;
    // The time itself is under test.
    tokio::time::sleep_until((frozen + FREEZE).into()).await;
    cluster.redis.sentinel().nodes[primary].redis.signal("-CONT");
    cluster.redis.sentinel().wait_whole().await;
    traffic.wait_accepted(10).await;
    traffic.stop().await;
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

/// An api and a dispatcher keep the old primary and no Sentinel. With `--durability replica` nothing is accepted there that
/// is lost, and no prompt is submitted there that the new primary gives to another instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_cut_off_with_the_old_primary_lose_nothing_and_run_nothing_twice() {
    let mut cluster = Cluster::start(plan("replica")).await;
    cluster.wait_fair().await;
    let observers = Observers::start(&cluster).await;
    let loads = [0, 1].map(|api| Load::at(&cluster, api, Duration::from_millis(300)));
    let traffic = Traffic::start(loads.to_vec(), PER_SECOND);
    // Tasks that wait at both primaries.
    for _ in 0..BACKLOG {
        loads[0].post(Kind::Steps(1.0)).await;
    }
    let primary = cluster.redis.sentinel().primary();
    cluster.redis.sentinel().isolate(primary, Fault::BlackHole);
    for process in [&cluster.apis[0], &cluster.dispatchers[0]] {
        process.redis.cut_off(primary);
    }
    for process in [&cluster.apis[1], &cluster.dispatchers[1]] {
        process.redis.cut_off_all_but(primary);
    }
    see_failover(&mut cluster, &traffic, primary).await;
    let at_old = loads[1].accepted().len();
    // The time itself is under test.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(loads[1].accepted().len(), at_old, "the old primary has no replica");
    cluster.redis.sentinel().isolate(primary, Fault::None);
    cluster.apis.iter().chain(&cluster.dispatchers).for_each(|process| process.redis.rejoin());
    cluster.redis.sentinel().wait_whole().await;
    traffic.wait_accepted(5).await;
    let figures = traffic.figures(&cluster, &observers).await;
    println!("{figures:?}");
    assert_eq!((figures.lost, figures.twice, figures.unfinished, figures.given_up), (0, 0, 0, 0), "{figures:?}");
    assert!(loads.iter().all(|load| load.violations().is_empty()), "{:?}", loads.map(|load| load.violations()));
}
