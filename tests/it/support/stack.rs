//! A whole system as users run it: real processes of the program, its own Redis, and stand-in instances in this
//! process.

use super::{TestRedis, eventually};
pub use super::{
    client::ApiClient,
    role::{Role, free_port},
    workflow,
};
use serde_json::json;
use shuzhiren::sim::{self, Sim, SimOptions};
use std::time::Duration;

pub const PASSWORD: &str = "a long enough password";
const JWT_SECRET: &str = "0123456789abcdef-a-key-of-tests-only-0123456789";
/// The longest wait of a test for anything.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Redis, stand-ins, an api, and dispatchers.
pub struct Stack {
    pub api: Role,
    pub dispatchers: Vec<Role>,
    pub sims: Vec<Sim>,
    pub redis: TestRedis,
    pub client: ApiClient,
    folder: tempfile::TempDir,
    /// Additional settings of its dispatchers.
    variables: Vec<(String, String)>,
    /// Additional settings of its dispatchers and apis: location and links of the files.
    files: Vec<(String, String)>,
}

impl Stack {
    /// Starts a stack with this number of stand-ins and dispatchers, leases of 1 s and health checks every 200 ms.
    pub async fn start(sims: usize, dispatchers: usize) -> Self {
        Self::start_with(sims, dispatchers, &[]).await
    }

    /// Like [`Stack::start`], with additional settings of the dispatchers.
    pub async fn start_with(sims: usize, dispatchers: usize, variables: &[(&str, &str)]) -> Self {
        Self::start_all(&vec![&[][..]; sims], dispatchers, variables, Vec::new()).await
    }

    /// Starts a stack with a stand-in for each of these lists of additional models.
    pub async fn start_with_models(models: &[&[&str]], dispatchers: usize) -> Self {
        Self::start_all(models, dispatchers, &[], Vec::new()).await
    }

    /// Starts a stack with one stand-in, this number of dispatchers, and other settings of the files.
    pub async fn start_with_files(dispatchers: usize, files: Vec<(String, String)>) -> Self {
        Self::start_all(&[&[]], dispatchers, &[], files).await
    }

    async fn start_all(
        models: &[&[&str]],
        dispatchers: usize,
        variables: &[(&str, &str)],
        files: Vec<(String, String)>,
    ) -> Self {
        let mut started = Vec::new();
        for models in models {
            let models = models.iter().map(|&model| model.to_owned()).collect();
            let options = SimOptions { listen: ([127, 0, 0, 1], 0).into(), models, ..SimOptions::default() };
            started.push(sim::start(options).await.unwrap());
        }
        let redis = TestRedis::start();
        let folder = tempfile::Builder::new().prefix("szr").tempdir().unwrap();
        let config = folder.path().join("fleet.json");
        let ports: Vec<u16> = started.iter().map(|sim| sim.addr().port()).collect();
        let fleet = json!({
            "servers": [{"id": "server-1", "name": "主服务器", "ip": "127.0.0.1", "ports": ports}],
            "healthCheck": {"interval": 200, "timeout": 1000, "failuresToDown": 2}
        });
        std::fs::write(&config, fleet.to_string()).unwrap();
        let api = Self::spawn_api(&redis, &folder, Some(&config), false, &files);
        let client = ApiClient::new(api.port).await;
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut stack = Self { api, dispatchers: Vec::new(), sims: started, redis, client, folder, variables, files };
        for _ in 0..dispatchers {
            stack.add_dispatcher();
        }
        if dispatchers > 0 {
            stack.wait_instances_up(models.len()).await;
        }
        stack
    }

    fn spawn_api(
        redis: &TestRedis,
        folder: &tempfile::TempDir,
        config: Option<&std::path::Path>,
        ignores_sigxfsz: bool,
        files: &[(String, String)],
    ) -> Role {
        Self::spawn_api_at(free_port(), redis, folder, config, ignores_sigxfsz, files)
    }

    fn spawn_api_at(
        port: u16,
        redis: &TestRedis,
        folder: &tempfile::TempDir,
        config: Option<&std::path::Path>,
        ignores_sigxfsz: bool,
        files: &[(String, String)],
    ) -> Role {
        let (listen, url) = (format!("127.0.0.1:{port}"), redis.url());
        let storage = format!("file://{}", folder.path().join("files").display());
        let mut variables = vec![
            ("REDIS_URL", url.as_str()),
            ("SHUZHIREN_STORAGE_URL", &storage),
            ("SHUZHIREN_ADMIN_PASSWORD", PASSWORD),
            ("SHUZHIREN_JWT_SECRET", JWT_SECRET),
            ("SHUZHIREN_FETCH_ALLOW", "127.0.0.0/8"),
            // The disk of the tests may be full to its reserve.
            ("SHUZHIREN_DISK_RESERVE", "0"),
            // A request through a proxy would fail.
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("http_proxy", "http://127.0.0.1:1"),
            ("ALL_PROXY", "http://127.0.0.1:1"),
        ];
        variables.extend(pairs(files));
        let config = config.map(|path| path.display().to_string());
        if let Some(config) = &config {
            variables.push(("SHUZHIREN_CONFIG_FILE", config));
        }
        if ignores_sigxfsz {
            return Role::spawn_ignoring_sigxfsz(&["api", "--listen", &listen], port, &variables);
        }
        Role::spawn(&["api", "--listen", &listen], port, &variables, &folder.path().join("api.log"))
    }

