//! A Sentinel set: one primary, its replicas, three Sentinels. Servers and Sentinels know every server by a proxy of the
//! set, so that a server can be cut off from them; clients have proxies of their own ([`RedisLink`]).

use super::{
    TestRedis, eventually,
    proxy::{Fault, Proxy, Rewrites, Target},
    raw::{RawRedis, Reply},
    redis_link::RedisLink,
    stable_port,
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Time after which a silent primary counts as down.
pub const DOWN_AFTER: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(90);
const SENTINELS: usize = 3;

/// A server and the proxy by which the set knows it.
pub struct Node {
    pub redis: TestRedis,
    link: Proxy,
}

pub struct SentinelSet {
    pub nodes: Vec<Node>,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl SentinelSet {
    /// Starts this server, or the usual one, with additional options. Returns when the Sentinels would fail over.
    pub async fn start(program: Option<&Path>, replicas: usize, options: &[(&str, &str)]) -> Self {
        let ports: Vec<u16> = (0..=replicas).map(|_| stable_port()).collect();
        let first = ports[0].to_string();
        let mut nodes = Vec::new();
        for (number, port) in ports.iter().enumerate() {
            let (own, known) = (stable_port().to_string(), port.to_string());
            let primary = format!("127.0.0.1 {first}");
            let mut lines = vec![
                ("port", own.as_str()),
                ("bind", "127.0.0.1"),
                ("replica-announce-ip", "127.0.0.1"),
                ("replica-announce-port", &known),
                ("repl-diskless-sync-delay", "0"),
                ("repl-ping-replica-period", "1"),
            ];
            lines.extend(options);
            if number > 0 {
                lines.push(("replicaof", &primary));
            }
            let redis = TestRedis::start_node(program, &lines);
            let link = Proxy::start_at(*port, Target::Unix(redis.socket()), Rewrites::default());
            nodes.push(Node { redis, link });
        }
        let sentinels = (0..SENTINELS).map(|_| Sentinel::start(program, ports[0])).collect();
        let set = Self { nodes, sentinels };
        set.wait_whole().await;
        set
    }

    /// A client's link to the set.
    pub fn link(&self) -> RedisLink {
        let nodes: Vec<(PathBuf, u16)> = self.nodes.iter().map(|node| (node.redis.socket(), node.link.port)).collect();
        let sentinels: Vec<u16> = self.sentinels.iter().map(|sentinel| sentinel.port).collect();
        RedisLink::through_sentinels(&nodes, &sentinels)
    }

    /// The server that most Sentinels name as the primary.
    pub fn primary(&self) -> usize {
        self.majority().expect("most sentinels agree")
    }

    fn majority(&self) -> Option<usize> {
        let named: Vec<usize> = self.sentinels.iter().filter_map(|sentinel| self.named_by(sentinel)).collect();
        (0..self.nodes.len()).find(|node| named.iter().filter(|one| *one == node).count() * 2 > SENTINELS)
    }

    fn named_by(&self, sentinel: &Sentinel) -> Option<usize> {
        let address = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"])?.texts();
        self.nodes.iter().position(|node| Some(&node.link.port.to_string()) == address.get(1))
    }

    /// Waits until most Sentinels name another primary than `before`, and it accepts writes.
    pub async fn wait_promoted(&self, before: usize) -> usize {
        eventually("another primary", WAIT_MAX, async || {
            let primary = self.majority().filter(|primary| *primary != before)?;
            (self.role(primary)? == "master").then_some(primary)
        })
        .await
    }

    /// Waits until every server and Sentinel runs, all agree, and all replicas are in step.
    pub async fn wait_whole(&self) {
        eventually("the sentinel set is whole", WAIT_MAX, async || self.is_whole().then_some(())).await;
    }

    /// Whether every server runs, all Sentinels agree, and all replicas are in step: a failover loses nothing.
    pub fn is_whole(&self) -> bool {
        self.whole().is_some()
    }

    fn whole(&self) -> Option<()> {
        let primary = self.named_by(&self.sentinels[0])?;
        for sentinel in &self.sentinels {
            if self.named_by(sentinel) != Some(primary) {
                return None;
            }
            let quorum = sentinel.ask(&["SENTINEL", "CKQUORUM", "main"])?;
            let is_enough = matches!(&quorum, Reply::Text(text) if text.starts_with(b"OK 3 usable"));
            let master = sentinel.ask(&["SENTINEL", "MASTER", "main"])?.pairs();
            let replicas = sentinel.ask(&["SENTINEL", "REPLICAS", "main"])?;
            let in_step = replicas.list().iter().filter(|one| {
                let fields = one.pairs();
                has(&fields, "flags", "slave") && has(&fields, "master-link-status", "ok")
            });
            let is_calm = has(&master, "flags", "master") && in_step.count() == self.nodes.len() - 1;
            (is_enough && is_calm).then_some(())?;
        }
        for node in 0..self.nodes.len() {
            let role = if node == primary { "master" } else { "slave" };
            (self.role(node)? == role).then_some(())?;
        }
        let info = self.raw_of(primary)?.try_run(&["INFO", "replication"]).ok()?.text();
        let offset = field(&info, "master_repl_offset:")?;
        let online = info.lines().filter(|line| line.starts_with("slave") && line.contains("state=online"));
        let in_step = online.filter(|line| {
            let own = line.split(',').find_map(|part| part.strip_prefix("offset=")).and_then(|text| text.parse().ok());
            own.is_some_and(|own: i64| offset - own < 100_000)
        });
        (in_step.count() == self.nodes.len() - 1).then_some(())
    }

    fn role(&self, node: usize) -> Option<String> {
        Some(self.raw_of(node)?.try_run(&["ROLE"]).ok()?.list().first()?.text())
    }

    /// A connection that gives up soon, because the server may be stopped.
    fn raw_of(&self, node: usize) -> Option<RawRedis> {
        let redis = &self.nodes[node].redis;
        RawRedis::try_connect_within(&redis.socket(), Duration::from_secs(1)).ok().filter(|_| redis.is_running())
    }

    /// Cuts a server off from the other servers and the Sentinels, or joins it again.
    pub fn isolate(&self, node: usize, fault: Fault) {
        self.nodes[node].link.set(fault);
    }
}

impl Sentinel {
    fn start(program: Option<&Path>, primary: u16) -> Self {
        let folder = tempfile::Builder::new().prefix("szr").tempdir().unwrap();
        let (port, down_after) = (stable_port(), DOWN_AFTER.as_millis());
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds main {down_after}\nsentinel failover-timeout main 5000\n\
             sentinel parallel-syncs main 2\n",
            folder.path().display()
        );
        std::fs::write(&file, text).unwrap();
        let server = program.map(|path| path.display().to_string());
        let server = server.or_else(|| std::env::var("REDIS_SERVER").ok()).unwrap_or_else(|| "redis-server".to_owned());
        let mut command = Command::new(server);
        command.arg(file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), port, _folder: folder }
    }

    fn ask(&self, words: &[&str]) -> Option<Reply> {
        let reply = RawRedis::try_connect_port(self.port).and_then(|mut raw| raw.try_run(words)).ok()?;
        (!matches!(reply, Reply::Error(_))).then_some(reply)
    }
}

fn has(fields: &[(String, String)], name: &str, value: &str) -> bool {
    fields.iter().any(|(field, held)| field == name && held == value)
}

fn field(info: &str, name: &str) -> Option<i64> {
    info.lines().find_map(|line| line.strip_prefix(name)).and_then(|text| text.trim().parse().ok())
}
