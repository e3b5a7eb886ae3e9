//! Dispatchers are killed, paused and restarted under running prompts: another one continues, and nothing runs again.

use super::{
    cluster::{Cluster, Plan, WAIT_MAX},
    load::{Kind, Load},
    observers::Observers,
    referee::{Allow, verify},
};
use crate::support::eventually;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Longest takeover beyond the lease's TTL, on an idle machine.
const TAKEOVER: Duration = Duration::from_secs(2);
/// Longest time from SIGTERM to the next owner.
const HANDED_OVER: Duration = Duration::from_secs(2);
const HANDED_OVER_MAX: Duration = Duration::from_secs(5);
/// Like [`TAKEOVER`], on a busy machine.
const TAKEOVER_MAX: Duration = Duration::from_secs(5);

/// Waits until dispatchers other than `dead` own these instances. Returns how long each took since `begun`.
async fn takeovers(cluster: &Cluster, mut waiting: Vec<String>, dead: &str, begun: Instant) -> Vec<Duration> {
    let mut took = Vec::new();
    while !waiting.is_empty() {
        let owners = cluster.owners();
        waiting.retain(|instance| {
            let is_taken = owners.get(instance).is_some_and(|(owner, _)| owner != dead);
            if is_taken {
                took.push(begun.elapsed());
            }
            !is_taken
        });
        assert!(begun.elapsed() < WAIT_MAX, "not taken over: {waiting:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    took
}

/// F1: each dispatcher in turn, with a prompt running on every instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_of_a_killed_dispatcher_are_continued_by_another() {
    let mut cluster = Cluster::start(Plan { dispatchers: 3, instances: 6, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let mut took = Vec::new();
    for victim in 0..3 {
        cluster.wait_fair().await;
        run_everywhere(&cluster, &load, 6.0).await;
        let name = cluster.dispatchers[victim].dispatcher_name().unwrap();
        let (owned, killed) = (cluster.owned_by(&name), Instant::now());
        cluster.dispatchers[victim].kill();
        took.extend(takeovers(&cluster, owned, &name, killed).await);
        cluster.dispatchers[victim].start();
        for id in load.ids() {
            assert_eq!(cluster.client.wait_ended(&id).await["status"], "completed");
        }
        cluster.wait_owned().await;
    }
    verify(&mut cluster, &load, &observers, Allow::default()).await;
    took.sort();
    println!("takeovers after kill -9 with leases of {:?}: {took:?}", cluster.plan.lease_ttl);
    assert_eq!(took.len(), 6, "each owned its share");
    assert!(took[took.len() / 2] <= cluster.plan.lease_ttl + TAKEOVER, "{took:?}");
    assert!(*took.last().unwrap() <= cluster.plan.lease_ttl + TAKEOVER_MAX, "{took:?}");
}

/// Posts a task for every instance and waits until all run.
pub async fn run_everywhere(cluster: &Cluster, load: &Load, seconds: f64) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in &cluster.instances {
        ids.push(load.post(Kind::Steps(seconds)).await);
    }
    for id in &ids {
        cluster.client.wait_for(id, &["running"]).await;
    }
    ids
}

/// F2: one sleeps for two lease TTLs, then all of them at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_that_slept_does_no_harm() {
    let mut cluster = Cluster::start(Plan { dispatchers: 2, instances: 2, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let nap = cluster.plan.lease_ttl * 2;

    cluster.wait_fair().await;
    let ids = run_everywhere(&cluster, &load, 7.0).await;
    let name = cluster.dispatchers[0].dispatcher_name().unwrap();
    let (owned, paused) = (cluster.owned_by(&name), Instant::now());
    cluster.dispatchers[0].pause();
    takeovers(&cluster, owned, &name, paused).await;
    let owners = cluster.owners();
    cluster.dispatchers[0].wake();
    eventually("the sleeper detects the lost lease", WAIT_MAX, || async {
        cluster.dispatchers[0].log().contains("lease lost").then_some(())
    })
    .await;
    for (instance, (_, token)) in owners {
        // The instance may be released later, for a fair share, but never taken with the sleeper's old token.
        let now = cluster.owners().get(&instance).cloned();
        assert!(now.is_none_or(|(owner, now)| owner != name || now != token), "{instance}");
    }
    for id in &ids {
        cluster.client.wait_ended(id).await;
    }

    run_everywhere(&cluster, &load, 7.0).await;
    cluster.dispatchers.iter().for_each(|dispatcher| dispatcher.pause());
    // The time itself is under test.
    tokio::time::sleep(nap).await;
    cluster.dispatchers.iter().for_each(|dispatcher| dispatcher.wake());
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

/// F16, I11: every dispatcher is replaced while tasks run; no prompt is disturbed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_the_dispatchers_reruns_nothing() {
    let plan = Plan { dispatchers: 3, instances: 6, lease_ttl: Duration::from_secs(15), ..Plan::default() };
    let mut cluster = Cluster::start(plan).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let stop = CancellationToken::new();
    let posting = {
        let (load, stop) = (load.clone(), stop.clone());
        tokio::spawn(async move {
            for turn in 0.. {
                load.post(if turn % 4 == 0 { Kind::Steps(2.0) } else { Kind::Quick }).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
                if stop.is_cancelled() {
                    return;
                }
            }
        })
    };
    let mut took = Vec::new();
    for victim in 0..3 {
        cluster.wait_fair().await;
        let name = cluster.dispatchers[victim].dispatcher_name().unwrap();
        let (owned, stopped) = (cluster.owned_by(&name), Instant::now());
        cluster.dispatchers[victim].terminate().await;
        took.extend(takeovers(&cluster, owned, &name, stopped).await);
        cluster.dispatchers[victim].start();
        cluster.wait_owned().await;
        eventually("the new one has started", WAIT_MAX, || async {
            cluster.dispatchers[victim].dispatcher_name().filter(|new| *new != name)
        })
        .await;
    }
    stop.cancel();
    posting.await.unwrap();
    verify(&mut cluster, &load, &observers, Allow::default()).await;
    took.sort();
    println!("from SIGTERM to the next owner: {took:?}");
    assert_eq!(took.len(), 6, "each owned its share");
    assert!(took[took.len() / 2] <= HANDED_OVER, "{took:?}");
    assert!(*took.last().unwrap() <= HANDED_OVER_MAX, "{took:?}");
}
