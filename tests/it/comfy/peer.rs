//! A server that says what a test wants it to say, and remembers what it was asked.

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

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Stops with the test.
pub struct Peer {
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Peer {
    /// Answers every request by `answer` (given `METHOD /path?query`).
    pub async fn start(answer: impl Fn(&str) -> Response + Clone + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remember = Arc::clone(&asked);
        let router = Router::new().fallback(move |request: Request| {
            let (answer, remember) = (answer.clone(), Arc::clone(&remember));
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                let headers = request.headers().clone();
                let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
                remember.lock().unwrap().push(Asked { line: line.clone(), headers, body });
                answer(&line)
            }
        });
        Self::serve(router, asked).await
    }

    /// Any router.
    pub async fn with(router: Router) -> Self {
        Self::serve(router, Arc::default()).await
    }

    async fn serve(router: Router, asked: Arc<Mutex<Vec<Asked>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, asked, task }
    }

    /// Answers every connection with `bytes` after the first read, then hangs up (or, if asked, does nothing more).
    pub async fn raw(bytes: &'static [u8], hangs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remember = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let remember = Arc::clone(&remember);
                tokio::spawn(async move {
                    let mut head = vec![0; 65_536];
                    let length = stream.read(&mut head).await.unwrap_or(0);
                    if length == 0 {
                        return;
                    }
                    let line = String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned();
                    remember.lock().unwrap().push(Asked { line, headers: HeaderMap::new(), body: Bytes::new() });
                    if stream.write_all(bytes).await.is_ok() && hangs {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { addr, asked, task }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
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
