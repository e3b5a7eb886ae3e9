//! The fleet's config, disabled instances and reports; failed logins.

use crate::{
    scenarios,
    support::world::{TTL, World},
};
use shuzhiren::{
    fleet::{FleetConfig, HealthCheck, InstanceReport, InstanceStatus, Phase, Scheme, Server},
    queue::{ConfigWritten, Written},
    task::InstanceId,
};
use std::{collections::BTreeMap, time::Duration};

scenarios! {
    a_config_is_written_under_its_version
    an_instance_is_known_by_its_report
    a_switch_survives_and_shows
    failed_logins_are_counted_within_a_window
}

pub fn config(ports: &[u16]) -> FleetConfig {
    FleetConfig {
        servers: vec![Server {
            id: "s1".into(),
            name: "主服务器".into(),
            ip: "127.0.0.1".into(),
            ports: ports.to_vec(),
            enabled: true,
            scheme: Scheme::Http,
            base_path: String::new(),
            headers: BTreeMap::new(),
            extra_data: BTreeMap::new(),
        }],
        health_check: HealthCheck::default(),
        version: 0,
    }
}

pub async fn a_config_is_written_under_its_version(world: &World) {
    assert_eq!(world.queue.config().await.unwrap(), FleetConfig::default());
    let first = config(&[8001]);
    let ConfigWritten::Written(written) = world.queue.put_config(&first, Some(0)).await.unwrap() else { panic!() };
    assert_eq!((written.version, &written), (1, &world.queue.config().await.unwrap()));
    let outdated = world.queue.put_config(&config(&[8002]), Some(0)).await.unwrap();
    assert_eq!(outdated, ConfigWritten::Outdated(1));
    assert_eq!(world.queue.config().await.unwrap().servers, first.servers);
    let whatever = world.queue.put_config(&config(&[8002]), None).await.unwrap();
    assert_eq!(whatever, ConfigWritten::Written(FleetConfig { version: 2, ..config(&[8002]) }));
    // The connection sends the same bytes again, as after a lost reply.
    let nonce = world.redis(&["HGET", &world.key("config"), "nonce"]).text();
    let script = world.script(shuzhiren::queue::Verb::ConfigPut);
    let again = world.redis(&["EVAL", &script, "1", &world.key(""), "{}", "1", &nonce]).texts();
    assert_eq!(again, ["written", "2"]);
    assert_eq!(world.queue.config().await.unwrap().version, 2);
}

pub async fn an_instance_is_known_by_its_report(world: &World) {
    let (one, two) = (InstanceId::new("gpu:1"), InstanceId::new("[::1]:8188"));
    assert_eq!(world.queue.instances(&[one.clone(), two.clone()]).await.unwrap(), [None, None]);
    let lease = world.lease("gpu:1").await;
    let mut report = InstanceReport {
        alive: true,
        phase: Phase::Up,
        last_error: Some("\"lastHeartbeatMs\":77".into()),
        ..InstanceReport::default()
    };
    for _ in 0..2 {
        assert_eq!(world.queue.report(&lease, &report, false).await.unwrap(), Written::Done);
    }
    let id = world.enqueue().await;
    world.claim(&lease).await.unwrap();
    report.last_heartbeat_ms = world.now_ms();
    let status =
        InstanceStatus { id: one.clone(), enabled: true, leased: true, tasks: vec![id], report, quarantine: None };
    assert_eq!(world.queue.instances(&[two.clone(), one.clone()]).await.unwrap(), [None, Some(status.clone())]);
    // The next check fails: the reporter keeps the last good heartbeat.
    world.advance(Duration::from_secs(1));
    let down = InstanceReport { alive: false, phase: Phase::Down, ..status.report.clone() };
    world.queue.report(&lease, &down, true).await.unwrap();
    world.advance(TTL);
    let status = InstanceStatus { leased: false, report: down, ..status };
    assert_eq!(world.queue.instances(&[one]).await.unwrap(), [Some(status)]);
}

pub async fn a_switch_survives_and_shows(world: &World) {
    let id = InstanceId::new("gpu:1");
    for _ in 0..2 {
        world.queue.set_enabled(&id, false).await.unwrap();
    }
    let status = world.queue.instances(std::slice::from_ref(&id)).await.unwrap().remove(0).unwrap();
    assert!(!status.enabled && !status.leased);
    world.queue.set_enabled(&id, true).await.unwrap();
    assert_eq!(world.queue.instances(&[id]).await.unwrap(), [None]);
}

pub async fn failed_logins_are_counted_within_a_window(world: &World) {
    let window = Duration::from_secs(60);
    assert_eq!(world.queue.login_failures("alice").await.unwrap(), (0, Duration::ZERO));
    for expected in 1..=3 {
        assert_eq!(world.queue.count_login_failure("alice", window).await.unwrap(), expected);
    }
    let (count, left) = world.queue.login_failures("alice").await.unwrap();
    assert!(count == 3 && left <= window && left > window / 2);
    assert_eq!(world.queue.login_failures(&"x".repeat(100_000)).await.unwrap().0, 0);
    let short = Duration::from_millis(20);
    world.queue.count_login_failure("bob", short).await.unwrap();
    crate::support::eventually("bob is forgotten", Duration::from_secs(5), || async {
        (world.queue.login_failures("bob").await.unwrap().0 == 0).then_some(())
    })
    .await;
}
