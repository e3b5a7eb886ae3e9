//! Dispatchers are killed, paused and restarted under running prompts: another carries on, nothing runs again.

use super::{
    load::{Kind, Load},
    referee::{Allow, judge},
    stage::{Plan, Stage, WAIT_MAX},
    watch::Watch,
};
use crate::support::eventually;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Beyond a lease's lifetime, on a machine that has nothing else to do.
const TAKEOVER: Duration = Duration::from_secs(2);
/// From SIGTERM to the next owner.
const HANDED_OVER: Duration = Duration::from_secs(2);
const HANDED_OVER_MAX: Duration = Duration::from_secs(5);
/// As [`TAKEOVER`], on a machine that has other things to do.
const TAKEOVER_MAX: Duration = Duration::from_secs(5);

/// Waits until others than `dead` own these instances; gives how long each took since `begun`.
async fn takeovers(stage: &Stage, mut waiting: Vec<String>, dead: &str, begun: Instant) -> Vec<Duration> {
    let mut took = Vec::new();
    while !waiting.is_empty() {
        let owners = stage.owners();
        waiting.retain(|instance| {
            let is_taken = owners.get(instance).is_some_and(|(owner, _)| owner != dead);
            if is_taken {
                took.push(begun.elapsed());
            }
            !is_taken
        });
        assert!(begun.elapsed() < WAIT_MAX, "nobody takes over {waiting:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    took
}

/// F1: each in turn, with a prompt running on every instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_dispatcher_leaves_its_prompts_to_another() {
    let mut stage = Stage::start(Plan { dispatchers: 3, instances: 6, ..Plan::default() }).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    let mut took = Vec::new();
    for victim in 0..3 {
        stage.wait_fair().await;
        run_everywhere(&stage, &load, 6.0).await;
        let name = stage.dispatchers[victim].dispatcher_name().unwrap();
        let (owned, killed) = (stage.owned_by(&name), Instant::now());
        stage.dispatchers[victim].kill();
        took.extend(takeovers(&stage, owned, &name, killed).await);
        stage.dispatchers[victim].start();
        for id in load.ids() {
            assert_eq!(stage.client.wait_ended(&id).await["status"], "completed");
        }
        stage.wait_owned().await;
    }
    judge(&mut stage, &load, &watch, Allow::default()).await;
    took.sort();
    println!("takeovers after kill -9 with leases of {:?}: {took:?}", stage.plan.lease_ttl);
    assert_eq!(took.len(), 6, "each owned its share");
    assert!(took[took.len() / 2] <= stage.plan.lease_ttl + TAKEOVER, "{took:?}");
    assert!(*took.last().unwrap() <= stage.plan.lease_ttl + TAKEOVER_MAX, "{took:?}");
}

/// A task for every instance, all of them running.
pub async fn run_everywhere(stage: &Stage, load: &Load, seconds: f64) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in &stage.instances {
        ids.push(load.post(Kind::Steps(seconds)).await);
    }
    for id in &ids {
        stage.client.wait_for(id, &["running"]).await;
    }
    ids
}

/// F2: one sleeps for two leases, then all of them at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_that_slept_cannot_harm() {
    let mut stage = Stage::start(Plan { dispatchers: 2, instances: 2, ..Plan::default() }).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    let nap = stage.plan.lease_ttl * 2;

    stage.wait_fair().await;
    let ids = run_everywhere(&stage, &load, 7.0).await;
    let name = stage.dispatchers[0].dispatcher_name().unwrap();
    let (owned, paused) = (stage.owned_by(&name), Instant::now());
    stage.dispatchers[0].pause();
    takeovers(&stage, owned, &name, paused).await;
    let owners = stage.owners();
    stage.dispatchers[0].wake();
    eventually("the sleeper notices", WAIT_MAX, || async {
        stage.dispatchers[0].log().contains("lease lost").then_some(())
    })
    .await;
    for (instance, (_, token)) in owners {
        // It may be given back later, for a fair share; never is it taken by the sleeper's old token.
        let now = stage.owners().get(&instance).cloned();
        assert!(now.is_none_or(|(owner, now)| owner != name || now != token), "{instance}");
    }
    for id in &ids {
        stage.client.wait_ended(id).await;
    }

    run_everywhere(&stage, &load, 7.0).await;
    stage.dispatchers.iter().for_each(|dispatcher| dispatcher.pause());
    // What is tested is the time itself.
    tokio::time::sleep(nap).await;
    stage.dispatchers.iter().for_each(|dispatcher| dispatcher.wake());
    judge(&mut stage, &load, &watch, Allow::default()).await;
}

/// F16, I11: every dispatcher is replaced while tasks run; no prompt is disturbed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_the_dispatchers_reruns_nothing() {
    let plan = Plan { dispatchers: 3, instances: 6, lease_ttl: Duration::from_secs(15), ..Plan::default() };
    let mut stage = Stage::start(plan).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
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
        stage.wait_fair().await;
        let name = stage.dispatchers[victim].dispatcher_name().unwrap();
        let (owned, stopped) = (stage.owned_by(&name), Instant::now());
        stage.dispatchers[victim].terminate().await;
        took.extend(takeovers(&stage, owned, &name, stopped).await);
        stage.dispatchers[victim].start();
        stage.wait_owned().await;
        eventually("the new one has started", WAIT_MAX, || async {
            stage.dispatchers[victim].dispatcher_name().filter(|new| *new != name)
        })
        .await;
    }
    stop.cancel();
    posting.await.unwrap();
    judge(&mut stage, &load, &watch, Allow::default()).await;
    took.sort();
    println!("from SIGTERM to the next owner: {took:?}");
    assert_eq!(took.len(), 6, "each owned its share");
    assert!(took[took.len() / 2] <= HANDED_OVER, "{took:?}");
    assert!(*took.last().unwrap() <= HANDED_OVER_MAX, "{took:?}");
}
