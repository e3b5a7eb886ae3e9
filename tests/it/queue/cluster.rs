//! Every script stays within one slot: a Redis cluster refuses a script that does not.

use super::scenarios;
use crate::support::{
    TestRedis, eventually,
    raw::RawRedis,
    world::{KEEP, World},
};
use shuzhiren::queue::QueueLimits;
use std::time::Duration;

#[test]
fn every_scenario_is_green_on_a_cluster() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (redis, port) = start().await;
        let all = scenarios();
        assert!(all.len() > 90);
        for (name, scenario) in all {
            eprintln!("{name}");
            let limits = QueueLimits { waiting_max: 0, keep_tasks: KEEP };
            let url = format!("redis-cluster://127.0.0.1:{port}");
            let world = World::at(url, &redis, limits, |_, text| text.to_owned()).await;
            scenario(&world).await;
        }
    });
}

/// Starts a cluster of one node that owns every slot.
async fn start() -> (TestRedis, u16) {
    let (redis, port) = start_node();
    let mut raw = RawRedis::connect(&redis.socket());
    raw.run(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually("the cluster is whole", Duration::from_secs(20), async || {
        let info = RawRedis::connect(&redis.socket()).run(&["CLUSTER", "INFO"]).text();
        info.contains("cluster_state:ok").then_some(())
    })
    .await;
    (redis, port)
}

/// Starts a node of a cluster, without slots. Its bus port is its port plus 10,000.
pub(super) fn start_node() -> (TestRedis, u16) {
    static TAKEN: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let skip = usize::from(TAKEN.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let port = (20_000..50_000_u16)
        .step_by(7)
        .map(|port| port + u16::try_from(std::process::id() % 7).unwrap())
        .filter(|port| {
            [*port, port + 10_000].iter().all(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        })
        .nth(skip)
        .expect("a free pair of ports");
    let port_text = port.to_string();
    let address = ["--port", &port_text, "--bind", "127.0.0.1", "--cluster-announce-ip", "127.0.0.1"];
    (TestRedis::start_with(&[&address[..], &["--cluster-enabled", "yes"]].concat()), port)
}
