//! A proxy with faults: TCP on one side, TCP or a unix socket on the other. A test sets the fault while traffic flows.

use super::stable_port;
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UnixStream},
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

/// Chunks in transit per direction and connection.
const CHUNKS_MAX: usize = 64;
const CHUNK_BYTES: usize = 16 << 10;

/// Fault of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// No fault.
    #[default]
    None,
    /// Open connections are closed, new ones refused.
    Refuse,
    /// Connections are accepted and data is discarded, both ways. Affected connections are closed when the fault ends.
    BlackHole,
    /// Requests arrive, but replies are discarded. Affected connections are closed when the fault ends.
    SwallowReplies,
    /// Data is held back without loss, and delivered when the fault ends.
    Hold,
    /// All data is delayed by this time, each way.
    Delay(Duration),
    /// Data is limited to this number of bytes per second, per direction and connection.
    Throttle(u32),
}

/// Address of the server.
#[derive(Debug, Clone)]
pub enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug, Clone, Copy, Default)]
struct Line {
    fault: Fault,
    /// Number of cuts. Connections older than the last cut are closed.
    cuts: u64,
}

/// Direction of data, with the mark of a connection that has lost some.
#[derive(Debug, Clone, Copy)]
enum Way<'a> {
    Request(&'a AtomicBool),
    Reply(&'a AtomicBool, &'a Rewrites),
}

/// Texts to replace in replies, by texts of the same length: a server's address by that of another proxy.
pub type Rewrites = Arc<OnceLock<Vec<(String, String)>>>;

/// The link. Dropping it closes it.
pub struct Proxy {
    pub port: u16,
    line: watch::Sender<Line>,
    _acceptor: AbortOnDropHandle<()>,
}

impl Proxy {
    pub fn start(target: Target) -> Self {
        Self::start_rewriting(target, Rewrites::default())
    }

    /// Starts a proxy that replaces texts in replies.
    pub fn start_rewriting(target: Target, rewrites: Rewrites) -> Self {
        Self::start_at(stable_port(), target, rewrites)
    }

    /// Starts a proxy on this port.
    pub fn start_at(port: u16, target: Target, rewrites: Rewrites) -> Self {
        let (line, seen) = watch::channel(Line::default());
        let listener = bound(port).listen(1024).unwrap();
        let acceptor = AbortOnDropHandle::new(tokio::spawn(accept(port, listener, (target, rewrites), seen)));
        Self { port, line, _acceptor: acceptor }
    }

    pub fn set(&self, fault: Fault) {
        self.line.send_modify(|line| {
            line.fault = fault;
            line.cuts += u64::from(fault == Fault::Refuse);
        });
    }

    /// Closes all open connections; new ones are accepted.
    pub fn cut(&self) {
        self.line.send_modify(|line| line.cuts += 1);
    }
}

fn bound(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], port).into()).unwrap_or_else(|error| panic!("port {port}: {error}"));
    socket
}

async fn accept(port: u16, first: TcpListener, to: (Target, Rewrites), mut line: watch::Receiver<Line>) {
    let mut listener = Some(first);
    loop {
        if line.borrow_and_update().fault == Fault::Refuse {
            drop(listener.take());
            // Bound but not listening: connections are refused, and no other program can take the port.
            let parked = bound(port);
            if line.wait_for(|line| line.fault != Fault::Refuse).await.is_err() {
                return;
            }
            listener = Some(parked.listen(1024).unwrap());
        }
        let Some(open) = &listener else { continue };
        tokio::select! {
            changed = line.changed() => if changed.is_err() { return },
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                client.set_nodelay(true).unwrap();
                let mut mine = line.clone();
                mine.mark_unchanged();
                tokio::spawn(serve(client, to.clone(), mine));
            },
        }
    }
}

async fn serve(client: TcpStream, to: (Target, Rewrites), line: watch::Receiver<Line>) {
    let is_lossy = Arc::new(AtomicBool::new(false));
    tokio::select! {
        () = ended(line.clone(), is_lossy.clone()) => {}
        () = connect(client, to, line, is_lossy) => {}
    }
}

