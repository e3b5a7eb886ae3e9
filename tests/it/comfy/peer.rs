//! A server with scripted answers, which records its requests.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

/// A received request.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    pub line: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The server. Dropping it stops it.
pub struct Peer {
    pub addr: SocketAddr,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
    task: JoinHandle<()>,
}

impl Peer {
    /// Starts a server that answers every request by `answer`, which gets `METHOD /path?query`.
    pub async fn start(answer: impl Fn(&str) -> Response + Clone + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        let router = Router::new().fallback(move |request: Request| {
            let (answer, recorded) = (answer.clone(), Arc::clone(&recorded));
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                let headers = request.headers().clone();
                let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
                recorded.lock().unwrap().push(ReceivedRequest { line: line.clone(), headers, body });
                answer(&line)
            }
        });
        Self::serve(router, requests).await
    }

    /// Starts a server with a router.
    pub async fn with(router: Router) -> Self {
        Self::serve(router, Arc::default()).await
    }

    async fn serve(router: Router, requests: Arc<Mutex<Vec<ReceivedRequest>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, requests, task }
    }

    /// Starts a server that answers every connection with `bytes` after the first read, and then disconnects; with
    /// `hangs` it keeps the connection open.
    pub async fn raw(bytes: &'static [u8], hangs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let recorded = Arc::clone(&recorded);
                tokio::spawn(async move {
                    let mut head = vec![0; 65_536];
                    let length = stream.read(&mut head).await.unwrap_or(0);
                    if length == 0 {
                        return;
                    }
                    let line = String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned();
                    recorded.lock().unwrap().push(ReceivedRequest {
                        line,
                        headers: HeaderMap::new(),
                        body: Bytes::new(),
                    });
                    if stream.write_all(bytes).await.is_ok() && hangs {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { addr, requests, task }
    }

    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.requests.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn reply(status: u16, body: impl Into<Body>) -> Response {
    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(body.into()).unwrap()
}
