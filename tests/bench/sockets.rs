//! A thousand WebSockets that only count the messages they receive.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// A masked pong without payload.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// Open sockets. Dropping it closes them.
pub struct Sockets {
    received: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Sockets {
    pub async fn open(address: SocketAddr, token: &str, count: usize) -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let stream = upgrade(address, token).await;
            tasks.spawn(read(stream, Arc::clone(&received)));
        }
        Self { received, _tasks: tasks }
    }

    /// Returns the number of messages received by all of them.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

async fn upgrade(address: SocketAddr, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

async fn read(mut stream: TcpStream, received: Arc<AtomicU64>) {
    let mut frames = Frames::default();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        received.fetch_add(frames.count(&buffer[..count]), Ordering::Relaxed);
        if std::mem::take(&mut frames.is_pinged) && stream.write_all(&PONG).await.is_err() {
            return;
        }
    }
}

/// Position of the next byte within a server's frames (unmasked, RFC 6455 §5.2).
#[derive(Default)]
struct Frames {
    head: Vec<u8>,
    payload_left: usize,
    is_pinged: bool,
}

impl Frames {
    /// Returns the number of text frames that start in these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let Some((first, rest)) = bytes.split_first() else { break };
            self.head.push(*first);
            bytes = rest;
            let length = match self.head.get(1) {
                None => continue,
                Some(126) if self.head.len() < 4 => continue,
                Some(127) if self.head.len() < 10 => continue,
                Some(126 | 127) => self.head[2..].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
                Some(short) => usize::from(*short),
            };
            count += u64::from(self.head[0] & 0x0f == 1);
            self.is_pinged |= self.head[0] & 0x0f == 9;
            self.payload_left = length;
            self.head.clear();
        }
        count
    }
}
