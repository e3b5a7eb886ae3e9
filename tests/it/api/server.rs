//! The REST interface served for a test, and a client that can send anything.

use crate::support::{
    TestRedis, contract,
    http::{Response, exchange},
    raw::{RawRedis, Reply as Redis},
};
use serde_json::{Value, json};
use shuzhiren::{
    api::{ApiState, ERROR_TYPES, router},
    auth::Auth,
    fetch::Fetcher,
    process,
    queue::{Acquired, Claim, Claimed, Lease, Queue, QueueLimits, Token, UploadQuota},
    settings::{AuthSettings, DiskReserve, Durability, FetchSettings, FrontSettings, RedisSettings, Secret},
    store::Store,
    task::{InstanceId, Links},
};
use std::{net::SocketAddr, time::Duration};
use tokio_util::sync::CancellationToken;

/// Signs the tokens.
pub const JWT_SECRET: &str = "a key of the tests, 32 bytes long";
/// Prefix of links.
pub const PUBLIC_URL: &str = "https://files.example";
/// Largest file of the tests.
pub const FILE_BYTES_MAX: u64 = 2 << 20;
/// The only instance of [`Api::with_instance`].
pub const INSTANCE: &str = "127.0.0.1:8001";

/// A served interface; it ends with the test.
pub struct Api {
    pub redis: TestRedis,
    pub queue: Queue,
    pub address: SocketAddr,
    pub token: String,
    pub folder: tempfile::TempDir,
    stop: CancellationToken,
}

/// Options of a test.
pub struct Options {
    pub waiting_max: u64,
    pub rate_burst: u64,
    pub task_bytes_max: usize,
    /// Addresses that files may be fetched from; `None` = nothing is fetched.
    pub fetch_allow: Option<Vec<String>>,
    pub fetch_timeout: Duration,
    /// Private mode.
    pub link_ttl: Option<Duration>,
    pub upload_quota: UploadQuota,
    pub disk_reserve: DiskReserve,
}

impl Default for Options {
    fn default() -> Self {
        let (fetch_allow, fetch_timeout) = (None, Duration::from_secs(10));
        Self {
            waiting_max: 0,
            rate_burst: 10_000,
            task_bytes_max: 64 * 1024,
            fetch_allow,
            fetch_timeout,
            link_ttl: None,
            upload_quota: UploadQuota::default(),
            disk_reserve: DiskReserve::Bytes(0),
        }
    }
}

impl Api {
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub async fn start_with(options: Options) -> Self {
        Self::start_on(TestRedis::start(), Durability::Local, options).await
    }

