//! A whole system as users run it: real processes of the program, a Redis of its own, stand-in instances in this process.

use super::{TestRedis, eventually};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use shuzhiren::sim::{self, Sim, SimOptions};
use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

pub const PASSWORD: &str = "a long enough password";
const JWT_SECRET: &str = "0123456789abcdef-a-key-of-tests-only-0123456789";
/// The longest wait of a test for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A process of the program. Dropping it kills it.
pub struct Role {
    child: Child,
    pub port: u16,
}

impl Role {
    /// Starts `shuzhiren <args>`; `port` is where it listens. Its log goes to `log`.
    pub fn spawn(args: &[&str], port: u16, variables: &[(&str, &str)], log: &std::path::Path) -> Self {
        Self::spawn_by(Command::new(env!("CARGO_BIN_EXE_shuzhiren")), args, port, variables, log)
    }

    /// The same as a process that is told when it may write no more (EFBIG), instead of being killed; it has no log, which
    /// would be the first file that is too large.
    fn spawn_on_a_small_disk(args: &[&str], port: u16, variables: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_shuzhiren")]);
        Self::spawn_by(shell, args, port, variables, std::path::Path::new("/dev/null"))
    }

    fn spawn_by(
        mut command: Command,
        args: &[&str],
        port: u16,
        variables: &[(&str, &str)],
        log: &std::path::Path,
    ) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        for (name, _) in std::env::vars() {
            if name.starts_with("SHUZHIREN_") || name == "REDIS_URL" {
                command.env_remove(name);
            }
        }
        command.args(args).envs(variables.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { child, port }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ended, if it has.
    pub fn ended_already(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGTERM, and how it ended within `within`.
    pub async fn terminate(&mut self, within: Duration) -> Option<i32> {
        self.signal("-TERM");
        self.ended(within).await
    }

    /// How it ended within `within`.
    pub async fn ended(&mut self, within: Duration) -> Option<i32> {
        let child = &mut self.child;
        let give_up = tokio::time::Instant::now() + within;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            assert!(tokio::time::Instant::now() < give_up, "the process has not ended within {within:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
        }
    }
}

/// A free port of this machine.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Redis, stand-ins, one api, some dispatchers.
pub struct Stack {
    pub api: Role,
    pub dispatchers: Vec<Role>,
    pub sims: Vec<Sim>,
    pub redis: TestRedis,
    pub client: ApiClient,
    folder: tempfile::TempDir,
    /// Settings of its dispatchers beside the usual ones.
    variables: Vec<(String, String)>,
}

impl Stack {
    /// With so many stand-ins and dispatchers; leases of 1 s, checks every 200 ms.
    pub async fn start(sims: usize, dispatchers: usize) -> Self {
        Self::start_with(sims, dispatchers, &[]).await
    }

    /// The same with other settings of the dispatchers.
    pub async fn start_with(sims: usize, dispatchers: usize, variables: &[(&str, &str)]) -> Self {
        Self::start_all(&vec![&[][..]; sims], dispatchers, variables).await
    }

    /// With one stand-in for each of these lists of models beside the built-in ones.
    pub async fn start_with_models(models: &[&[&str]], dispatchers: usize) -> Self {
        Self::start_all(models, dispatchers, &[]).await
    }

    async fn start_all(models: &[&[&str]], dispatchers: usize, variables: &[(&str, &str)]) -> Self {
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
        let api = Self::spawn_api(&redis, &folder, Some(&config), false);
        let client = ApiClient::new(api.port).await;
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut stack = Self { api, dispatchers: Vec::new(), sims: started, redis, client, folder, variables };
        for _ in 0..dispatchers {
            stack.add_dispatcher();
        }
        if dispatchers > 0 {
            stack.wait_alive(models.len()).await;
        }
        stack
    }

    fn spawn_api(
        redis: &TestRedis,
        folder: &tempfile::TempDir,
        config: Option<&std::path::Path>,
        on_a_small_disk: bool,
    ) -> Role {
        let port = free_port();
        let (listen, url) = (format!("127.0.0.1:{port}"), redis.url());
        let storage = format!("file://{}", folder.path().join("files").display());
        let mut variables = vec![
            ("REDIS_URL", url.as_str()),
            ("SHUZHIREN_STORAGE_URL", &storage),
            ("SHUZHIREN_ADMIN_PASSWORD", PASSWORD),
            ("SHUZHIREN_JWT_SECRET", JWT_SECRET),
        ];
        let config = config.map(|path| path.display().to_string());
        if let Some(config) = &config {
            variables.push(("SHUZHIREN_CONFIG_FILE", config));
        }
        if on_a_small_disk {
            return Role::spawn_on_a_small_disk(&["api", "--listen", &listen], port, &variables);
        }
        Role::spawn(&["api", "--listen", &listen], port, &variables, &folder.path().join("api.log"))
    }

    /// One more api.
    pub fn add_api(&self) -> Role {
        Self::spawn_api(&self.redis, &self.folder, None, false)
    }

    /// One more api that goes on when it may write no more.
    pub fn add_api_that_outlives_its_disk(&self) -> Role {
        Self::spawn_api(&self.redis, &self.folder, None, true)
    }

    /// A dispatcher that goes on when it may write no more.
    pub fn add_dispatcher_that_outlives_its_disk(&self) -> Role {
        self.spawn_dispatcher(true)
    }

    /// A process that serves WebSockets only, at this port.
    pub fn add_ws(&self, port: u16) -> Role {
        let (listen, url) = (format!("127.0.0.1:{port}"), self.redis.url());
        let variables =
            [("REDIS_URL", url.as_str()), ("SHUZHIREN_ADMIN_PASSWORD", PASSWORD), ("SHUZHIREN_JWT_SECRET", JWT_SECRET)];
        Role::spawn(&["ws", "--listen", &listen], port, &variables, &self.folder.path().join("ws.log"))
    }

    /// One more dispatcher; gives its place in `dispatchers`.
    pub fn add_dispatcher(&mut self) -> usize {
        self.dispatchers.push(self.spawn_dispatcher(false));
        self.dispatchers.len() - 1
    }

    fn spawn_dispatcher(&self, on_a_small_disk: bool) -> Role {
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
            ("SHUZHIREN_LOG", "info,shuzhiren=debug"),
        ];
        variables.extend(self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let args = ["dispatcher", "--listen", &listen];
        if on_a_small_disk {
            return Role::spawn_on_a_small_disk(&args, port, &variables);
        }
        Role::spawn(&args, port, &variables, &self.folder.path().join("dispatcher.log"))
    }

    /// Where api and dispatchers keep the files.
    pub fn files(&self) -> std::path::PathBuf {
        self.folder.path().join("files")
    }

    /// Files of the store, by their names; not the mark whose store it is.
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

    /// What the dispatchers logged, for a failing test's message.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("dispatcher.log")).unwrap_or_default()
    }

    pub async fn wait_alive(&self, count: usize) {
        eventually("instances alive", PATIENCE, || async {
            let list = self.client.get("/api/instances").await;
            let alive = list.as_array()?.iter().filter(|one| one["alive"] == true && one["phase"] == "up").count();
            (alive >= count).then_some(())
        })
        .await;
    }

    /// No prompt in any instance, no slot held, nothing pending or running.
    pub async fn wait_quiet(&self) {
        eventually("all quiet", PATIENCE, || async {
            let overview = self.client.get("/api/monitor/overview").await;
            (overview["pendingTasks"] == 0 && overview["runningTasks"] == 0 && overview["busyInstances"] == 0)
                .then_some(())
        })
        .await;
    }

    /// How often any stand-in began to execute this prompt's task: counted by their own logs, over all attempts.
    pub fn executions(&self, id: &str) -> usize {
        let task: shuzhiren::task::TaskId = id.parse().unwrap();
        (1..=10)
            .map(|attempt| task.prompt_id(shuzhiren::task::Attempt::new(attempt)).to_string())
            .map(|prompt| self.sims.iter().map(|sim| sim.executions(&prompt)).sum::<usize>())
            .sum()
    }
}

/// A user of the API who is logged in.
#[derive(Clone)]
pub struct ApiClient {
    http: Client,
    pub base: String,
    pub token: String,
}

impl ApiClient {
    /// Waits for the api at `port` and logs in.
    pub async fn new(port: u16) -> Self {
        Self::with_login(port, "admin", PASSWORD).await
    }

