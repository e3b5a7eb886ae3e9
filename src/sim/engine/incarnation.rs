//! One life of the process (what a kill wipes) and what outlives it (port, files, faults, log).

use super::{
    event_log::{Happened, Record},
    freeze::Gate,
    prompt_queue::Queue,
    worker,
};
use crate::sim::{
    Faults, SimOptions,
    files::Files,
    lock,
    server::{listener, socket_hub::Hub},
};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// What outlives a kill.
#[derive(Debug)]
pub(crate) struct Shared {
    pub options: SimOptions,
    pub faults: Mutex<Faults>,
    pub record: Record,
    pub files: Files,
    life: Mutex<Option<Arc<Life>>>,
    lives: AtomicU64,
    addr: Mutex<SocketAddr>,
    /// The port, bound but not listening: connections are refused and nobody else can take it.
    parked: Mutex<Option<TcpSocket>>,
    /// One `up` or `down` at a time.
    switching: tokio::sync::Mutex<()>,
    gone: Notify,
    ended: AtomicBool,
}

impl Shared {
    pub(crate) fn new(options: SimOptions) -> Result<Arc<Self>, String> {
        let addr = options.listen;
        let files = Files::open(options.data.clone())?;
        Ok(Arc::new(Self {
            options,
            faults: Mutex::default(),
            record: Record::default(),
            files,
            life: Mutex::default(),
            lives: AtomicU64::new(0),
            addr: Mutex::new(addr),
            parked: Mutex::default(),
            switching: tokio::sync::Mutex::default(),
            gone: Notify::new(),
            ended: AtomicBool::new(false),
        }))
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        *lock(&self.addr)
    }

    pub(crate) fn life(&self) -> Option<Arc<Life>> {
        lock(&self.life).clone()
    }

    /// Begins a life; nothing if one goes on.
    pub(crate) async fn up(self: &Arc<Self>) -> Result<(), String> {
        let _switching = self.switching.lock().await;
        if self.life().is_some() {
            return Ok(());
        }
        if self.ended.load(Ordering::SeqCst) {
            return Err("the stand-in was stopped".to_owned());
        }
        let listener = self.listen()?;
        *lock(&self.addr) = listener.local_addr().map_err(|error| error.to_string())?;
        self.files.wipe_temp();
        let number = self.lives.fetch_add(1, Ordering::SeqCst) + 1;
        let (hub, outbox) = Hub::new();
        let life = Arc::new(Life {
            shared: Arc::clone(self),
            number,
            token: CancellationToken::new(),
            queue: Mutex::new(Queue::default()),
            work: Notify::new(),
            hub,
            interrupt: watch::Sender::new(false),
            gate: Gate::default(),
            focus: Mutex::default(),
            free_memory: AtomicBool::new(false),
            zombie: AtomicBool::new(false),
            hung: AtomicBool::new(false),
            tasks: Mutex::default(),
        });
        let tasks = vec![
            tokio::spawn(listener::accept(Arc::clone(&life), listener)),
            tokio::spawn(worker::work(Arc::clone(&life))),
            tokio::spawn(Hub::publish(Arc::clone(&life), outbox)),
        ];
        *lock(&life.tasks) = tasks;
        *lock(&self.life) = Some(Arc::clone(&life));
        self.record.add(number, Happened::Up, "");
        life.apply_faults();
        Ok(())
    }

    fn listen(&self) -> Result<TcpListener, String> {
        let socket = match lock(&self.parked).take() {
            Some(socket) => socket,
            None => bound(self.addr())?,
        };
        socket.listen(1024).map_err(|error| format!("cannot listen on {}: {error}", self.addr()))
    }