/// Returns on a cut, or when a fault that lost data of this connection has ended.
async fn ended(mut line: watch::Receiver<Line>, is_lossy: Arc<AtomicBool>) {
    let cuts = line.borrow_and_update().cuts;
    loop {
        if line.changed().await.is_err() {
            return;
        }
        let now = *line.borrow_and_update();
        let loses = matches!(now.fault, Fault::BlackHole | Fault::SwallowReplies);
        if now.cuts != cuts || (is_lossy.load(Ordering::SeqCst) && !loses) {
            return;
        }
    }
}

async fn connect(
    mut client: TcpStream,
    (target, rewrites): (Target, Rewrites),
    line: watch::Receiver<Line>,
    is_lossy: Arc<AtomicBool>,
) {
    let fault = line.borrow().fault;
    if fault == Fault::BlackHole {
        is_lossy.store(true, Ordering::SeqCst);
        let mut nobody = [0; 4096];
        while !matches!(client.read(&mut nobody).await, Ok(0) | Err(_)) {}
        return;
    }
    match target {
        Target::Tcp(address) => {
            if let Ok(server) = TcpStream::connect(address).await {
                server.set_nodelay(true).unwrap();
                let (from, to) = server.into_split();
                carry(client, (from, to), line, is_lossy, &rewrites).await;
            }
        }
        Target::Unix(path) => {
            if let Ok(server) = UnixStream::connect(path).await {
                let (from, to) = server.into_split();
                carry(client, (from, to), line, is_lossy, &rewrites).await;
            }
        }
    }
}

async fn carry(
    client: TcpStream,
    (from_server, to_server): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    line: watch::Receiver<Line>,
    is_lossy: Arc<AtomicBool>,
    rewrites: &Rewrites,
) {
    let (from_client, to_client) = client.into_split();
    tokio::join!(
        pump(from_client, to_server, Way::Request(&is_lossy), line.clone()),
        pump(from_server, to_client, Way::Reply(&is_lossy, rewrites), line),
    );
}

/// Forwards data in one direction until its source ends.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way<'_>,
    line: watch::Receiver<Line>,
) {
    let (Way::Request(is_lossy) | Way::Reply(is_lossy, _)) = way;
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let mut at_door = line.clone();
    let take = async move {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let Ok(count @ 1..) = from.read(&mut chunk).await else { return };
            chunk.truncate(count);
            let delay = match at_door.borrow_and_update().fault {
                Fault::Delay(delay) => delay,
                _ => Duration::ZERO,
            };
            if sender.send((Instant::now() + delay, chunk)).await.is_err() {
                return;
            }
        }
    };
    let mut line = line;
    let give = async move {
        while let Some((due, mut chunk)) = under_way.recv().await {
            tokio::time::sleep_until(due).await;
            let Ok(fault) = line.wait_for(|line| line.fault != Fault::Hold).await.map(|line| line.fault) else {
                return;
            };
            if fault == Fault::BlackHole || (fault == Fault::SwallowReplies && matches!(way, Way::Reply(..))) {
                is_lossy.store(true, Ordering::SeqCst);
                continue;
            }
            if let Way::Reply(_, rewrites) = way {
                rewrite(&mut chunk, rewrites.get().map_or(&[], Vec::as_slice));
            }
            if to.write_all(&chunk).await.is_err() {
                return;
            }
            if let Fault::Throttle(bytes_per_second) = fault {
                tokio::time::sleep(Duration::from_secs_f64(chunk.len() as f64 / f64::from(bytes_per_second))).await;
            }
        }
        // The peer may have disconnected already.
        let _gone = to.shutdown().await;
    };
    tokio::join!(take, give);
}

/// Replaces texts in place. A text that is split between two chunks is missed; a Sentinel's replies are short.
fn rewrite(chunk: &mut [u8], rewrites: &[(String, String)]) {
    for at in 0..chunk.len() {
        let found = rewrites.iter().find(|(from, _)| chunk[at..].starts_with(from.as_bytes()));
        if let Some((_, to)) = found {
            chunk[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
}
