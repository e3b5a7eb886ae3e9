//! Our WebSocket front as a separate process.

use super::program::auth;
use shuzhiren::{
    process,
    queue::{Queue, QueueLimits},
    settings::{Durability, FrontSettings, RedisSettings, Secret},
    task::Links,
    ws::{Hub, WsState, router},
};
use std::{env, time::Duration};
use tokio_util::sync::CancellationToken;

pub const NAMESPACE: &str = "bench";
pub const CHANNEL: &str = "{bench}:events";

pub async fn serve_sockets() {
    let stop = CancellationToken::new();
    let queue = queue(&env::var("REDIS_URL").unwrap()).await;
    let hub = Hub::start(queue, Links::new("http://127.0.0.1:3000"), stop.clone());
    let settings = FrontSettings { task_bytes_max: 1, allowed_origins: vec![], ws_pending_max: 0, rate_burst: 0 };
    process::raise_file_limit();
    let listener = process::bind(env::var("SHUZHIREN_LISTEN").unwrap().parse().unwrap()).await.unwrap();
    process::serve(listener, router(WsState { hub, auth: auth(), settings }), stop, Duration::ZERO).await;
}

pub async fn queue(url: &str) -> Queue {
    let settings = RedisSettings {
        redis_url: Some(Secret::new(url)),
        redis_url_file: None,
        redis_ca: None,
        namespace: NAMESPACE.to_owned(),
        durability: Durability::Local,
        durability_replicas: 1,
    };
    let limits = QueueLimits { waiting_max: 0, keep_tasks: Duration::from_secs(86_400) };
    Queue::connect(&settings, limits).await.unwrap()
}

/// Returns the environment of the program for a connection to this Redis.
pub fn environment(redis: &super::redis::TestRedis, folder: &std::path::Path) -> Vec<(&'static str, String)> {
    vec![
        ("REDIS_URL", redis.url()),
        ("SHUZHIREN_NAMESPACE", NAMESPACE.to_owned()),
        ("SHUZHIREN_STORAGE_URL", format!("file://{}", folder.display())),
        ("SHUZHIREN_WAITING_MAX", "0".to_owned()),
        ("SHUZHIREN_RATE_BURST", "0".to_owned()),
    ]
}
