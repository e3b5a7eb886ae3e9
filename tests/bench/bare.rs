//! Minimal servers with the same function (one axum handler, one socket loop), the baseline of the measurements.

use super::program::auth;
use axum::{
    Router,
    extract::{State, WebSocketUpgrade, ws::Message, ws::Utf8Bytes},
    http::{HeaderMap, StatusCode},
    routing::{any, post},
};
use fred::{
    clients::Pool,
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    types::{Builder, Value, config::Config, scripts::Script},
};
use shuzhiren::auth::Auth;
use std::env;
use tokio::{net::TcpListener, sync::broadcast};

/// A single EVALSHA: HSET of 2 KB, ZADD, XADD.
const SCRIPT: &str = "redis.call('HSET', KEYS[1], 'state', 'waiting', 'body', ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], KEYS[1])
return redis.call('XADD', KEYS[3], '*', 't', KEYS[1])";
/// Pub/sub channel of the bare socket server.
pub const CHANNEL: &str = "{bare}:events";

#[derive(Clone)]
struct Bare {
    auth: Auth,
    redis: Pool,
    script: Script,
}

pub async fn serve_submit() {
    let redis = builder().build_pool(4).unwrap();
    redis.init().await.unwrap();
    let script = Script::from_lua(SCRIPT);
    script.load(redis.next()).await.unwrap();
    let bare = Bare { auth: auth(), redis, script };
    let router = Router::new().route("/api/tasks", post(submit)).with_state(bare);
    axum::serve(listener().await, router).await.unwrap();
}

async fn submit(State(bare): State<Bare>, headers: HeaderMap, body: String) -> Result<String, StatusCode> {
    is_caller(&bare.auth, &headers)?;
    let id = uuid::Uuid::now_v7().to_string();
    let keys = vec![format!("{{bare}}:task:{id}"), "{bare}:wait".to_owned(), "{bare}:jobs".to_owned()];
    let args = vec![body, "1".to_owned()];
    let entry: Value = bare.script.evalsha(bare.redis.next(), keys, args).await.unwrap();
    assert!(!entry.is_null());
    Ok(format!(r#"{{"code":200,"data":{{"id":"{id}"}}}}"#))
}

pub async fn serve_sockets() {
    let subscriber = builder().build().unwrap();
    subscriber.init().await.unwrap();
    subscriber.subscribe(CHANNEL).await.unwrap();
    let (told, _) = broadcast::channel::<Utf8Bytes>(8_192);
    let teller = told.clone();
    let mut messages = subscriber.message_rx();
    tokio::spawn(async move {
        while let Ok(message) = messages.recv().await {
            let text: String = message.value.convert().unwrap();
            // An error only means that no socket is connected yet.
            if teller.send(text.into()).is_err() {}
        }
    });
    let router = Router::new().route("/ws", any(socket)).with_state((auth(), told));
    axum::serve(listener().await, router).await.unwrap();
}

async fn socket(
    State((auth, told)): State<(Auth, broadcast::Sender<Utf8Bytes>)>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<axum::response::Response, StatusCode> {
    is_caller(&auth, &headers)?;
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let mut told = told.subscribe();
        while let Ok(text) = told.recv().await {
            if socket.send(Message::Text(text)).await.is_err() {
                return;
            }
        }
    }))
}

fn is_caller(auth: &Auth, headers: &HeaderMap) -> Result<(), StatusCode> {
    let header = headers.get("authorization").and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or(StatusCode::UNAUTHORIZED)?;
    auth.verify(token).map_err(|_| StatusCode::UNAUTHORIZED)?;
    Ok(())
}

fn builder() -> Builder {
    let mut builder = Builder::from_config(Config::from_url(&env::var("REDIS_URL").unwrap()).unwrap());
    builder.with_performance_config(|performance| performance.broadcast_channel_capacity = 8_192);
    builder
}

async fn listener() -> TcpListener {
    TcpListener::bind(env::var("SHUZHIREN_LISTEN").unwrap()).await.unwrap()
}
