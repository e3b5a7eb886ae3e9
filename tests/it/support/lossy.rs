//! A TCP link that loses data: single published messages of a Redis, or whole replies of any server.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};
use tokio_util::task::AbortOnDropHandle;

/// Address of the server.
#[derive(Debug, Clone)]
pub enum Upstream {
    Unix(PathBuf),
    Tcp(u16),
}

/// Data to lose.
#[derive(Debug, Default)]
struct Losses {
    parses_replies: bool,
    /// Published messages to lose, percent.
    published: AtomicU64,
    /// Published messages so far, including lost ones. Every 100/`published`-th is lost.
    seen: AtomicU64,
    lost: AtomicU64,
    /// Whether a reply is dropped together with its connection.
    replies: AtomicBool,
    /// Whether nothing is forwarded; sent data is lost with the connection.
    frozen: AtomicBool,
    /// Word in a request that ends its connection.
    cut_on_word: Mutex<Option<&'static str>>,
}

/// The link. Dropping it closes it and all of its connections.
pub struct LossyLink {
    pub port: u16,
    losses: Arc<Losses>,
    _acceptor: AbortOnDropHandle<()>,
}

impl LossyLink {
    /// Starts a link to any server.
    pub async fn start(to: Upstream) -> Self {
        Self::with(to, Losses::default()).await
    }

    /// Starts a link to a Redis. It parses the replies, so that it recognises published messages.
    pub async fn to_redis(to: Upstream) -> Self {
        Self::with(to, Losses { parses_replies: true, ..Losses::default() }).await
    }

    async fn with(to: Upstream, losses: Losses) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let losses = Arc::new(losses);
        let acceptor = AbortOnDropHandle::new(tokio::spawn(accept(listener, to, losses.clone())));
        Self { port, losses, _acceptor: acceptor }
    }

    /// Loses this percentage of the published messages.
    pub fn lose_published(&self, percent: u64) {
        self.losses.published.store(percent, Ordering::SeqCst);
    }

    /// Loses every reply, and closes its connection.
    pub fn lose_answers(&self, lose: bool) {
        self.losses.replies.store(lose, Ordering::SeqCst);
    }

    /// Closes a connection when it sends this word; `None` disables this.
    pub fn cut_on_word(&self, word: Option<&'static str>) {
        *self.losses.cut_on_word.lock().unwrap() = word;
    }

    /// Stops forwarding in both directions.
    pub fn freeze(&self) {
        self.losses.frozen.store(true, Ordering::SeqCst);
    }

    /// Returns the number of published messages lost so far.
    pub fn lost_count(&self) -> u64 {
        self.losses.lost.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, to: Upstream, losses: Arc<Losses>) {
    // Aborted when the link is dropped.
    let mut open = tokio::task::JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        client.set_nodelay(true).unwrap();
        let (to, losses) = (to.clone(), losses.clone());
        open.spawn(async move {
            match to {
                Upstream::Unix(path) => {
                    let Ok(server) = UnixStream::connect(path).await else { return };
                    let (from, to) = server.into_split();
                    carry(client, from, to, &losses).await;
                }
                Upstream::Tcp(port) => {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let (from, to) = server.into_split();
                    carry(client, from, to, &losses).await;
                }
            }
        });
    }
}

/// Forwards until either side closes, or a reply is lost.
async fn carry(
    client: TcpStream,
    mut from_server: impl AsyncRead + Unpin,
    mut to_server: impl AsyncWrite + Unpin,
    losses: &Losses,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let there = async {
        let mut chunk = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_client.read(&mut chunk).await {
            frozen(losses).await;
            let word = *losses.cut_on_word.lock().unwrap();
            if word.is_some_and(|word| chunk[..count].windows(word.len()).any(|part| part == word.as_bytes())) {
                return;
            }
            if to_server.write_all(&chunk[..count]).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let (mut chunk, mut waiting) = (vec![0; 64 << 10], Vec::new());
        while let Ok(count @ 1..) = from_server.read(&mut chunk).await {
            frozen(losses).await;
            if losses.replies.load(Ordering::SeqCst) {
                return;
            }
            waiting.extend_from_slice(&chunk[..count]);
            let passed = pass(&mut waiting, losses);
            if to_client.write_all(&passed).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

async fn frozen(losses: &Losses) {
    while losses.frozen.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Takes complete replies off `waiting`, without those to lose.
fn pass(waiting: &mut Vec<u8>, losses: &Losses) -> Vec<u8> {
    let percent = losses.published.load(Ordering::SeqCst);
    if !losses.parses_replies {
        return std::mem::take(waiting);
    }
    let mut passed = Vec::new();
    while let Some(length) = reply_length(waiting) {
        let reply: Vec<u8> = waiting.drain(..length).collect();
        if reply.starts_with(b"*3\r\n$7\r\nmessage\r\n") {
            let seen = losses.seen.fetch_add(1, Ordering::SeqCst);
            if (seen + 1) * percent / 100 > seen * percent / 100 {
                losses.lost.fetch_add(1, Ordering::SeqCst);
                continue;
            }
        }
        passed.extend(reply);
    }
    passed
}

/// Returns the length of the first RESP2 reply, if it is complete.
fn reply_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..end - 2]).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'$' => match usize::try_from(number()?) {
            Ok(length) => Some(end + length + 2).filter(|whole| *whole <= bytes.len()),
            Err(_nil) => Some(end),
        },
        b'*' => (0..number()?).try_fold(end, |at, _| Some(at + reply_length(&bytes[at..])?)),
        _ => Some(end),
    }
}
