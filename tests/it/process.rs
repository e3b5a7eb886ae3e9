//! The HTTP server and the operator's routes, over real sockets.

mod drain;
mod limits;
mod lost_logs;
mod malformed_requests;
mod signals;

use crate::support::http::{Response, exchange, get};
use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit},
    routing::{any, get as on_get, post},
};
use serde_json::json;
use shuzhiren::process::{Readiness, ServeLimits, bind, error_response, ops_router, serve_with};
use std::{net::SocketAddr, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server with the routes that the tests need.
struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    readiness: Readiness,
    serving: JoinHandle<()>,
}

fn limits() -> ServeLimits {
    ServeLimits::new(Duration::from_secs(5))
}

impl Server {
    async fn start(limits: ServeLimits) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, readiness) = (CancellationToken::new(), Readiness::default());
        readiness.until(&stop);
        let router = routes().merge(ops_router(readiness.clone()));
        let serving = tokio::spawn(serve_with(listener, router, stop.clone(), limits));
        Self { address, stop, readiness, serving }
    }
}

fn routes() -> Router {
    Router::new()
        .route("/whoami", on_get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
        .route(
            "/refuse",
            on_get(|| async { error_response(422.try_into().unwrap(), "invalid_params", "no", json!([1])) }),
        )
        .route("/panic/{how}", any(panics))
        .route("/slow", on_get(|| async { tokio::time::sleep(Duration::from_millis(800)).await }))
        .route("/for-ever", on_get(std::future::pending::<()>))
        .route("/endless", on_get(|| async { axum::body::Body::from_stream(futures_util::stream::repeat_with(piece)) }))
        .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/early", post(|| async { error_response(413.try_into().unwrap(), "too_large", "no", json!([])) }))
        .route("/socket", any(socket))
        .layer(DefaultBodyLimit::max(1 << 20))
}

fn piece() -> Result<Bytes, std::convert::Infallible> {
    Ok(Bytes::from_static(&[b'x'; 65_536]))
}

async fn panics() -> String {
    panic!("as the test asked")
}

async fn socket(upgrade: axum::extract::WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

#[tokio::test]
async fn every_response_has_an_id_of_its_own_and_no_version() {
    let server = Server::start(limits()).await;
    let mut ids = std::collections::BTreeSet::new();
    for path in ["/whoami", "/refuse", "/no/such/path", "/panic/now", "/livez", "/metrics"] {
        let answer = get(server.address, path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("server"), "", "{path}");
        assert!(answer.header("x-request-id").len() >= 32, "{path}");
        assert!(ids.insert(answer.header("x-request-id").to_owned()), "{path}: an id twice");
    }
}

#[tokio::test]
async fn the_id_in_an_error_is_the_id_of_its_response() {
    let server = Server::start(limits()).await;
    let answer = get(server.address, "/refuse").await;
    let id = answer.header("x-request-id");
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json(),
        json!({"code":422,"message":"no","error":{"type":"invalid_params","details":[1],"requestId":id}})
    );
}

#[tokio::test]
async fn a_handler_knows_its_peer() {
    let server = Server::start(limits()).await;
    let answer = get(server.address, "/whoami").await;
    let peer: SocketAddr = std::str::from_utf8(&answer.body).unwrap().parse().unwrap();
    assert_eq!(peer.ip(), server.address.ip());
}

#[tokio::test]
async fn a_panic_is_one_500_and_one_on_the_metric() {
    let server = Server::start(limits()).await;
    let before = panics_counted(server.address).await;
    let answer = get(server.address, "/panic/now").await;
    assert_eq!(answer.status, 500);
    let error = answer.json();
    assert_eq!((&error["code"], &error["error"]["type"]), (&json!(500), &json!("internal")));
    assert!(!error.to_string().contains("as the test asked"), "internals in the text: {error}");
    assert_eq!(get(server.address, "/livez").await.status, 200);
    // Other tests of the same process may panic meanwhile.
    assert!(panics_counted(server.address).await > before);
}

async fn panics_counted(server: SocketAddr) -> u64 {
    let text = String::from_utf8(get(server, "/metrics").await.body).unwrap();
    text.lines().find_map(|line| line.strip_prefix("shuzhiren_panics_total ")).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn routes_are_counted_by_template_never_by_path() {
    let server = Server::start(limits()).await;
    get(server.address, "/panic/secret-of-somebody").await;
    get(server.address, "/nowhere/secret-of-somebody").await;
    let text = String::from_utf8(get(server.address, "/metrics").await.body).unwrap();
    assert!(text.contains(r#"{method="GET",route="/panic/{how}",status="500""#), "{text}");
    assert!(text.contains(r#"{method="GET",route="none",status="404""#), "{text}");
    assert!(!text.contains("secret-of-somebody"), "{text}");
}

#[tokio::test]
async fn readiness_names_the_part_that_is_not_ready() {
    let server = Server::start(limits()).await;
    assert_eq!(get(server.address, "/readyz").await.status, 200);
    server.readiness.set("redis", Err("connection refused".to_owned()));
    for path in ["/readyz", "/healthz"] {
        let answer = get(server.address, path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"));
        assert_eq!(answer.json()["message"], "not ready: redis: connection refused");
        assert_eq!(answer.json()["error"]["details"], json!([{"part":"redis","reason":"connection refused"}]));
    }
    assert_eq!(get(server.address, "/livez").await.status, 200);
    server.readiness.set("redis", Ok(()));
    assert_eq!(get(server.address, "/readyz").await.status, 200);
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_a_clear_error() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap().local_addr().unwrap();
    let _holder = std::net::TcpListener::bind(taken).unwrap();
    let line = bind(taken).await.unwrap_err();
    assert_eq!(line, format!("{taken} is in use: stop the process there, or choose another with --listen"));
    let line = bind("203.0.113.7:3000".parse().unwrap()).await.unwrap_err();
    assert_eq!(line, "203.0.113.7 is not an address of this machine: choose another with --listen");
}

/// Sends a hand-written request on a new connection and returns the first answer.
async fn ask(server: SocketAddr, request: &str) -> Option<Response> {
    Response::parse(&exchange(server, request.as_bytes(), Duration::from_secs(5)).await)
}