    pub async fn with_login(port: u16, username: &str, password: &str) -> Self {
        let base = format!("http://127.0.0.1:{port}");
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        eventually("the api answers", PATIENCE, || async {
            http.get(format!("{base}/api/health")).send().await.ok().filter(|answer| answer.status() == 200)
        })
        .await;
        let login = json!({"username": username, "password": password});
        let answer: Value =
            http.post(format!("{base}/api/auth/login")).json(&login).send().await.unwrap().json().await.unwrap();
        let token = answer["data"]["token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned();
        Self { http, base, token }
    }

    /// Status and whole envelope.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// The same login at another API of the same system.
    pub fn at(&self, port: u16) -> Self {
        Self { base: format!("http://127.0.0.1:{port}"), ..self.clone() }
    }

    pub fn http(&self) -> &Client {
        &self.http
    }

    /// Status and envelope of an API that may be away.
    pub async fn try_get(&self, path: &str) -> Option<(StatusCode, Value)> {
        let answer = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await.ok()?;
        Some((answer.status(), answer.json().await.ok()?))
    }

    async fn data(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, mut envelope) = self.call(method.clone(), path, body).await;
        assert_eq!(status, 200, "{method} {path}: {envelope}");
        assert_eq!(envelope["code"], 200);
        envelope["data"].take()
    }

