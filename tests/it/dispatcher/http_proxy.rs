//! An HTTP proxy before a stand-in that holds, forges or edits single requests, as a network, a proxy or a broken
//! instance would.

use crate::support::{eventually, http, stack::WAIT_MAX};
use axum::{
    body::Body,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use hyper_util::rt::TokioIo;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

/// Treatment of a request.
#[derive(Clone)]
pub enum Action {
    /// Forwarded when the proxy is released, even if the client has given up.
    Hold,
    /// Forwarded, and answered with this status and body.
    Forge(u16, String),
    /// Forwarded, and the body of the answer is edited.
    Edit(fn(String) -> String),
}

struct Rule {
    /// Prefix of the request line, e.g. `POST /prompt`.
    line: &'static str,
    left: usize,
    act: Action,
}

struct State {
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<String>>,
    answered: Mutex<Vec<String>>,
    released: watch::Sender<bool>,
    behind: SocketAddr,
}

/// A running proxy; stops when dropped.
pub struct HttpProxy {
    pub port: u16,
    state: Arc<State>,
    _task: AbortOnDropHandle<()>,
}

impl HttpProxy {
    /// Starts a proxy that forwards everything to `behind`, WebSockets included.
    pub async fn start(behind: SocketAddr) -> Self {
        let state = Arc::new(State {
            rules: Mutex::default(),
            requests: Mutex::default(),
            answered: Mutex::default(),
            released: watch::Sender::new(false),
            behind,
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = state.clone();
        let router = axum::Router::new().fallback(move |request| answer(shared.clone(), request));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, state, _task: AbortOnDropHandle::new(task) }
    }

    /// Applies `action` to the next `times` requests whose line starts with `line`.
    pub fn rule(&self, line: &'static str, times: usize, act: Action) {
        self.state.rules.lock().unwrap().push(Rule { line, left: times, act });
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.state.rules.lock().unwrap().clear();
    }

    /// Releases the held requests.
    pub fn release(&self) {
        self.state.released.send_replace(true);
    }

    /// Number of requests so far whose line starts with `line`.
    pub fn requests(&self, line: &str) -> usize {
        self.state.requests.lock().unwrap().iter().filter(|asked| asked.starts_with(line)).count()
    }

    /// Number of those that the stand-in has answered.
    pub fn answered(&self, line: &str) -> usize {
        self.state.answered.lock().unwrap().iter().filter(|asked| asked.starts_with(line)).count()
    }

    /// Waits for `count` requests whose line starts with `line`.
    pub async fn wait_requests(&self, line: &str, count: usize) {
        eventually(&format!("{count} × {line}"), WAIT_MAX, || async { (self.requests(line) >= count).then_some(()) })
            .await;
    }
}

impl State {
    fn act(&self, line: &str) -> Option<Action> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.left > 0 && line.starts_with(rule.line))?;
        rule.left -= 1;
        Some(rule.act.clone())
    }
}

async fn answer(state: Arc<State>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    state.requests.lock().unwrap().push(line.clone());
    let act = state.act(&line);
    if line.starts_with("GET /ws") && act.is_none() {
        return tunnel(state.behind, request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 << 20).await else { return StatusCode::BAD_REQUEST.into_response() };
    // Spawned: a client that disconnects does not withdraw its request.
    let passed_on = tokio::spawn(async move {
        if matches!(act, Some(Action::Hold)) {
            state.released.subscribe().wait_for(|released| *released).await.unwrap();
        }
        let url = format!("http://{}{}", state.behind, parts.uri);
        let mut request = reqwest::Client::new().request(parts.method, url).body(body);
        if let Some(kind) = parts.headers.get("content-type") {
            request = request.header("content-type", kind);
        }
        let Ok(answer) = request.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
        state.answered.lock().unwrap().push(line);
        let status = answer.status();
        match act {
            Some(Action::Forge(status, body)) => (StatusCode::from_u16(status).unwrap(), body).into_response(),
            Some(Action::Edit(edit)) => (status, edit(answer.text().await.unwrap_or_default())).into_response(),
            Some(Action::Hold) | None => (status, Body::from_stream(answer.bytes_stream())).into_response(),
        }
    });
    passed_on.await.unwrap()
}

/// Tunnels a WebSocket: a handshake by hand, then bytes in both directions.
async fn tunnel(behind: SocketAddr, mut request: Request) -> Response {
    let mut head = format!("GET {} HTTP/1.1\r\n", request.uri());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    head.push_str("\r\n");
    let Ok(mut stream) = TcpStream::connect(behind).await else { return StatusCode::BAD_GATEWAY.into_response() };
    let mut answer = Vec::new();
    if stream.write_all(head.as_bytes()).await.is_err() {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    while !answer.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return StatusCode::BAD_GATEWAY.into_response() };
        answer.push(byte);
    }
    let answer = http::Response::parse(&answer).unwrap();
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    if answer.status == 101 {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                // Either side may close.
                let _ended = tokio::io::copy_bidirectional(&mut TokioIo::new(upgraded), &mut stream).await;
            }
        });
    }
    response.body(Body::empty()).unwrap()
}
