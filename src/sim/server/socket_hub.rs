//! Who hears what: sockets by client id, and the one loop that sends all messages one after another.
//!
//! Invariant: the loop waits for each socket in turn. One that does not read stalls all others, as in the real server.

use crate::sim::{
    BACKLOG_BYTES_MAX,
    engine::{freeze::Gate, incarnation::Life},
    lock, python,
};
use axum::{body::Bytes, extract::ws::Message};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that wait for one socket before the loop stands still.
const SOCKET_MESSAGES: usize = 8;

/// A message on its way: to one client id, or to all.
#[derive(Debug)]
pub(crate) struct Note {
    to: Option<String>,
    kind: String,
    message: Message,
}

#[derive(Debug)]
struct Peer {
    connection: u64,
    sender: mpsc::Sender<Message>,
}

/// The sockets of one life.
#[derive(Debug)]
pub(crate) struct Hub {
    sockets: Mutex<HashMap<String, Peer>>,
    /// Whether a client asked for previews with metadata.
    metadata: Mutex<HashMap<String, bool>>,
    connections: AtomicU64,
    /// Every open connection, also those that lost their client id to a newer one.
    open: Mutex<HashMap<u64, CancellationToken>>,
    outbox: mpsc::UnboundedSender<Note>,
    backlog: AtomicUsize,
    stalled: AtomicBool,
    stall: Gate,
}

/// What a socket's task needs.
pub(crate) struct Joined {
    pub connection: u64,
    pub sid: String,
    pub sender: mpsc::Sender<Message>,
    pub receiver: mpsc::Receiver<Message>,
    pub cut: CancellationToken,
}

impl Hub {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Note>) {
        // Bounded by bytes in `enqueue`: a count would not bound 8 MB frames.
        let (outbox, notes) = mpsc::unbounded_channel();
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
        (hub, notes)
    }

    /// A socket with this client id takes over; the older one stays open and silent.
    pub(crate) fn join(&self, client_id: &str) -> Joined {
        let sid = if client_id.is_empty() { uuid::Uuid::new_v4().simple().to_string() } else { client_id.to_owned() };
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel(SOCKET_MESSAGES);
        let cut = CancellationToken::new();
        lock(&self.sockets).insert(sid.clone(), Peer { connection, sender: sender.clone() });
        lock(&self.metadata).insert(sid.clone(), false);
        lock(&self.open).insert(connection, cut.clone());
        Joined { connection, sid, sender, receiver, cut }
    }

    /// With `stale_pop` a client id goes even if a newer socket has it.
    pub(crate) fn leave(&self, sid: &str, connection: u64, stale_pop: bool) {
        lock(&self.open).remove(&connection);
        let mut sockets = lock(&self.sockets);
        if stale_pop || sockets.get(sid).is_some_and(|peer| peer.connection == connection) {
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

    /// `{"type","data"}` to one client id, or to all.
    pub(crate) fn send(&self, to: Option<&str>, kind: &str, data: &Value) {
        self.send_text(to, kind, &python::dumps(data));
    }

    /// The same with `data` already written.
    pub(crate) fn send_text(&self, to: Option<&str>, kind: &str, data: &str) {
        self.enqueue(to, kind, Message::Text(frame(kind, data).into()));
    }

    /// A binary event.
    pub(crate) fn send_binary(&self, to: Option<&str>, event: u32, payload: &[u8]) {
        let mut bytes = event.to_be_bytes().to_vec();
        bytes.extend_from_slice(payload);
        self.enqueue(to, "binary", Message::Binary(Bytes::from(bytes)));
    }

    fn enqueue(&self, to: Option<&str>, kind: &str, message: Message) {
        let bytes = size(&message);
        if self.backlog.fetch_add(bytes, Ordering::Relaxed) + bytes > BACKLOG_BYTES_MAX {
            self.backlog.fetch_sub(bytes, Ordering::Relaxed);
            tracing::warn!("a socket does not read; a message was dropped");
            return;
        }
        let note = Note { to: to.map(str::to_owned), kind: kind.to_owned(), message };
        if self.outbox.send(note).is_err() {
            tracing::trace!("a message after the end of the instance");
        }
    }

    /// The loop; ends with the life.
    pub(crate) async fn publish(life: Arc<Life>, mut notes: mpsc::UnboundedReceiver<Note>) {
        let token = life.token.clone();
        let deliver = async {
            while let Some(note) = notes.recv().await {
                life.gate.pass().await;
                life.hub.stall.pass().await;
                life.hub.backlog.fetch_sub(size(&note.message), Ordering::Relaxed);
                life.hub.deliver(&life, note).await;
            }
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = deliver => {}
        }
    }

    async fn deliver(&self, life: &Life, note: Note) {
        let (copies, garbage, big, flood) = {
            let faults = &mut *lock(&life.shared.faults);
            let copies = if faults.ws_lose.contains(&note.kind) { 0 } else { 1 + usize::from(faults.ws_double) };
            (copies, faults.ws_garbage.strike(), faults.ws_big.strike(), faults.ws_flood.strike())
        };
        let senders: Vec<mpsc::Sender<Message>> = {
            let sockets = lock(&self.sockets);
            match &note.to {
                Some(sid) => sockets.get(sid).map(|peer| peer.sender.clone()).into_iter().collect(),
                None => sockets.values().map(|peer| peer.sender.clone()).collect(),
            }
        };
        for sender in senders {
            if garbage {
                push(&sender, Message::Text("{\"type\": \"status\", \"data\": {oops".into())).await;
            }
            if big {
                let data = python::dumps(&Value::from("x".repeat(8_000_000)));
                push(&sender, Message::Text(frame("sim_big", &data).into())).await;
            }
            if flood {
                push(&sender, Message::Text(flood_frame().into())).await;
            }
            for _ in 0..copies {
                push(&sender, note.message.clone()).await;
            }
        }
    }
}

/// `{"type": kind, "data": data}`.
pub(crate) fn frame(kind: &str, data: &str) -> String {
    let mut out = String::with_capacity(data.len() + kind.len() + 24);
    out.push_str("{\"type\": ");
    python::write_text(kind, &mut out);
    out.push_str(", \"data\": ");
    out.push_str(data);
    out.push('}');
    out
}

/// What a graph far too large makes of every step: the state of all its nodes.
fn flood_frame() -> String {
    let node = |n: u32| {
        format!(
            "\"{n}\": {{\"value\": 1, \"max\": 1, \"state\": \"finished\", \"node_id\": \"{n}\", \"prompt_id\": \
             \"00000000-0000-4000-8000-000000000000\", \"display_node_id\": \"{n}\", \"parent_node_id\": null, \
             \"real_node_id\": \"{n}\", \"filler\": \"a line as long as real ones are with names of their own\"}}"
        )
    };
    let nodes: Vec<String> = (0..30_000).map(node).collect();
    let data =
        format!("{{\"prompt_id\": \"00000000-0000-4000-8000-000000000000\", \"nodes\": {{{}}}}}", nodes.join(", "));
    frame("progress_state", &data)
}

async fn push(sender: &mpsc::Sender<Message>, message: Message) {
    if sender.send(message).await.is_err() {
        tracing::trace!("the socket has closed");
    }
}

fn size(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) => bytes.len(),
        _ => 0,
    }
}
