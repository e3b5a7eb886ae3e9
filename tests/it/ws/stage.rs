//! A process with the WebSocket, and a stand-in dispatcher that moves tasks.

use super::client::Client;
use crate::support::TestRedis;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use shuzhiren::{
    auth::Auth,
    fleet::{FleetConfig, Server},
    process,
    queue::{Acquired, Claimed, Lease, Queue, QueueLimits, Token, Written},
    settings::{AuthSettings, FrontSettings, RedisSettings, Secret},
    task::{
        Attempt, InstanceId, Links, NewTask, Outcome, Output, OutputKind, Payload, Priority, Progress, TaskFacts,
        TaskId,
    },
    ws::{Hub, Timing, WsState, router},
};
use std::{net::SocketAddr, time::Duration};
use tokio_util::sync::CancellationToken;

const KEY: &str = "a key of the tokens that is long enough";
const LIMITS: QueueLimits = QueueLimits { waiting_max: 0, keep_tasks: Duration::from_secs(3_600) };

pub struct Stage {
    pub redis: TestRedis,
    pub queue: Queue,
    pub hub: Hub,
    pub address: SocketAddr,
    pub stop: CancellationToken,
}

impl Stage {
    pub async fn start() -> Self {
        Self::start_with(Timing::default(), |_| {}).await
    }

    pub async fn start_with(timing: Timing, change: impl FnOnce(&mut FrontSettings)) -> Self {
        Self::start_over(TestRedis::start(), None, timing, change).await
    }

    /// Starts on this Redis; `way` is the URL by which the hub reaches it, if not the test's.
    pub async fn start_over(
        redis: TestRedis,
        way: Option<String>,
        timing: Timing,
        change: impl FnOnce(&mut FrontSettings),
    ) -> Self {
        let queue = Queue::connect(&redis.settings(), LIMITS).await.unwrap();
        let config = FleetConfig {
            servers: vec![Server {
                id: "server-1".to_owned(),
                name: "主服务器".to_owned(),
                ip: "127.0.0.1".to_owned(),
                ports: vec![8001, 8002],
                enabled: true,
                scheme: Default::default(),
                base_path: String::new(),
                headers: Default::default(),
                extra_data: Default::default(),
            }],
            ..FleetConfig::default()
        };
        queue.put_config(&config, None).await.unwrap();
        let mut front =
            FrontSettings { task_bytes_max: 1 << 20, allowed_origins: vec![], ws_pending_max: 100, rate_burst: 0 };
        change(&mut front);
        let stop = CancellationToken::new();
        let auth = Auth::new(&auth_settings(Duration::from_secs(3_600)));
        let redis_url = Some(Secret::new(way.unwrap_or_else(|| redis.url())));
        let hubs = Queue::connect(&RedisSettings { redis_url, ..redis.settings() }, LIMITS).await.unwrap();
        let hub = Hub::start_with(hubs, Links::new("http://files.example"), stop.clone(), timing);
        let listener = process::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(WsState { hub: hub.clone(), auth, settings: front });
        tokio::spawn(process::serve(listener, router, stop.clone(), Duration::from_secs(1)));
        Self { redis, queue, hub, address, stop }
    }

    /// Returns an administrator's token that is valid for `ttl`.
    pub async fn admin_token(&self, ttl: Duration) -> String {
        Auth::new(&auth_settings(ttl)).login("admin", "a password").await.unwrap().token
    }

    /// Connects an administrator and reads the first `global_status`.
    pub async fn client(&self) -> Client {
        let token = self.admin_token(Duration::from_secs(3_600)).await;
        let mut client = Client::connect(self.address, &[("authorization", &format!("Bearer {token}"))]).await.unwrap();
        assert_eq!(client.next().await.unwrap()["type"], "global_status");
        client
    }

    pub async fn dispatcher(&self) -> Dispatcher {
        Dispatcher::attach(self.queue.clone(), "127.0.0.1:8001").await
    }