    /// Starts another api.
    pub fn add_api(&self) -> Role {
        Self::spawn_api(&self.redis, &self.folder, None, false, &self.files)
    }

    /// Starts another api on this port, so that it can be killed and restarted there.
    pub fn add_api_at(&self, port: u16) -> Role {
        Self::spawn_api_at(port, &self.redis, &self.folder, None, false, &self.files)
    }

    /// Starts another api that survives the limit of its file size.
    pub fn add_api_ignoring_sigxfsz(&self) -> Role {
        Self::spawn_api(&self.redis, &self.folder, None, true, &self.files)
    }

    /// Starts a dispatcher that survives the limit of its file size.
    pub fn add_dispatcher_ignoring_sigxfsz(&self) -> Role {
        self.spawn_dispatcher(true)
    }

    /// Starts a process that serves only WebSockets, on this port.
    pub fn add_ws(&self, port: u16) -> Role {
        let (listen, url) = (format!("127.0.0.1:{port}"), self.redis.url());
        let variables =
            [("REDIS_URL", url.as_str()), ("SHUZHIREN_ADMIN_PASSWORD", PASSWORD), ("SHUZHIREN_JWT_SECRET", JWT_SECRET)];
        Role::spawn(&["ws", "--listen", &listen], port, &variables, &self.folder.path().join("ws.log"))
    }

    /// Starts another dispatcher and returns its index in `dispatchers`.
    pub fn add_dispatcher(&mut self) -> usize {
        self.dispatchers.push(self.spawn_dispatcher(false));
        self.dispatchers.len() - 1
    }

    /// Starts a dispatcher with an additional setting.
    pub fn add_dispatcher_with(&self, name: &str, value: &str) -> Role {
        self.spawn_dispatcher_with(false, &[(name, value)])
    }

    fn spawn_dispatcher(&self, ignores_sigxfsz: bool) -> Role {
        self.spawn_dispatcher_with(ignores_sigxfsz, &[])
    }

    fn spawn_dispatcher_with(&self, ignores_sigxfsz: bool, more: &[(&str, &str)]) -> Role {
        let port = free_port();
        let (listen, url) = (format!("127.0.0.1:{port}"), self.redis.url());
        let storage = format!("file://{}", self.folder.path().join("files").display());
        let mut variables = vec![
            ("REDIS_URL", url.as_str()),
            ("SHUZHIREN_STORAGE_URL", &storage),
            ("SHUZHIREN_LEASE_TTL", "1s"),
            ("SHUZHIREN_HTTP_TIMEOUT", "2s"),
            ("SHUZHIREN_STALL_TIMEOUT", "5s"),
            ("SHUZHIREN_GONE_AFTER", "2s"),
            ("SHUZHIREN_DISK_RESERVE", "0"),
            ("SHUZHIREN_LOG", "info,shuzhiren=debug"),
        ];
        variables.extend(pairs(&self.files).chain(pairs(&self.variables)).chain(more.iter().copied()));
        let args = ["dispatcher", "--listen", &listen];
        if ignores_sigxfsz {
            return Role::spawn_ignoring_sigxfsz(&args, port, &variables);
        }
        Role::spawn(&args, port, &variables, &self.folder.path().join("dispatcher.log"))
    }

    /// Returns the folder of the store.
    pub fn files(&self) -> std::path::PathBuf {
        self.folder.path().join("files")
    }

    /// Returns the names of the files in the store, without the file `installation`.
    pub fn stored_files(&self) -> Vec<String> {
        let folder = self.folder.path().join("files");
        let mut found = Vec::new();
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(path.file_name().unwrap().to_str().unwrap().to_owned()),
                }
            }
        }
        found.retain(|name| name != "installation");
        found
    }

    /// Returns the log of the dispatchers, for the message of a failing test.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("dispatcher.log")).unwrap_or_default()
    }

    /// Returns the log of the api.
    pub fn api_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("api.log")).unwrap_or_default()
    }

    pub async fn wait_instances_up(&self, count: usize) {
        eventually("instances are up", WAIT_MAX, || async {
            let list = self.client.get("/api/instances").await;
            let alive = list.as_array()?.iter().filter(|one| one["alive"] == true && one["phase"] == "up").count();
            (alive >= count).then_some(())
        })
        .await;
    }

    /// Waits until no prompt is on any instance, no slot is held, and no task is pending or running.
    pub async fn wait_idle(&self) {
        eventually("the system is idle", WAIT_MAX, || async {
            let overview = self.client.get("/api/monitor/overview").await;
            (overview["pendingTasks"] == 0 && overview["runningTasks"] == 0 && overview["busyInstances"] == 0)
                .then_some(())
        })
        .await;
    }

    /// Returns how often the stand-ins started to execute this task, counted in their logs over all attempts.
    pub fn executions(&self, id: &str) -> usize {
        let task: shuzhiren::task::TaskId = id.parse().unwrap();
        (1..=10)
            .map(|attempt| task.prompt_id(shuzhiren::task::Attempt::new(attempt)).to_string())
            .map(|prompt| self.sims.iter().map(|sim| sim.executions(&prompt)).sum::<usize>())
            .sum()
    }
}

fn pairs(variables: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}