    /// On this Redis, with this durability.
    pub async fn start_on(redis: TestRedis, durability: Durability, options: Options) -> Self {
        let limits = QueueLimits { waiting_max: options.waiting_max, keep_tasks: Duration::from_secs(3_600) };
        let settings = RedisSettings { durability, ..redis.settings() };
        let queue = Queue::connect(&settings, limits).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("file://{}", folder.path().display())).await.unwrap();
        let store = store.with_reserve(options.disk_reserve);
        let auth = Auth::new(&AuthSettings {
            admin_username: "admin".to_owned(),
            admin_password: Some(Secret::new("admin123")),
            admin_password_file: None,
            jwt_secret: Some(Secret::new(JWT_SECRET)),
            jwt_secret_file: None,
            token_ttl: Duration::from_secs(3_600),
        });
        let front = FrontSettings {
            task_bytes_max: options.task_bytes_max,
            allowed_origins: Vec::new(),
            ws_pending_max: 10,
            rate_burst: options.rate_burst,
        };
        let links = match options.link_ttl {
            None => Links::new(PUBLIC_URL),
            Some(ttl) => Links::new(PUBLIC_URL).signed(JWT_SECRET.as_bytes(), ttl),
        };
        let fetcher = Fetcher::new(&FetchSettings {
            no_fetch: options.fetch_allow.is_none(),
            fetch_allow: options.fetch_allow.unwrap_or_default(),
            fetch_timeout: options.fetch_timeout,
            fetch_bytes_max: FILE_BYTES_MAX / 2,
        });
        let state = ApiState::new(queue.clone(), store, auth, links, front, FILE_BYTES_MAX)
            .limiting_uploads(options.upload_quota)
            .fetching(fetcher.unwrap());
        let listener = process::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(process::serve(listener, router(state), stop.clone(), Duration::from_secs(1)));
        Self { redis, queue, address, token: token_of("admin", "admin"), folder, stop }
    }

    /// With one instance in the config.
    pub async fn with_instance() -> Self {
        let api = Self::start().await;
        let config = json!({"servers": [{"id": "server-1", "name": "主服务器", "ip": "127.0.0.1", "ports": [8001]}]});
        assert_eq!(api.put("/api/config", &config).await.status, 200);
        api
    }

    /// Sends a request as it is, and holds the answer against the document; `authorization` only when it is among the headers.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n").into_bytes();
        for (name, value) in headers {
            request.extend(format!("{name}: {value}\r\n").bytes());
        }
        let has_length = headers.iter().any(|(name, _)| ["content-length", "transfer-encoding"].contains(name));
        let needs_length = !body.is_empty() || method != "GET";
        if needs_length && !has_length {
            request.extend(format!("content-length: {}\r\n", body.len()).bytes());
        }
        request.extend(b"\r\n");
        request.extend(body);
        let answer = self.raw(&request).await;
        contract::check(method, path, &answer);
        answer
    }

    /// Sends bytes and gives the first answer.
    pub async fn raw(&self, request: &[u8]) -> Response {
        let bytes = exchange(self.address, request, Duration::from_secs(10)).await;
        let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        Response::parse(&bytes).unwrap_or_else(|| panic!("no answer to {shown:?}: {bytes:?}"))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[("authorization", &self.bearer())], b"").await
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, &[("authorization", &self.bearer())], b"").await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Response {
        self.json("PUT", path, &[], body.to_string().as_bytes()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.json("POST", path, &[], body.to_string().as_bytes()).await
    }

    /// Sends JSON with the token and more headers.
    pub async fn json(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let bearer = self.bearer();
        let mut all = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        all.extend(headers);
        self.send(method, path, &all, body).await
    }

    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Submits a task that runs; gives its id.
    pub async fn submit(&self) -> String {
        let answer = self.post("/api/tasks", &json!({"workflow": workflow()})).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()["data"]["id"].as_str().unwrap().to_owned()
    }

    /// Takes the lease of [`INSTANCE`] as a dispatcher would.
    pub async fn lease(&self) -> Lease {
        let lease = Lease { instance: InstanceId::new(INSTANCE), token: Token::new() };
        let acquired = self.queue.acquire(&lease.instance, "d", &lease.token, Duration::from_secs(60)).await.unwrap();
        assert!(matches!(acquired, Acquired::Ours(_)), "{acquired:?}");
        lease
    }

    /// Claims the next task as a dispatcher would.
    pub async fn claim(&self, lease: &Lease) -> Claim {
        match self.queue.claim(lease, &uuid::Uuid::new_v4().to_string(), 1, 32).await.unwrap() {
            Claimed::Task(claim) => *claim,
            Claimed::Nothing => panic!("nothing to claim"),
        }
    }

    /// All of Redis but the counters of failed logins: equal before and after = nothing changed.
    pub fn snapshot(&self) -> Vec<(String, Redis)> {
        let mut raw = RawRedis::connect(&self.redis.socket());
        let mut keys = raw.run(&["KEYS", "*"]).texts();
        keys.retain(|key| !key.contains("login"));
        keys.sort();
        keys.into_iter()
            .map(|key| {
                let dump = raw.run(&["DUMP", &key]);
                (key, dump)
            })
            .collect()
    }

    /// Files of the store, whole or half.
    pub fn stored_files(&self) -> usize {
        self.stored_names().len()
    }

    /// Their names: an id when whole.
    pub fn stored_names(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect_files(self.folder.path(), &mut found);
        found
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn collect_files(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect_files(&path, found),
            false => found.push(path.file_name().unwrap().to_str().unwrap().to_owned()),
        }
    }
}

/// A token as the server signs it.
pub fn token_of(username: &str, role: &str) -> String {
    signed(&json!({"sub": username, "role": role, "exp": 4_000_000_000_u64}))
}

/// Claims signed with the server's key.
pub fn signed(claims: &Value) -> String {
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    jsonwebtoken::encode(&header, claims, &jsonwebtoken::EncodingKey::from_secret(JWT_SECRET.as_bytes())).unwrap()
}

/// A graph that runs.
pub fn workflow() -> Value {
    json!({"3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20}},
           "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "x"}}})
}

/// The envelope of a failure: status, word, and everything else that every failure has.
#[track_caller]
pub fn assert_refused(answer: &Response, status: u16, word: &str, about: &str) {
    let body = answer.json();
    assert_eq!((answer.status, body["error"]["type"].as_str()), (status, Some(word)), "{about}: {body}");
    assert_eq!(body["code"], status, "{about}: {body}");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{about}: {body}");
    assert!(body["error"]["details"].is_array() && body.get("data").is_none(), "{about}: {body}");
    assert_eq!(body["error"]["requestId"], answer.header("x-request-id"), "{about}");
    assert_eq!(answer.header("content-type"), "application/json", "{about}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{about}");
    assert!(answer.header("server").is_empty() && answer.header("x-powered-by").is_empty(), "{about}");
    let listed = ERROR_TYPES.iter().any(|one| one.word == word && one.statuses.contains(&status));
    assert!(listed || process::ERROR_TYPES.contains(&word), "{about}: {word} is not listed");
    let retry_after = answer.header("retry-after").parse::<u64>();
    assert_eq!(retry_after.is_ok_and(|seconds| seconds > 0), matches!(status, 429 | 503), "{about}: retry-after");
    assert_eq!(answer.header("www-authenticate"), if status == 401 { "Bearer" } else { "" }, "{about}");
}

/// The envelope of success; gives `data`.
#[track_caller]
pub fn data(answer: &Response) -> Value {
    let mut body = answer.json();
    assert_eq!((answer.status, &body["code"]), (200, &json!(200)), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.header("x-request-id").is_empty());
    body["data"].take()
}

/// `2024-01-01T00:00:00.000Z`
#[track_caller]
pub fn assert_time(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("not a time: {value}"));
    assert!(text.len() == 24 && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(), "{text}");
}
