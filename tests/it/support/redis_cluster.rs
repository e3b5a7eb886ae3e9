//! A Redis Cluster of three primaries, each with a replica if wanted.

use super::{TestRedis, eventually, raw::RawRedis, redis_link::RedisLink, stable_port};
use std::{path::Path, time::Duration};

/// Time after which a silent node counts as down.
const NODE_TIMEOUT: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(90);
const PRIMARIES: usize = 3;
/// First slot of each primary, and the end.
const BOUNDS: [u16; PRIMARIES + 1] = [0, 5_461, 10_923, 16_384];

/// A server of the cluster.
pub struct Node {
    pub redis: TestRedis,
    port: u16,
    bus: u16,
    /// Its id in the cluster.
    pub id: String,
}

pub struct RedisCluster {
    /// The primaries, then their replicas in the same order.
    pub nodes: Vec<Node>,
}

impl RedisCluster {
    /// Starts this server, or the usual one. Returns when every node sees the whole cluster.
    pub async fn start(program: Option<&Path>, has_replicas: bool) -> Self {
        let count = if has_replicas { PRIMARIES * 2 } else { PRIMARIES };
        let nodes: Vec<Node> = (0..count).map(|_| Node::start(program)).collect();
        for (number, bounds) in BOUNDS.windows(2).enumerate() {
            let (first, last) = (bounds[0].to_string(), (bounds[1] - 1).to_string());
            nodes[number].redis.raw().run(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
        let mut first = nodes[0].redis.raw();
        for node in &nodes[1..] {
            first.run(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &node.bus.to_string()]);
        }
        let cluster = Self { nodes };
        cluster.wait_met().await;
        for (primary, replica) in (PRIMARIES..count).enumerate() {
            let id = cluster.nodes[primary].id.clone();
            cluster.nodes[replica].redis.raw().run(&["CLUSTER", "REPLICATE", &id]);
        }
        cluster.wait_whole().await;
        cluster
    }

    /// Waits until every node knows every other.
    async fn wait_met(&self) {
        eventually("the nodes know each other", WAIT_MAX, async || {
            self.nodes.iter().all(|node| node.lines().len() == self.nodes.len()).then_some(())
        })
        .await;
    }

    /// Waits until every slot is served and every replica is in step, as every node sees it.
    pub async fn wait_whole(&self) {
        eventually("the cluster is whole", WAIT_MAX, async || self.is_whole().then_some(())).await;
    }

    fn is_whole(&self) -> bool {
        let replicas = self.nodes.len() - PRIMARIES;
        self.nodes.iter().all(|node| {
            let mut raw = node.redis.raw();
            let lines = node.lines();
            let info = raw.run(&["INFO", "replication"]).text();
            raw.run(&["CLUSTER", "INFO"]).text().contains("cluster_state:ok")
                && lines.len() == self.nodes.len()
                && !lines.iter().any(|line| line.contains("fail") || line.contains("handshake"))
                && lines.iter().filter(|line| line.contains("slave")).count() == replicas
                && (info.contains("role:master") || info.contains("master_link_status:up"))
        })
    }

    /// The address for `REDIS_URL`.
    pub fn link(&self) -> RedisLink {
        let others: Vec<String> =
            self.nodes[1..PRIMARIES].iter().map(|node| format!("node=127.0.0.1:{}", node.port)).collect();
        RedisLink::direct(format!("redis-cluster://127.0.0.1:{}?{}", self.nodes[0].port, others.join("&")))
    }

    /// The slot of all keys below this root, e.g. `{shuzhiren}:`.
    pub fn slot(&self, root: &str) -> String {
        let running = self.nodes.iter().find(|node| node.redis.is_running()).unwrap();
        running.redis.raw().run(&["CLUSTER", "KEYSLOT", root]).text()
    }

    /// The primary that serves the slot of this root, as the first server that answers sees it.
    pub fn owner(&self, root: &str) -> usize {
        self.owner_seen_by(root, |_| true).expect("a server owns the slot")
    }

    fn owner_seen_by(&self, root: &str, is_asked: impl Fn(usize) -> bool) -> Option<usize> {
        let slot: u16 = self.slot(root).parse().unwrap();
        for (_, node) in
            self.nodes.iter().enumerate().filter(|(number, node)| is_asked(*number) && node.redis.is_running())
        {
            let lines = node.lines();
            let owner =
                lines.iter().find(|line| line.contains("master") && !line.contains("fail") && serves(line, slot));
            if let Some(number) = owner.and_then(|line| self.nodes.iter().position(|node| line.starts_with(&node.id))) {
                return Some(number);
            }
        }
        None
    }

    /// The replica of a primary.
    pub fn replica_of(&self, primary: usize) -> usize {
        let id = &self.nodes[primary].id;
        let lines = self.nodes[primary].lines();
        let line = lines.iter().find(|line| line.contains("slave") && line.contains(id.as_str())).expect("a replica");
        self.nodes.iter().position(|node| line.starts_with(&node.id)).unwrap()
    }

    /// Waits until another server than `before`, which may be stopped, owns the slot of the root.
    pub async fn wait_promoted(&self, root: &str, before: usize) -> usize {
        eventually("another owner of the slot", WAIT_MAX, async || {
            self.owner_seen_by(root, |number| number != before).filter(|owner| *owner != before)
        })
        .await
    }

    /// Moves the slot of the root to another primary the classic way: marks, keys in batches, then the owner. Calls
    /// `halfway` once while half of the keys have moved.
    pub async fn move_slot(&self, root: &str, to: usize, halfway: impl AsyncFnOnce()) {
        let (from, slot) = (self.owner(root), self.slot(root));
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        target.redis.raw().run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source.id]);
        source.redis.raw().run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target.id]);
        let mut raw = source.redis.raw();
        let total = raw.run(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).number();
        let port = target.port.to_string();
        let mut halfway = Some(halfway);
        loop {
            let keys = raw.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]).texts();
            if keys.is_empty() {
                break;
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            raw.run(&words);
            let left = raw.run(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).number();
            if left * 2 <= total
                && let Some(halfway) = halfway.take()
            {
                halfway().await;
            }
            tokio::task::yield_now().await;
        }
        for node in [target, source].into_iter().chain(&self.nodes[..PRIMARIES]) {
            node.redis.raw().run(&["CLUSTER", "SETSLOT", &slot, "NODE", &target.id]);
        }
    }

    /// Moves the slot of the root to another primary in one step (`CLUSTER MIGRATESLOTS`, Valkey 9).
    pub async fn migrate_slot(&self, root: &str, to: usize) {
        let (from, slot) = (self.owner(root), self.slot(root));
        let words = ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", &slot, &slot, "NODE", &self.nodes[to].id];
        self.nodes[from].redis.raw().run(&words);
        self.wait_promoted(root, from).await;
    }
}

