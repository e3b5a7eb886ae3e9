//! The network between processes, Redis and instances is cut, slow, black, or eats answers.

use super::{
    dispatchers::run_everywhere,
    load::{Kind, Load},
    member::Member,
    outages::{check_refusals, clients},
    referee::{Allow, judge},
    stage::{Plan, Stage, WAIT_MAX},
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
    eventually("tasks are accepted again", WAIT_MAX, || async { (load.ids().len() > before).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_between_api_and_redis_loses_nothing() {
    torment(|stage| &stage.apis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_between_dispatchers_and_redis_reruns_nothing() {
    torment(|stage| &stage.dispatchers).await;
}

/// What a line to an instance is made to suffer, and for how long. Held requests come later than anybody waits for them.
const LINE_FAULTS: [(Fault, u64); 6] = [
    (Fault::SwallowReplies, 2_000),
    (Fault::BlackHole, 2_000),
    (Fault::Hold, 3_000),
    (Fault::Refuse, 1_500),
    (Fault::Delay(Duration::from_millis(300)), 2_500),
    (Fault::Throttle(6_000), 2_500),
];

async fn stage_with_one_line() -> Stage {
    Stage::start(Plan { instances: 1, http_timeout: Duration::from_secs(1), ..Plan::default() }).await
}

async fn suffer(stage: &Stage, (fault, lasts_ms): (Fault, u64)) {
    stage.instances[0].link.set(fault);
    // What is tested is the time itself.
    tokio::time::sleep(Duration::from_millis(lasts_ms)).await;
    stage.instances[0].link.set(Fault::None);
}

/// F9: the submit meets the fault. It may cost an attempt, but no second execution.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_at_the_submit_runs_nothing_twice() {
    let mut stage = stage_with_one_line().await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    for fault in LINE_FAULTS {
        stage.instances[0].link.set(fault.0);
        let id = load.post(Kind::Steps(0.5)).await;
        suffer(&stage, fault).await;
        stage.client.wait_ended(&id).await;
    }
    judge(&mut stage, &load, &watch, Allow { attempts: true }).await;
}

/// F10, F11: a running prompt meets the fault, its socket and every request with it. Not even an attempt is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_under_a_running_prompt_changes_nothing() {
    let mut stage = stage_with_one_line().await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    for fault in LINE_FAULTS {
        let id = load.post(Kind::Steps(2.0)).await;
        stage.client.wait_for(&id, &["running"]).await;
        suffer(&stage, fault).await;
        stage.client.wait_ended(&id).await;
    }
    let id = load.post(Kind::Steps(3.0)).await;
    stage.client.wait_for(&id, &["running"]).await;
    for _ in 0..20 {
        stage.instances[0].link.cut();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    judge(&mut stage, &load, &watch, Allow::default()).await;
}