    pub async fn get(&self, path: &str) -> Value {
        self.data(Method::GET, path, None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        self.data(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Value {
        self.data(Method::DELETE, path, None).await
    }

    /// Submits; gives the task's id.
    pub async fn submit(&self, body: Value) -> String {
        self.data(Method::POST, "/api/tasks", Some(body)).await["id"].as_str().unwrap().to_owned()
    }

    pub async fn task(&self, id: &str) -> Value {
        self.get(&format!("/api/tasks/{id}")).await
    }

    /// Waits for one of these statuses.
    pub async fn wait_for(&self, id: &str, statuses: &[&str]) -> Value {
        eventually(&format!("task {id} is {statuses:?}"), PATIENCE, || async {
            let task = self.task(id).await;
            statuses.contains(&task["status"].as_str()?).then_some(task)
        })
        .await
    }

    pub async fn wait_ended(&self, id: &str) -> Value {
        self.wait_for(id, &["completed", "failed", "cancelled"]).await
    }

    pub async fn upload(&self, filename: &str, bytes: Vec<u8>) -> Value {
        let part = reqwest::multipart::Part::bytes(bytes).file_name(filename.to_owned());
        let form = reqwest::multipart::Form::new().part("file", part);
        let request =
            self.http.post(format!("{}/api/files/upload", self.base)).bearer_auth(&self.token).multipart(form);
        let mut envelope: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(envelope["code"], 200, "{envelope}");
        envelope["data"].take()
    }

    /// The bytes behind a link.
    pub async fn download(&self, link: &str) -> Vec<u8> {
        let answer = self.http.get(link).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{link}");
        answer.bytes().await.unwrap().to_vec()
    }
}

/// Graphs of the stand-in's (and the test nodes') classes.
pub mod workflow {
    use serde_json::{Value, json};

    /// Steps, then a picture.
    pub fn steps(steps: u32, seconds: f64) -> Value {
        json!({
            "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 3_368_601}},
            "2": {"class_type": "TestSteps", "inputs": {"steps": steps, "seconds": seconds, "image": ["1", 0], "seed": 1}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "steps"}}
        })
    }

    /// A picture at once; `seed` keeps it out of the cache.
    pub fn quick(seed: u64) -> Value {
        json!({
            "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": seed % 16_777_216}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "quick"}}
        })
    }
}
