//! `waitingFor` and `queuePosition` are true for every reason to wait.

use super::server::{Api, INSTANCE, data};
use crate::support::eventually;
use serde_json::{Value, json};
use shuzhiren::{
    fleet::{InstanceReport, Phase},
    queue::{Acquired, Lease, Token, Written},
    task::{Failure, FailureKind, InstanceId, Outcome},
};
use std::time::Duration;

const OTHER: &str = "127.0.0.1:8002";
const MINUTE: Duration = Duration::from_secs(60);

async fn words(api: &Api, id: &str) -> String {
    let task = data(&api.get(&format!("/api/tasks/{id}")).await);
    task["waitingFor"].as_str().unwrap_or_else(|| panic!("no words: {task}")).to_owned()
}

async fn config(api: &Api, ports: Value) {
    let config = json!({"servers": [{"id": "s", "name": "s", "ip": "127.0.0.1", "ports": ports}]});
    assert_eq!(api.put("/api/config", &config).await.status, 200);
}

async fn lease_of(api: &Api, instance: &str) -> Lease {
    let lease = Lease { instance: InstanceId::new(instance), token: Token::new() };
    let acquired = api.queue.acquire(&lease.instance, "d", &lease.token, MINUTE).await.unwrap();
    assert!(matches!(acquired, Acquired::Ours(_)), "{acquired:?}");
    lease
}

async fn report(api: &Api, lease: &Lease, phase: Phase) {
    let report = InstanceReport { alive: phase != Phase::Down, phase, ..InstanceReport::default() };
    assert_eq!(api.queue.report(lease, &report, false).await.unwrap(), Written::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wait_has_its_reason() {
    let api = Api::start().await;
    let id = api.submit().await;
    assert_eq!(words(&api, &id).await, "an instance: the config has none, next in line");
    config(&api, json!([8001])).await;
    assert_eq!(words(&api, &id).await, "a dispatcher: none is running, next in line");
    let lease = lease_of(&api, INSTANCE).await;
    assert_eq!(words(&api, &id).await, "a dispatcher: none is running, next in line");
    api.queue.heartbeat("d", MINUTE).await.unwrap();
    assert_eq!(words(&api, &id).await, "an instance: none of the 1 enabled is alive, next in line");
    report(&api, &lease, Phase::Suspect).await;
    assert_eq!(
        words(&api, &id).await,
        "a healthy instance: the only one is under suspicion after failures, next in line"
    );
    report(&api, &lease, Phase::Up).await;
    assert_eq!(words(&api, &id).await, "its turn: 1 of 1 instances free, next in line");
    assert_eq!(api.put(&format!("/api/instances/{INSTANCE}"), &json!({"enabled": false})).await.status, 200);
    assert_eq!(words(&api, &id).await, "an instance: the only one is disabled, next in line");
    assert_eq!(api.put(&format!("/api/instances/{INSTANCE}"), &json!({"enabled": true})).await.status, 200);

    let claim = api.claim(&lease).await;
    assert_eq!(words(&api, &id).await, format!("{INSTANCE} to begin: the task has been given to it"));
    let (first, second) = (api.submit().await, api.submit().await);
    assert_eq!(words(&api, &first).await, "a free instance: the only one is busy, next in line");
    assert_eq!(words(&api, &second).await, "a free instance: the only one is busy, 1 task ahead");
    let urgent = json!({"workflow": super::server::workflow(), "priority": "high"});
    assert_eq!(api.post("/api/tasks", &urgent).await.status, 200);
    assert_eq!(words(&api, &second).await, "a free instance: the only one is busy, 2 tasks ahead");
    let detail = data(&api.get(&format!("/api/tasks/{second}")).await);
    assert_eq!(detail["queuePosition"], 1, "in its own lane");

    report(&api, &lease, Phase::Down).await;
    let said = words(&api, &id).await;
    assert_eq!(said, format!("{INSTANCE} to answer: the task has been given to it, else it goes elsewhere"));
    let failure = Failure::new(FailureKind::InstanceUnreachable, "gone");
    let outcome = Outcome::Failed { failure, outputs: Vec::new() };
    api.queue.settle(&lease, claim.task, claim.attempt, &outcome).await.unwrap();
    let task = data(&api.get(&format!("/api/tasks/{id}")).await);
    let at = task["nextAttemptAt"].as_str().unwrap();
    assert_eq!(task["waitingFor"], format!("retry at {at}, after attempt 1 failed (instance_unreachable)"));

    api.queue.heartbeat("d", Duration::ZERO).await.unwrap();
    assert_eq!(words(&api, &first).await, "a dispatcher: none is running, 1 task ahead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_failed_where_it_is_free_waits_for_another_instance() {
    let api = Api::start().await;
    config(&api, json!([8001, 8002])).await;
    api.queue.heartbeat("d", MINUTE).await.unwrap();
    let (here, there) = (lease_of(&api, INSTANCE).await, lease_of(&api, OTHER).await);
    report(&api, &here, Phase::Up).await;
    report(&api, &there, Phase::Up).await;
    let id = api.submit().await;
    let claim = api.claim(&here).await;
    api.submit().await;
    api.claim(&there).await;
    let outcome = Outcome::Failed { failure: Failure::new(FailureKind::Stalled, "no sign"), outputs: Vec::new() };
    assert_eq!(api.queue.settle(&here, claim.task, claim.attempt, &outcome).await.unwrap(), Written::Retrying);
    eventually("its pause is over", Duration::from_secs(10), async || {
        api.queue.run_janitor_once().await.unwrap();
        words(&api, &id).await.starts_with("another instance: 1 of 2 free, but an attempt failed there").then_some(())
    })
    .await;
    assert!(matches!(api.queue.claim(&here, "n", 1, 32).await.unwrap(), shuzhiren::queue::Claimed::Nothing));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_redis_starts_rest() {
    let mut api = Api::start().await;
    crate::support::raw::RawRedis::connect(&api.redis.socket()).run(&["CONFIG", "SET", "appendfsync", "always"]);
    config(&api, json!([8001])).await;
    let lease = lease_of(&api, INSTANCE).await;
    report(&api, &lease, Phase::Up).await;
    let id = api.submit().await;
    api.redis.kill();
    api.redis.launch();
    eventually("the reason", Duration::from_secs(15), async || {
        api.queue.heartbeat("d", MINUTE).await.ok()?;
        let answer = api.get(&format!("/api/tasks/{id}")).await;
        let said = answer.json()["data"]["waitingFor"].as_str()?.to_owned();
        said.starts_with("the dispatchers to report running prompts: Redis was restarted, claims pause for ")
            .then_some(())
    })
    .await;
    eventually("its turn", Duration::from_secs(10), async || {
        (words(&api, &id).await == "its turn: 1 of 1 instances free, next in line").then_some(())
    })
    .await;
}