    /// Ends the life as a kill does; nothing if there is none.
    pub(crate) async fn down(&self) {
        let _switching = self.switching.lock().await;
        let Some(life) = lock(&self.life).take() else { return };
        life.token.cancel();
        let tasks = std::mem::take(&mut *lock(&life.tasks));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a task of the stand-in ended badly");
            }
        }
        self.record.add(life.number, Happened::Killed, "");
        match bound(self.addr()) {
            Ok(socket) => *lock(&self.parked) = Some(socket),
            Err(error) => tracing::warn!(%error, "cannot keep the port of a killed stand-in"),
        }
    }

    /// [`Shared::down`] from inside, and up again after `down_for` if given.
    pub(crate) fn down_soon(self: &Arc<Self>, down_for: Option<Duration>) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            // The reply of the control route must leave first.
            tokio::time::sleep(Duration::from_millis(20)).await;
            shared.down().await;
            let Some(time) = down_for else {
                shared.gone.notify_one();
                return;
            };
            tokio::time::sleep(time).await;
            if let Err(error) = shared.up().await {
                tracing::warn!(error, "the stand-in did not come up again");
            }
        });
    }

    /// Waits until a prompt or a control route has killed it for good.
    pub(crate) async fn gone(&self) {
        self.gone.notified().await;
    }

    /// For `Drop`: no life after this.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(life) = lock(&self.life).take() {
            life.token.cancel();
        }
        lock(&self.parked).take();
    }

    pub(crate) fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut lock(&self.faults));
        if let Some(life) = self.life() {
            life.apply_faults();
        }
    }

    /// Whether the fault that `pick` names strikes now.
    pub(crate) fn strikes(&self, pick: impl FnOnce(&mut Faults) -> &mut crate::sim::Times) -> bool {
        pick(&mut lock(&self.faults)).strike()
    }
}

fn bound(addr: SocketAddr) -> Result<TcpSocket, String> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| error.to_string())?;
    socket.set_reuseaddr(true).map_err(|error| error.to_string())?;
    socket.bind(addr).map_err(|error| format!("cannot listen on {addr}: {error}"))?;
    Ok(socket)
}

/// What a kill wipes.
#[derive(Debug)]
pub(crate) struct Life {
    pub shared: Arc<Shared>,
    /// From 1.
    pub number: u64,
    pub token: CancellationToken,
    pub queue: Mutex<Queue>,
    /// Something is pending.
    pub work: Notify,
    pub hub: Hub,
    /// The interrupt flag.
    pub interrupt: watch::Sender<bool>,
    /// Closed while everything stands still.
    pub gate: Gate,
    /// The client whose prompt ran last, and the node it is at: what a reconnecting socket is told.
    pub focus: Mutex<(Option<String>, Option<String>)>,
    /// `POST /free` asked to drop the cache when the current prompt has ended.
    pub free_memory: AtomicBool,
    pub zombie: AtomicBool,
    hung: AtomicBool,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Life {
    /// Queue length to all sockets. Under the queue's lock, so that the numbers come in order.
    pub(crate) fn tell_status(&self, queue: &Queue) {
        self.hub.send(None, "status", &json!({"status": queue.info()}));
    }

    pub(crate) fn freeze(self: &Arc<Self>, time: Duration) {
        self.gate.close();
        let life = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            life.gate.open();
        });
    }

    pub(crate) fn make_zombie(&self) {
        self.zombie.store(true, Ordering::SeqCst);
        // A node that sleeps must notice.
        self.work.notify_waiters();
    }

    /// A sleep of a node, in the instance's time: the speed divides it, a freeze prolongs it.
    pub(crate) async fn pause(&self, seconds: f64) {
        let seconds = (seconds / self.shared.options.speed).clamp(0.0, 1e6);
        if seconds > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        self.gate.pass().await;
    }

    fn apply_faults(&self) {
        let (hang, stall) = {
            let faults = lock(&self.shared.faults);
            (faults.hang, faults.ws_stall)
        };
        if self.hung.swap(hang, Ordering::SeqCst) != hang {
            if hang { self.gate.close() } else { self.gate.open() }
        }
        self.hub.stall(stall);
    }
}
