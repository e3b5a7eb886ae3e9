//! Redis, stand-ins, APIs, dispatchers: every process its own, every link behind a proxy.

use super::{member::Member, runs::LogLine};
use crate::support::{
    TestRedis, eventually,
    proxy::{Proxy, Target},
    raw::RawRedis,
    stack::{ApiClient, PASSWORD},
};
use serde_json::{Value, json};
use shuzhiren::sim::{self, Sim, SimOptions};
use std::{collections::BTreeMap, time::Duration};

/// The longest wait for anything: the machine may be slow and busy.
pub const WAIT_MAX: Duration = Duration::from_secs(120);
/// Of every key.
pub const ROOT: &str = "{shuzhiren}:";
const JWT_SECRET: &str = "0123456789abcdef-a-key-of-tests-only-0123456789";

/// How a stage is set up.
#[derive(Clone)]
pub struct Plan {
    pub apis: usize,
    pub dispatchers: usize,
    pub instances: usize,
    pub lease_ttl: Duration,
    /// An instance may be away so long before its task is run elsewhere.
    pub gone_after: Duration,
    pub http_timeout: Duration,
    /// The stand-ins' work goes so much faster.
    pub speed: f64,
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
        }
    }
}

/// One stand-in and the link that dispatchers reach it by.
pub struct Instance {
    pub sim: Sim,
    pub link: Proxy,
    /// Lines of its log that belong to an earlier scenario.
    forgotten: usize,
}

impl Instance {
    /// As the system calls it.
    pub fn id(&self) -> String {
        format!("127.0.0.1:{}", self.link.port)
    }

    pub fn log(&self) -> Vec<LogLine> {
        self.sim.log().iter().skip(self.forgotten).map(LogLine::of).collect()
    }

    /// What it did up to this line of its log is not to be judged.
    pub fn forget(&mut self, lines: usize) {
        self.forgotten = lines;
    }
}

pub struct Stage {
    pub plan: Plan,
    pub apis: Vec<Member>,
    pub dispatchers: Vec<Member>,
    pub instances: Vec<Instance>,
    pub redis: TestRedis,
    /// At the first API, straight.
    pub client: ApiClient,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Everything up and every instance owned (when there is a dispatcher).
    pub async fn start(plan: Plan) -> Self {
        // What was answered is on disk: a killed Redis forgets nothing.
        let redis = TestRedis::start_with(&["--appendfsync", "always"]);
        let folder = tempfile::Builder::new().prefix("szr").tempdir().unwrap();
        let mut instances = Vec::new();
        for _ in 0..plan.instances {
            let sim = sim::start(SimOptions { speed: plan.speed, ..SimOptions::default() }).await.unwrap();
            let link = Proxy::start(Target::Tcp(sim.addr()));
            instances.push(Instance { sim, link, forgotten: 0 });
        }
        let fleet = fleet(&instances);
        std::fs::write(folder.path().join("fleet.json"), fleet.to_string()).unwrap();
        let mut apis: Vec<Member> = (0..plan.apis).map(|number| api(number, &redis, &folder)).collect();
        apis.iter_mut().for_each(Member::start);
        let client = ApiClient::with_login(apis[0].port, "admin", PASSWORD).await;
        let mut stage = Self { plan, apis, dispatchers: Vec::new(), instances, redis, client, folder };
        for _ in 0..stage.plan.dispatchers {
            stage.add_dispatcher();
        }
        if stage.plan.dispatchers > 0 {
            stage.wait_owned().await;
        }
        stage
    }

    pub fn add_dispatcher(&mut self) -> usize {
        let number = self.dispatchers.len();
        let ms = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut variables = shared_variables(&self.folder);
        variables.extend([
            ("SHUZHIREN_LEASE_TTL".to_owned(), ms(self.plan.lease_ttl)),
            ("SHUZHIREN_HTTP_TIMEOUT".to_owned(), ms(self.plan.http_timeout)),
            ("SHUZHIREN_GONE_AFTER".to_owned(), ms(self.plan.gone_after)),
        ]);
        let name = format!("dispatcher-{number}");
        let log = self.folder.path().join(format!("{name}.log"));
        let mut member = Member::new(name, "dispatcher", self.redis.socket(), variables, log);
        member.start();
        self.dispatchers.push(member);
        number
    }

    /// The config that names every instance by its link.
    pub fn fleet(&self) -> Value {
        fleet(&self.instances)
    }

    /// Every instance has a living owner and is up.
    pub async fn wait_owned(&self) {
        self.wait_owned_at(0).await;
    }

    /// The same, as this API sees it.
    pub async fn wait_owned_at(&self, api: usize) {
        let client = self.client.at(self.apis[api].port);
        eventually("every instance is up", WAIT_MAX, || async {
            let (status, list) = client.try_get("/api/instances").await?;
            let up = list["data"].as_array()?.iter().filter(|one| one["alive"] == true && one["phase"] == "up").count();
            (status == 200 && up == self.instances.len()).then_some(())
        })
        .await;
    }

    /// Every dispatcher owns its fair share.
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

    /// The instances that this dispatcher owns.
    pub fn owned_by(&self, name: &str) -> Vec<String> {
        self.owners().into_iter().filter(|(_, (owner, _))| owner == name).map(|(instance, _)| instance).collect()
    }

    /// A bare connection, around every proxy.
    pub fn raw(&self) -> RawRedis {
        RawRedis::connect(&self.redis.socket())
    }

    /// Instance → (dispatcher's random name, lease token); no entry = nobody's.
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

    /// The place of the dispatcher with this random name.
    pub fn dispatcher_named(&self, name: &str) -> Option<usize> {
        self.dispatchers.iter().position(|member| member.dispatcher_name().as_deref() == Some(name))
    }

    /// What every process logged about one thing, for a failing test's message.
    pub fn logs_about(&self, what: &str) -> String {
        let mut lines: Vec<(String, String)> = self
            .apis
            .iter()
            .chain(&self.dispatchers)
            .flat_map(|member| {
                let log = member.log();
                let about = |line: &&str| line.contains(what);
                log.lines().filter(about).map(|line| (line.to_owned(), member.name.clone())).collect::<Vec<_>>()
            })
            .collect();
        lines.sort();
        lines.into_iter().map(|(line, name)| format!("{name}: {line}\n")).collect()
    }
}

fn shared_variables(folder: &tempfile::TempDir) -> Vec<(String, String)> {
    [
        ("SHUZHIREN_STORAGE_URL", format!("file://{}", folder.path().join("files").display())),
        ("SHUZHIREN_DURABILITY", "fsync".to_owned()),
        ("SHUZHIREN_LOG", "info,fred=error,shuzhiren=debug".to_owned()),
        ("SHUZHIREN_LOG_FORMAT", "json".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn api(number: usize, redis: &TestRedis, folder: &tempfile::TempDir) -> Member {
    let mut variables = shared_variables(folder);
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
    Member::new(name, "api", redis.socket(), variables, log)
}

fn fleet(instances: &[Instance]) -> Value {
    let ports: Vec<u16> = instances.iter().map(|instance| instance.link.port).collect();
    json!({
        "servers": [{"id": "server-1", "name": "主服务器", "ip": "127.0.0.1", "ports": ports}],
        "healthCheck": {"interval": 500, "timeout": 2000, "failuresToDown": 3}
    })
}
