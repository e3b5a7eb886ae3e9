//! A cluster under test: Redis, stand-ins, APIs and dispatchers as processes, every link through a proxy.

use super::{
    executions::LogLine,
    managed_process::ManagedProcess,
    redis_servers::{RedisPlan, RedisServers},
};
use crate::support::{
    eventually,
    proxy::{Proxy, Target},
    raw::RawRedis,
    stack::{ApiClient, PASSWORD},
};
use serde_json::{Value, json};
use shuzhiren::sim::{self, Sim, SimOptions};
use std::{collections::BTreeMap, time::Duration};

/// Longest wait for anything: the machine may be slow and busy.
pub const WAIT_MAX: Duration = Duration::from_secs(120);
/// Prefix of every key.
pub const ROOT: &str = "{shuzhiren}:";
const JWT_SECRET: &str = "0123456789abcdef-a-key-of-tests-only-0123456789";

/// Configuration of a cluster.
#[derive(Clone)]
pub struct Plan {
    pub apis: usize,
    pub dispatchers: usize,
    pub instances: usize,
    pub lease_ttl: Duration,
    /// Time after which a silent instance counts as dead (`--gone-after`).
    pub gone_after: Duration,
    pub http_timeout: Duration,
    /// Speed-up of the stand-ins' work.
    pub speed: f64,
    pub redis: RedisPlan,
    pub durability: &'static str,
    /// Number of replicas that confirm a write at durability `replica`.
    pub replicas: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            apis: 1,
            dispatchers: 2,
            instances: 2,
            lease_ttl: Duration::from_secs(2),
            gone_after: Duration::from_secs(60),
            http_timeout: Duration::from_secs(2),
            speed: 1.0,
            redis: RedisPlan::One,
            durability: "fsync",
            replicas: 1,
        }
    }
}

/// A stand-in and the proxy through which dispatchers reach it.
pub struct Instance {
    pub sim: Sim,
    pub link: Proxy,
    /// Number of log lines that belong to an earlier scenario.
    forgotten: usize,
}

impl Instance {
    /// Instance id.
    pub fn id(&self) -> String {
        format!("127.0.0.1:{}", self.link.port)
    }

    pub fn log(&self) -> Vec<LogLine> {
        self.sim.log().iter().skip(self.forgotten).map(LogLine::of).collect()
    }

    /// Ignores the log up to this line.
    pub fn forget(&mut self, lines: usize) {
        self.forgotten = lines;
    }
}

pub struct Cluster {
    pub plan: Plan,
    pub apis: Vec<ManagedProcess>,
    pub dispatchers: Vec<ManagedProcess>,
    pub instances: Vec<Instance>,
    pub redis: RedisServers,
    /// Client of the first API, without a proxy.
    pub client: ApiClient,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts everything, and waits until every instance is owned (if there is a dispatcher).
    pub async fn start(plan: Plan) -> Self {
        let redis = RedisServers::start(&plan.redis).await;
        let folder = tempfile::Builder::new().prefix("szr").tempdir().unwrap();
        let mut instances = Vec::new();
        for _ in 0..plan.instances {
            let sim = sim::start(SimOptions { speed: plan.speed, ..SimOptions::default() }).await.unwrap();
            let link = Proxy::start(Target::Tcp(sim.addr()));
            instances.push(Instance { sim, link, forgotten: 0 });
        }
        let fleet = fleet(&instances);
        std::fs::write(folder.path().join("fleet.json"), fleet.to_string()).unwrap();
        let mut apis: Vec<ManagedProcess> = (0..plan.apis).map(|number| api(number, &plan, &redis, &folder)).collect();
        apis.iter_mut().for_each(ManagedProcess::start);
        let client = ApiClient::with_login(apis[0].port, "admin", PASSWORD).await;
        let mut cluster = Self { plan, apis, dispatchers: Vec::new(), instances, redis, client, folder };
        for _ in 0..cluster.plan.dispatchers {
            cluster.add_dispatcher();
        }
        if cluster.plan.dispatchers > 0 {
            cluster.wait_owned().await;
        }
        cluster
    }

    pub fn add_dispatcher(&mut self) -> usize {
        let number = self.dispatchers.len();
        let ms = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut variables = shared_variables(&self.plan, &self.folder);
        variables.extend([
            ("SHUZHIREN_LEASE_TTL".to_owned(), ms(self.plan.lease_ttl)),
            ("SHUZHIREN_HTTP_TIMEOUT".to_owned(), ms(self.plan.http_timeout)),
            ("SHUZHIREN_GONE_AFTER".to_owned(), ms(self.plan.gone_after)),
        ]);
        let name = format!("dispatcher-{number}");
        let log = self.folder.path().join(format!("{name}.log"));
        let mut process = ManagedProcess::new(name, "dispatcher", self.redis.link(), variables, log);
        process.start();
        self.dispatchers.push(process);
        number
    }