    pub async fn submit(&self, owner: &str) -> TaskId {
        let new = new_task(owner);
        self.queue.enqueue(&new).await.unwrap();
        new.id
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn auth_settings(token_ttl: Duration) -> AuthSettings {
    AuthSettings {
        admin_username: "admin".to_owned(),
        admin_password: Some(Secret::new("a password")),
        admin_password_file: None,
        jwt_secret: Some(Secret::new(KEY)),
        jwt_secret_file: None,
        token_ttl,
    }
}

pub fn new_task(owner: &str) -> NewTask {
    let workflow = r#"{"9":{"class_type":"SaveImage","inputs":{}}}"#.to_owned();
    NewTask {
        id: TaskId::new(),
        owner: owner.to_owned(),
        is_unlisted: false,
        priority: Priority::Normal,
        fingerprint: "f".to_owned(),
        max_attempts: 3,
        start_by_ms: None,
        payload: Payload {
            workflow: RawValue::from_string(workflow).unwrap(),
            params: RawValue::from_string("{}".to_owned()).unwrap(),
            original: None,
            files: vec![],
            is_editor: false,
            png_info: None,
        },
        keys: None,
        facts: TaskFacts { nodes_total: 4, ..TaskFacts::default() },
    }
}

/// Moves tasks as a dispatcher would, without ComfyUI.
pub struct Dispatcher {
    pub queue: Queue,
    pub lease: Lease,
}

impl Dispatcher {
    pub async fn attach(queue: Queue, instance: &str) -> Self {
        let lease = Lease { instance: InstanceId::new(instance), token: Token::new() };
        let ttl = Duration::from_secs(300);
        let acquired = queue.acquire(&lease.instance, "dispatcher-1", &lease.token, ttl).await.unwrap();
        assert!(matches!(acquired, Acquired::Ours(_)), "{acquired:?}");
        Self { queue, lease }
    }

    pub async fn claim(&self) -> (TaskId, Attempt) {
        let nonce = uuid::Uuid::new_v4().to_string();
        match self.queue.claim(&self.lease, &nonce, 10_000, 32).await.unwrap() {
            Claimed::Task(claim) => (claim.task, claim.attempt),
            Claimed::Nothing => panic!("nothing to claim"),
        }
    }

    pub async fn begin(&self) -> (TaskId, Attempt) {
        let (task, attempt) = self.claim().await;
        assert_eq!(self.queue.start(&self.lease, task, attempt).await.unwrap(), Written::Done);
        (task, attempt)
    }

    pub async fn progress(&self, (task, attempt): (TaskId, Attempt), percent: u8) {
        let progress = Progress {
            percent,
            current_node: Some("9".to_owned()),
            nodes_done: 1,
            nodes_total: 4,
            ..Progress::default()
        };
        assert_eq!(self.queue.progress(&self.lease, task, attempt, &progress).await.unwrap(), Written::Done);
    }

    pub async fn complete(&self, (task, attempt): (TaskId, Attempt), outputs: Vec<Output>) {
        let outcome = Outcome::Completed(outputs);
        assert_eq!(self.queue.settle(&self.lease, task, attempt, &outcome).await.unwrap(), Written::Done);
    }

    pub async fn run_one(&self) -> TaskId {
        let claim = self.begin().await;
        self.complete(claim, vec![]).await;
        claim.0
    }
}

pub fn text_output(text: String) -> Output {
    Output { node_id: "9".to_owned(), kind: OutputKind::Text, text: Some(text), ..Output::default() }
}

/// Makes a token of a plain user, for whom there is no login yet.
pub fn user_token(username: &str) -> String {
    let claims = serde_json::json!({"sub": username, "role": "user", "iat": 1, "exp": 4_000_000_000_u64});
    let signed =
        format!("{}.{}", base64url(br#"{"alg":"HS256","typ":"JWT"}"#), base64url(claims.to_string().as_bytes()));
    format!("{signed}.{}", base64url(&hmac_sha256(KEY.as_bytes(), signed.as_bytes())))
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ byte).collect() };
    let inner = Sha256::digest([pad(0x36), message.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).into()
}

fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(LETTERS[(number >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}
