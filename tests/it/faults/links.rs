//! The network between processes, Redis and instances is cut, slow, black, or eats answers.

use super::{
    dispatchers::run_everywhere,
    load::{Kind, Load},
    member::Member,
    outages::{check_refusals, clients},
    referee::{Allow, judge},
    stage::{PATIENCE, Plan, Stage},
    watch::Watch,
};
use crate::support::{eventually, proxy::Fault};
use std::time::Duration;

/// F4, I9, I17: every fault of the network between `pick`ed processes and Redis, one after the other, under load.
async fn torment(pick: fn(&Stage) -> &[Member]) {
    let mut stage = Stage::start(Plan { apis: 2, dispatchers: 2, instances: 2, ..Plan::default() }).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    let stop = tokio_util::sync::CancellationToken::new();
    let posting = clients(&load, 6, &stop);
    run_everywhere(&stage, &load, 5.0).await;
    for (fault, lasts_ms) in [
        (Fault::BlackHole, 4_000),
        (Fault::Refuse, 2_500),
        (Fault::SwallowReplies, 2_500),
        (Fault::Hold, 3_000),
        (Fault::Delay(Duration::from_millis(300)), 2_500),
        (Fault::Throttle(4_000), 2_000),
    ] {
        pick(&stage).iter().for_each(|member| member.redis.set(fault));
        // What is tested is the time itself.
        tokio::time::sleep(Duration::from_millis(lasts_ms)).await;
        pick(&stage).iter().for_each(|member| member.redis.set(Fault::None));
        goes_on(&load).await;
    }
    for _ in 0..20 {
        pick(&stage).iter().for_each(|member| member.redis.cut());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    goes_on(&load).await;
    stop.cancel();
    for client in posting {
        client.await.unwrap();
    }
    judge(&mut stage, &load, &watch, Allow::default()).await;
    check_refusals(&load);
}

/// Tasks are accepted, and one of them ends.
async fn goes_on(load: &Load) {
    let before = load.ids().len();
    eventually("tasks are accepted again", PATIENCE, || async { (load.ids().len() > before).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_between_api_and_redis_loses_nothing() {
    torment(|stage| &stage.apis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_between_dispatchers_and_redis_reruns_nothing() {
    torment(|stage| &stage.dispatchers).await;
}

/// F9–F11: the line to the instance is bad in every way, before and while a prompt runs: one execution.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_to_the_instance_runs_nothing_twice() {
    let mut stage = Stage::start(Plan { instances: 1, ..Plan::default() }).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    for (fault, lasts_ms) in [
        (Fault::SwallowReplies, 3_000),
        (Fault::BlackHole, 3_000),
        (Fault::Hold, 5_000),
        (Fault::Refuse, 2_000),
        (Fault::Delay(Duration::from_millis(300)), 4_000),
        (Fault::Throttle(6_000), 3_000),
    ] {
        // Before the submit …
        stage.instances[0].link.set(fault);
        let id = load.post(Kind::Steps(1.0)).await;
        tokio::time::sleep(Duration::from_millis(lasts_ms)).await;
        stage.instances[0].link.set(Fault::None);
        stage.client.wait_ended(&id).await;
        // … and in the middle of the run.
        let id = load.post(Kind::Steps(2.0)).await;
        stage.client.wait_for(&id, &["running"]).await;
        stage.instances[0].link.set(fault);
        tokio::time::sleep(Duration::from_millis(lasts_ms)).await;
        stage.instances[0].link.set(Fault::None);
        stage.client.wait_ended(&id).await;
    }
    for _ in 0..10 {
        load.post(Kind::Steps(0.3)).await;
    }
    while stage.client.get("/api/monitor/overview").await["pendingTasks"] != 0 {
        stage.instances[0].link.cut();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    judge(&mut stage, &load, &watch, Allow::default()).await;
}