    /// Waits until every instance has a live owner and is up.
    pub async fn wait_owned(&self) {
        self.wait_owned_at(0).await;
    }

    /// Like [`Cluster::wait_owned`], as seen by this API.
    pub async fn wait_owned_at(&self, api: usize) {
        let client = self.client.at(self.apis[api].port);
        eventually("every instance is up", WAIT_MAX, || async {
            let (status, list) = client.try_get("/api/instances").await?;
            let up = list["data"].as_array()?.iter().filter(|one| one["alive"] == true && one["phase"] == "up").count();
            (status == 200 && up == self.instances.len()).then_some(())
        })
        .await;
    }

    /// Waits until every dispatcher owns its fair share.
    pub async fn wait_fair(&self) {
        let share = self.instances.len().div_ceil(self.dispatchers.len());
        eventually("fair shares", WAIT_MAX, || async {
            let owners = self.owners();
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            owners.values().for_each(|(owner, _)| *counts.entry(owner).or_default() += 1);
            let is_fair = counts.values().all(|count| *count <= share) && owners.len() == self.instances.len();
            (is_fair && counts.len() == self.dispatchers.len()).then_some(())
        })
        .await;
    }

    /// Instances owned by this dispatcher.
    pub fn owned_by(&self, name: &str) -> Vec<String> {
        self.owners().into_iter().filter(|(_, (owner, _))| owner == name).map(|(instance, _)| instance).collect()
    }

    /// A direct connection to Redis, past every proxy.
    pub fn raw(&self) -> RawRedis {
        self.redis.raw()
    }

    /// Instance → (dispatcher's name, lease token); without an entry, no dispatcher owns it.
    pub fn owners(&self) -> BTreeMap<String, (String, String)> {
        let mut raw = self.raw();
        let mut owners = BTreeMap::new();
        for instance in &self.instances {
            let key = format!("{ROOT}instance:{}", instance.id());
            let fields = raw.run(&["HMGET", &key, "dispatcher", "token"]).texts();
            if !fields[1].is_empty() {
                owners.insert(instance.id(), (fields[0].clone(), fields[1].clone()));
            }
        }
        owners
    }

    /// Index of the dispatcher with this name.
    pub fn dispatcher_named(&self, name: &str) -> Option<usize> {
        self.dispatchers.iter().position(|process| process.dispatcher_name().as_deref() == Some(name))
    }

    /// Log lines of all processes about one thing, for messages of failing tests.
    pub fn logs_about(&self, what: &str) -> String {
        let mut lines: Vec<(String, String)> = self
            .apis
            .iter()
            .chain(&self.dispatchers)
            .flat_map(|process| {
                let log = process.log();
                let about = |line: &&str| line.contains(what);
                log.lines().filter(about).map(|line| (line.to_owned(), process.name.clone())).collect::<Vec<_>>()
            })
            .collect();
        lines.sort();
        lines.into_iter().map(|(line, name)| format!("{name}: {line}\n")).collect()
    }
}

fn shared_variables(plan: &Plan, folder: &tempfile::TempDir) -> Vec<(String, String)> {
    [
        ("SHUZHIREN_STORAGE_URL", format!("file://{}", folder.path().join("files").display())),
        ("SHUZHIREN_DURABILITY", plan.durability.to_owned()),
        ("SHUZHIREN_DURABILITY_REPLICAS", plan.replicas.to_string()),
        ("SHUZHIREN_LOG", "info,fred=error,shuzhiren=debug".to_owned()),
        ("SHUZHIREN_LOG_FORMAT", "json".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn api(number: usize, plan: &Plan, redis: &RedisServers, folder: &tempfile::TempDir) -> ManagedProcess {
    let mut variables = shared_variables(plan, folder);
    variables.extend(
        [
            ("SHUZHIREN_ADMIN_PASSWORD", PASSWORD.to_owned()),
            ("SHUZHIREN_JWT_SECRET", JWT_SECRET.to_owned()),
            ("SHUZHIREN_CONFIG_FILE", folder.path().join("fleet.json").display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let name = format!("api-{number}");
    let log = folder.path().join(format!("{name}.log"));
    ManagedProcess::new(name, "api", redis.link(), variables, log)
}

fn fleet(instances: &[Instance]) -> Value {
    let ports: Vec<u16> = instances.iter().map(|instance| instance.link.port).collect();
    json!({
        "servers": [{"id": "server-1", "name": "主服务器", "ip": "127.0.0.1", "ports": ports}],
        "healthCheck": {"interval": 500, "timeout": 2000, "failuresToDown": 3}
    })
}
