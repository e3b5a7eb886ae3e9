//! Instances die, restart with empty memory, and are stopped by the kernel, while dispatchers die too.

use super::{
    cluster::{Cluster, Plan, WAIT_MAX},
    executions::{End, Executions, LogLine},
    load::{Kind, Load},
    observers::Observers,
    referee::{Allow, verify},
};
use crate::{
    model::Dice,
    support::{eventually, stable_port, stack::Role},
};
use serde_json::json;
use std::time::Duration;

/// F6 with F1: only executions that died with their instance run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_executions_that_died_with_their_instance_run_again() {
    let mut cluster = Cluster::start(Plan { instances: 3, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    for _ in 0..15 {
        load.post(Kind::Steps(1.0)).await;
    }
    let mut dice = Dice::new(6);
    for turn in 0..6 {
        tokio::time::sleep(Duration::from_millis(600 + dice.next() % 400)).await;
        let sim = &cluster.instances[turn % 3].sim;
        if turn == 3 {
            let victim = dice.below(2);
            cluster.dispatchers[victim].kill();
            sim.restart().await.unwrap();
            cluster.dispatchers[victim].start();
        } else {
            sim.restart().await.unwrap();
        }
    }
    verify(&mut cluster, &load, &observers, Allow { attempts: true, ..Allow::default() }).await;
    let logs: Vec<_> = cluster.instances.iter().map(|instance| (instance.id(), instance.log())).collect();
    let runs = Executions::read(&logs, &load.ids());
    assert!(load.ids().iter().flat_map(|id| runs.of(id)).any(|one| one.end == End::Died), "some died");
}

/// F7: the kernel stops a real process: nothing answers, sockets stay open. When resumed, it continues as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_instance_continues_when_it_is_resumed() {
    let cluster = Cluster::start(Plan { instances: 1, ..Plan::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let port = stable_port();
    let listen = format!("127.0.0.1:{port}");
    let sim = Role::spawn(&["sim", "--listen", &listen], port, &[], &folder.path().join("sim.log"));
    let servers = json!([{"id": "server-1", "name": "stopped", "ip": "127.0.0.1", "ports": [port]}]);
    let checks = json!({"interval": 500, "timeout": 1000, "failuresToDown": 2});
    cluster.client.put("/api/config", json!({"servers": servers, "healthCheck": checks})).await;
    cluster.wait_phase(port, "up").await;

    let load = Load::new(&cluster);
    let id = load.post(Kind::Steps(2.0)).await;
    cluster.client.wait_for(&id, &["running"]).await;
    sim.signal("-STOP");
    cluster.wait_phase(port, "down").await;
    sim.signal("-CONT");
    let task = cluster.client.wait_ended(&id).await;
    assert_eq!((task["status"].as_str(), task["attempt"].as_u64()), (Some("completed"), Some(1)), "{task}");
    cluster.wait_phase(port, "up").await;

    let log: serde_json::Value = reqwest::get(format!("http://{listen}/sim/log")).await.unwrap().json().await.unwrap();
    let log: Vec<LogLine> = serde_json::from_value(log["entries"].clone()).unwrap();
    let runs = Executions::read(&[(listen, log)], &load.ids());
    assert_eq!(runs.of(&id).iter().map(|one| one.end).collect::<Vec<_>>(), [End::Succeeded]);
    assert!(runs.violations.is_empty() && runs.foreign.is_empty());
}

impl Cluster {
    async fn wait_phase(&self, port: u16, phase: &str) {
        eventually(&format!("the instance is {phase}"), WAIT_MAX, || async {
            let shown = self.client.get(&format!("/api/instances/127.0.0.1:{port}")).await;
            (shown["phase"] == phase).then_some(())
        })
        .await;
    }
}
