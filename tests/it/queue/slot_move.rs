//! A slot that is moved key by key: while its keys are in two places, no script runs on either of them.

use super::cluster::start_node;
use crate::support::{
    TestRedis, eventually,
    raw::{RawRedis, Reply},
};
use shuzhiren::queue::Verb;
use std::time::Duration;

struct Node {
    raw: RawRedis,
    port: u16,
    id: String,
    redis: TestRedis,
}

impl Node {
    fn start(slots: &[&str]) -> Self {
        let (redis, port) = start_node();
        let mut raw = RawRedis::connect(&redis.socket());
        if !slots.is_empty() {
            raw.run(&[&["CLUSTER", "ADDSLOTSRANGE"], slots].concat());
        }
        let id = raw.run(&["CLUSTER", "MYID"]).text();
        Self { raw, port, id, redis }
    }

    fn set_slot(&mut self, slot: &str, words: &[&str]) {
        self.raw.run(&[&["CLUSTER", "SETSLOT", slot], words].concat());
    }

    /// Runs a script for this installation, as a client that follows redirections. Returns its tag or its error.
    fn count(&mut self, installation: &str) -> String {
        let keys = ["2", "{ns}:", &format!("{{ns}}:installation:{installation}")];
        self.raw.run(&["ASKING"]);
        match self.raw.call(&[&["EVAL", Verb::Heartbeat.text()], &keys[..], &["dispatcher-1", "1000"]].concat()) {
            Reply::Error(message) => message.split(' ').next().unwrap().to_owned(),
            answer => answer.list()[0].text(),
        }
    }
}

#[tokio::test]
async fn no_script_runs_on_half_of_the_keys() {
    let mut from = Node::start(&["0", "16383"]);
    let mut to = Node::start(&[]);
    let port = from.port.to_string();
    to.raw.run(&["CLUSTER", "MEET", "127.0.0.1", &port]);
    for node in [&mut from, &mut to] {
        let mut raw = RawRedis::connect(&node.redis.socket());
        eventually("the nodes know each other", Duration::from_secs(20), || {
            let info = raw.run(&["CLUSTER", "INFO"]).text();
            let is_whole = info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2");
            std::future::ready(is_whole.then_some(()))
        })
        .await;
    }
    let checked = from.raw.run(&["EVAL", Verb::CheckRedisRestart.text(), "1", "{ns}:", "mine", "0"]);
    assert_eq!(checked.list()[1].text(), "mine");
    assert_eq!(from.count("mine"), "live");

    let slot = from.raw.run(&["CLUSTER", "KEYSLOT", "{ns}:"]).text();
    to.set_slot(&slot, &["IMPORTING", &from.id]);
    from.set_slot(&slot, &["MIGRATING", &to.id]);
    let port = to.port.to_string();
    let keys = from.raw.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).texts();
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in &keys {
        for node in [&mut from, &mut to] {
            let answer = node.count("mine");
            assert!(["TRYAGAIN", "ASK", "NOTOURS"].contains(&answer.as_str()), "before {key} has moved: {answer}");
        }
        from.raw.run(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
    }
    assert_eq!(from.count("mine"), "ASK");
    assert_eq!(to.count("mine"), "TRYAGAIN");
    let owner = to.id.clone();
    to.set_slot(&slot, &["NODE", &owner]);
    from.set_slot(&slot, &["NODE", &owner]);
    assert_eq!(to.count("mine"), "live");
    assert_eq!(to.count("another"), "NOTOURS");
    assert_eq!(from.count("mine"), "MOVED");
}
