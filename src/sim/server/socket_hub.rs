//! Sockets by client id, and the queue of messages to them. `broadcast` sends the messages.

use crate::sim::{engine::freeze::Gate, limits::BACKLOG_BYTES_MAX, lock::lock, python};
use axum::{body::Bytes, extract::ws::Message};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages queued per socket before the loop blocks.
const SOCKET_MESSAGES: usize = 8;

/// A queued message, to one client id or to all.
#[derive(Debug)]
pub(crate) struct Outgoing {
    to: Option<String>,
    pub kind: String,
    pub message: Message,
}

#[derive(Debug)]
struct Socket {
    connection: u64,
    sender: mpsc::Sender<Message>,
}

/// The sockets of a process.
#[derive(Debug)]
pub(crate) struct Hub {
    sockets: Mutex<HashMap<String, Socket>>,
    /// Client ids, and whether each asked for previews with metadata.
    metadata: Mutex<HashMap<String, bool>>,
    connections: AtomicU64,
    /// Every open connection, including those whose client id was taken over by a newer one.
    open: Mutex<HashMap<u64, CancellationToken>>,
    outbox: mpsc::UnboundedSender<Outgoing>,
    backlog: AtomicUsize,
    stalled: AtomicBool,
    pub stall: Gate,
}

/// State of a connection for the task of its socket.
pub(crate) struct Connection {
    pub connection: u64,
    pub sid: String,
    pub sender: mpsc::Sender<Message>,
    pub receiver: mpsc::Receiver<Message>,
    pub cut: CancellationToken,
}

impl Hub {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Outgoing>) {
        // Unbounded; `enqueue` bounds it by bytes, because a count would not bound 8 MB frames.
        let (outbox, messages) = mpsc::unbounded_channel();
        let hub = Self {
            sockets: Mutex::default(),
            metadata: Mutex::default(),
            connections: AtomicU64::new(0),
            open: Mutex::default(),
            outbox,
            backlog: AtomicUsize::new(0),
            stalled: AtomicBool::new(false),
            stall: Gate::default(),
        };
        (hub, messages)
    }

    /// Registers a socket. It takes over its client id; an older socket with that id stays open but gets no more
    /// messages.
    pub(crate) fn join(&self, client_id: &str) -> Connection {
        let sid = if client_id.is_empty() { uuid::Uuid::new_v4().simple().to_string() } else { client_id.to_owned() };
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel(SOCKET_MESSAGES);
        let cut = CancellationToken::new();
        lock(&self.sockets).insert(sid.clone(), Socket { connection, sender: sender.clone() });
        lock(&self.metadata).insert(sid.clone(), false);
        lock(&self.open).insert(connection, cut.clone());
        Connection { connection, sid, sender, receiver, cut }
    }

    /// Removes a socket. With `stale_pop` its client id is removed even if a newer socket has it.
    pub(crate) fn leave(&self, sid: &str, connection: u64, stale_pop: bool) {
        lock(&self.open).remove(&connection);
        let mut sockets = lock(&self.sockets);
        if stale_pop || sockets.get(sid).is_some_and(|socket| socket.connection == connection) {
            sockets.remove(sid);
            lock(&self.metadata).remove(sid);
        }
    }

    pub(crate) fn set_previews(&self, sid: &str, wanted: bool) {
        if let Some(flag) = lock(&self.metadata).get_mut(sid) {
            *flag = wanted;
        }
    }

    pub(crate) fn wants_metadata(&self, sid: Option<&str>) -> bool {
        sid.is_some_and(|sid| lock(&self.metadata).get(sid).copied().unwrap_or(false))
    }

    pub(crate) fn cut_all(&self) {
        for cut in lock(&self.open).values() {
            cut.cancel();
        }
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.open).len()
    }

    pub(crate) fn stall(&self, stalled: bool) {
        if self.stalled.swap(stalled, Ordering::SeqCst) != stalled {
            if stalled { self.stall.close() } else { self.stall.open() }
        }
    }

    /// Sends `{"type","data"}` to one client id, or to all.
    pub(crate) fn send(&self, to: Option<&str>, kind: &str, data: &Value) {
        self.send_text(to, kind, &python::dumps(data));
    }

    /// Like [`Hub::send`], with `data` already serialized.
    pub(crate) fn send_text(&self, to: Option<&str>, kind: &str, data: &str) {
        self.enqueue(to, kind, Message::Text(frame(kind, data).into()));
    }

    /// Sends a binary event.
    pub(crate) fn send_binary(&self, to: Option<&str>, event: u32, payload: &[u8]) {
        let mut bytes = event.to_be_bytes().to_vec();
        bytes.extend_from_slice(payload);
        self.enqueue(to, "binary", Message::Binary(Bytes::from(bytes)));
    }

    fn enqueue(&self, to: Option<&str>, kind: &str, message: Message) {
        let bytes = size(&message);
        if self.backlog.fetch_add(bytes, Ordering::Relaxed) + bytes > BACKLOG_BYTES_MAX {
            self.backlog.fetch_sub(bytes, Ordering::Relaxed);
            tracing::warn!("message dropped: a socket does not read");
            return;
        }
        let outgoing = Outgoing { to: to.map(str::to_owned), kind: kind.to_owned(), message };
        if self.outbox.send(outgoing).is_err() {
            tracing::trace!("message after the end of the process");
        }
    }

    /// Takes a message out of the backlog.
    pub(crate) fn dequeued(&self, outgoing: &Outgoing) {
        self.backlog.fetch_sub(size(&outgoing.message), Ordering::Relaxed);
    }

    /// Returns the sockets that a message is for.
    pub(crate) fn recipients(&self, outgoing: &Outgoing) -> Vec<mpsc::Sender<Message>> {
        let sockets = lock(&self.sockets);
        match &outgoing.to {
            Some(sid) => sockets.get(sid).map(|socket| socket.sender.clone()).into_iter().collect(),
            None => sockets.values().map(|socket| socket.sender.clone()).collect(),
        }
    }
}

/// Returns `{"type": kind, "data": data}`.
pub(crate) fn frame(kind: &str, data: &str) -> String {
    let mut out = String::with_capacity(data.len() + kind.len() + 24);
    out.push_str("{\"type\": ");
    python::write_text(kind, &mut out);
    out.push_str(", \"data\": ");
    out.push_str(data);
    out.push('}');
    out
}

fn size(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) => bytes.len(),
        _ => 0,
    }
}
