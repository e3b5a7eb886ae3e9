//! A cheap HTTP/1.1 client: one keep-alive connection, raw requests in, status and body out.

use super::program::Times;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// Sends a complete request and reads the complete response.
    pub async fn ask(&mut self, request: &[u8]) -> (u16, &[u8]) {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let (head, length) = loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break (at + 4, content_length(&self.buffer[..at]));
            }
            self.read().await;
        };
        while self.buffer.len() < head + length {
            self.read().await;
        }
        let status = std::str::from_utf8(&self.buffer[9..12]).unwrap().parse().unwrap();
        (status, &self.buffer[head..head + length])
    }

    async fn read(&mut self) {
        let count = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert!(count > 0, "the server closed: {}", String::from_utf8_lossy(&self.buffer));
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).unwrap().to_ascii_lowercase();
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:")).expect("a content-length");
    line.trim().parse().unwrap()
}

pub fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
}

pub fn post(path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends requests on `connections` connections, one at a time each, for `time`. Returns requests per second.
pub async fn closed_loop(address: SocketAddr, request: &[u8], connections: usize, time: Duration) -> f64 {
    let request: Arc<[u8]> = request.into();
    let end = Instant::now() + time;
    let mut loops = JoinSet::new();
    for _ in 0..connections {
        let request = Arc::clone(&request);
        loops.spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut count = 0_u64;
            while Instant::now() < end {
                let (status, body) = connection.ask(&request).await;
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(body));
                count += 1;
            }
            count
        });
    }
    let begun = Instant::now();
    let count: u64 = loops.join_all().await.into_iter().sum();
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Sends requests at a fixed rate. Latency is measured from the time when a request was due, even if it was sent late.
pub async fn open_loop(
    address: SocketAddr,
    request: &[u8],
    connections: u32,
    per_second: u32,
    time: Duration,
) -> Times {
    let request: Arc<[u8]> = request.into();
    let begin = tokio::time::Instant::now() + Duration::from_millis(200);
    let mut loops = JoinSet::new();
    for number in 0..connections {
        let request = Arc::clone(&request);
        loops.spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut times = Vec::new();
            let mut turn = number;
            loop {
                let due = Duration::from_secs_f64(f64::from(turn) / f64::from(per_second));
                if due >= time {
                    return times;
                }
                tokio::time::sleep_until(begin + due).await;
                assert_eq!(connection.ask(&request).await.0, 200);
                times.push(begin.elapsed() - due);
                turn += connections;
            }
        });
    }
    Times::new(loops.join_all().await.into_iter().flatten().collect())
}
