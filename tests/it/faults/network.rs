//! The network between processes, Redis and instances is cut, slow or silent, or loses answers.

use super::{
    cluster::{Cluster, Plan, WAIT_MAX},
    dispatchers::run_everywhere,
    load::{Kind, Load},
    managed_process::ManagedProcess,
    observers::Observers,
    redis_outages::{check_refusals, clients},
    referee::{Allow, verify},
};
use crate::support::{eventually, proxy::Fault};
use std::time::Duration;

/// F4, I9, I17: every network fault between the picked processes and Redis, one after the other, under load.
async fn disturb(pick: fn(&Cluster) -> &[ManagedProcess]) {
    let mut cluster = Cluster::start(Plan { apis: 2, dispatchers: 2, instances: 2, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let stop = tokio_util::sync::CancellationToken::new();
    let posting = clients(&load, 6, &stop);
    run_everywhere(&cluster, &load, 5.0).await;
    for (fault, lasts_ms) in [
        (Fault::BlackHole, 4_000),
        (Fault::Refuse, 2_500),
        (Fault::SwallowReplies, 2_500),
        (Fault::Hold, 3_000),
        (Fault::Delay(Duration::from_millis(300)), 2_500),
        (Fault::Throttle(4_000), 2_000),
    ] {
        pick(&cluster).iter().for_each(|process| process.redis.set(fault));
        // The time itself is under test.
        tokio::time::sleep(Duration::from_millis(lasts_ms)).await;
        pick(&cluster).iter().for_each(|process| process.redis.set(Fault::None));
        wait_accepted(&load).await;
    }
    for _ in 0..20 {
        pick(&cluster).iter().for_each(|process| process.redis.cut());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    wait_accepted(&load).await;
    stop.cancel();
    for client in posting {
        client.await.unwrap();
    }
    verify(&mut cluster, &load, &observers, Allow::default()).await;
    check_refusals(&load);
}

/// Waits until tasks are accepted.
async fn wait_accepted(load: &Load) {
    let before = load.ids().len();
    eventually("tasks are accepted again", WAIT_MAX, || async { (load.ids().len() > before).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_between_api_and_redis_loses_nothing() {
    disturb(|cluster| &cluster.apis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_between_dispatchers_and_redis_reruns_nothing() {
    disturb(|cluster| &cluster.dispatchers).await;
}

/// Faults of the link to an instance, with their durations in ms. Held requests arrive after every timeout.
const LINK_FAULTS: [(Fault, u64); 6] = [
    (Fault::SwallowReplies, 2_000),
    (Fault::BlackHole, 2_000),
    (Fault::Hold, 3_000),
    (Fault::Refuse, 1_500),
    (Fault::Delay(Duration::from_millis(300)), 2_500),
    (Fault::Throttle(6_000), 2_500),
];

async fn cluster_with_one_link() -> Cluster {
    Cluster::start(Plan { instances: 1, http_timeout: Duration::from_secs(1), ..Plan::default() }).await
}

async fn disturb_link(cluster: &Cluster, (fault, lasts_ms): (Fault, u64)) {
    cluster.instances[0].link.set(fault);
    // The time itself is under test.
    tokio::time::sleep(Duration::from_millis(lasts_ms)).await;
    cluster.instances[0].link.set(Fault::None);
}

/// F9: the fault hits the submit. It may cost an attempt but no second execution.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_link_during_a_submit_runs_nothing_twice() {
    let mut cluster = cluster_with_one_link().await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    for fault in LINK_FAULTS {
        cluster.instances[0].link.set(fault.0);
        let id = load.post(Kind::Steps(0.5)).await;
        disturb_link(&cluster, fault).await;
        cluster.client.wait_ended(&id).await;
    }
    verify(&mut cluster, &load, &observers, Allow { attempts: true, ..Allow::default() }).await;
}

/// F10, F11: the fault hits a running prompt, its socket and all requests. It does not even cost an attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_link_during_a_run_costs_no_attempt() {
    let mut cluster = cluster_with_one_link().await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    for fault in LINK_FAULTS {
        let id = load.post(Kind::Steps(2.0)).await;
        cluster.client.wait_for(&id, &["running"]).await;
        disturb_link(&cluster, fault).await;
        cluster.client.wait_ended(&id).await;
    }
    let id = load.post(Kind::Steps(3.0)).await;
    cluster.client.wait_for(&id, &["running"]).await;
    for _ in 0..20 {
        cluster.instances[0].link.cut();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}