impl Node {
    fn start(program: Option<&Path>) -> Self {
        let (port, bus) = (stable_port(), stable_port());
        let timeout = NODE_TIMEOUT.as_millis().to_string();
        let (port_text, bus_text) = (port.to_string(), bus.to_string());
        let redis = TestRedis::start_node(
            program,
            &[
                ("port", &port_text),
                ("cluster-port", &bus_text),
                ("bind", "127.0.0.1"),
                ("cluster-enabled", "yes"),
                ("cluster-node-timeout", &timeout),
                ("cluster-announce-ip", "127.0.0.1"),
                ("cluster-allow-replica-migration", "no"),
                ("cluster-replica-validity-factor", "0"),
                ("repl-diskless-sync-delay", "0"),
                ("repl-ping-replica-period", "1"),
            ],
        );
        let id = redis.raw().run(&["CLUSTER", "MYID"]).text();
        Self { redis, port, bus, id }
    }

    /// The cluster as this server sees it, one line a server; empty if it does not answer.
    fn lines(&self) -> Vec<String> {
        let raw = RawRedis::try_connect_within(&self.redis.socket(), Duration::from_secs(1));
        let text = raw.and_then(|mut raw| raw.try_run(&["CLUSTER", "NODES"]));
        text.map_or_else(|_| Vec::new(), |text| text.text().lines().map(str::to_owned).collect())
    }
}

/// Whether a line of CLUSTER NODES lists the slot: `… connected 0-5460 9000 [9001->-id]`.
fn serves(line: &str, slot: u16) -> bool {
    line.split(' ').skip(8).filter(|part| !part.starts_with('[')).any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u16>().is_ok_and(|first| first <= slot) && last.parse::<u16>().is_ok_and(|last| slot <= last)
    })
}
