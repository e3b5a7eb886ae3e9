//! The simulated process (everything that a kill wipes) and the instance that outlives it (port, files, faults, log).

use crate::sim::{
    engine::{
        event_log::{EventLog, LogEvent},
        freeze::Gate,
        prompt_queue::PromptQueue,
    },
    files::Files,
    lock::lock,
    options::SimOptions,
    server::{
        faults::{Faults, Times},
        socket_hub::{Hub, Outgoing},
    },
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
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Starts the tasks of a process: accepting connections, running prompts, sending messages.
pub(crate) type StartTasks = fn(&Arc<Process>, TcpListener, mpsc::UnboundedReceiver<Outgoing>) -> Vec<JoinHandle<()>>;

/// The part of a stand-in that survives a kill.
#[derive(Debug)]
pub(crate) struct Instance {
    pub options: SimOptions,
    pub faults: Mutex<Faults>,
    pub log: EventLog,
    pub files: Files,
    /// Number of requests of `/object_info`.
    pub catalog_reads: AtomicU64,
    start_tasks: StartTasks,
    process: Mutex<Option<Arc<Process>>>,
    process_count: AtomicU64,
    addr: Mutex<SocketAddr>,
    /// The port, bound but not listening: connections are refused, and no other program can take it.
    parked: Mutex<Option<TcpSocket>>,
    /// Serializes `boot` and `kill`.
    switching: tokio::sync::Mutex<()>,
    killed: Notify,
    ended: AtomicBool,
}

impl Instance {
    pub(crate) fn new(options: SimOptions, start_tasks: StartTasks) -> Result<Arc<Self>, String> {
        let addr = options.listen;
        let files = Files::open(options.data.clone())?;
        Ok(Arc::new(Self {
            options,
            faults: Mutex::default(),
            log: EventLog::default(),
            files,
            catalog_reads: AtomicU64::new(0),
            start_tasks,
            process: Mutex::default(),
            process_count: AtomicU64::new(0),
            addr: Mutex::new(addr),
            parked: Mutex::default(),
            switching: tokio::sync::Mutex::default(),
            killed: Notify::new(),
            ended: AtomicBool::new(false),
        }))
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        *lock(&self.addr)
    }

    pub(crate) fn process(&self) -> Option<Arc<Process>> {
        lock(&self.process).clone()
    }

    /// Starts the process, unless it is running.
    pub(crate) async fn boot(self: &Arc<Self>) -> Result<(), String> {
        let _switching = self.switching.lock().await;
        if self.process().is_some() {
            return Ok(());
        }
        if self.ended.load(Ordering::SeqCst) {
            return Err("the stand-in was stopped".to_owned());
        }
        let listener = self.listen()?;
        *lock(&self.addr) = listener.local_addr().map_err(|error| error.to_string())?;
        self.files.wipe_temp();
        let number = self.process_count.fetch_add(1, Ordering::SeqCst) + 1;
        let (hub, outbox) = Hub::new();
        let process = Arc::new(Process {
            instance: Arc::clone(self),
            number,
            token: CancellationToken::new(),
            queue: Mutex::new(PromptQueue::default()),
            work: Notify::new(),
            hub,
            interrupt: watch::Sender::new(false),
            gate: Gate::default(),
            focus: Mutex::default(),
            free_memory: AtomicBool::new(false),
            zombie: AtomicBool::new(false),
            gpu_broken: AtomicBool::new(false),
            hung: AtomicBool::new(false),
            tasks: Mutex::default(),
        });
        let tasks = (self.start_tasks)(&process, listener, outbox);
        *lock(&process.tasks) = tasks;
        *lock(&self.process) = Some(Arc::clone(&process));
        self.log.add(number, LogEvent::Up, "");
        process.apply_faults();
        Ok(())
    }

    fn listen(&self) -> Result<TcpListener, String> {
        let socket = match lock(&self.parked).take() {
            Some(socket) => socket,
            None => bound(self.addr())?,
        };
        socket.listen(1024).map_err(|error| format!("cannot listen on {}: {error}", self.addr()))
    }

    /// Kills the process, if it is running.
    pub(crate) async fn kill(&self) {
        let _switching = self.switching.lock().await;
        let Some(process) = lock(&self.process).take() else { return };
        process.token.cancel();
        let tasks = std::mem::take(&mut *lock(&process.tasks));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::warn!(%error, "task of the stand-in panicked");
            }
        }
        self.log.add(process.number, LogEvent::Killed, "");
        match bound(self.addr()) {
            Ok(socket) => *lock(&self.parked) = Some(socket),
            Err(error) => tracing::warn!(%error, "cannot reserve the port of a killed stand-in"),
        }
    }

    /// Kills the process from within and, if `down_for` is given, starts it again after that time.
    pub(crate) fn kill_soon(self: &Arc<Self>, down_for: Option<Duration>) {
        let instance = Arc::clone(self);
        tokio::spawn(async move {
            // The reply of the control route must be sent first.
            tokio::time::sleep(Duration::from_millis(20)).await;
            instance.kill().await;
            let Some(time) = down_for else {
                instance.killed.notify_one();
                return;
            };
            tokio::time::sleep(time).await;
            if let Err(error) = instance.boot().await {
                tracing::warn!(error, "stand-in did not restart");
            }
        });
    }

    /// Waits until a prompt or a control route has killed the process for good.
    pub(crate) async fn killed(&self) {
        self.killed.notified().await;
    }

    /// Ends the process and prevents a restart. Called by `Drop`.
    pub(crate) fn close(&self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(process) = lock(&self.process).take() {
            process.token.cancel();
        }
        lock(&self.parked).take();
    }

    pub(crate) fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut lock(&self.faults));
        if let Some(process) = self.process() {
            process.apply_faults();
        }
    }

    /// Whether the fault selected by `pick` strikes now.
    pub(crate) fn strikes(&self, pick: impl FnOnce(&mut Faults) -> &mut Times) -> bool {
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

/// The simulated process: everything that a kill wipes.
#[derive(Debug)]
pub(crate) struct Process {
    pub instance: Arc<Instance>,
    /// Number of the process within its instance, from 1.
    pub number: u64,
    pub token: CancellationToken,
    pub queue: Mutex<PromptQueue>,
    /// Notified when a prompt is pending.
    pub work: Notify,
    pub hub: Hub,
    /// The interrupt flag of ComfyUI.
    pub interrupt: watch::Sender<bool>,
    /// Closed while the process is frozen.
    pub gate: Gate,
    /// The client whose prompt ran last, and the current node. Sent to a reconnecting socket.
    pub focus: Mutex<(Option<String>, Option<String>)>,
    /// Whether `POST /free` asked to drop the cache when the current prompt has ended.
    pub free_memory: AtomicBool,
    pub zombie: AtomicBool,
    /// Whether the GPU context is broken: it stays so until the process ends.
    gpu_broken: AtomicBool,
    hung: AtomicBool,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Process {
    /// Whether a node that uses the GPU fails: a fault breaks it now, or did before.
    pub(crate) fn breaks_gpu(&self) -> bool {
        let breaks_now = self.instance.strikes(|faults| &mut faults.gpu_breaks);
        self.gpu_broken.fetch_or(breaks_now, Ordering::SeqCst) || breaks_now
    }

    /// Sends the queue length to all sockets. Called under the queue's lock, so that the numbers arrive in order.
    pub(crate) fn broadcast_status(&self, queue: &PromptQueue) {
        self.hub.send(None, "status", &json!({"status": queue.info()}));
    }

    pub(crate) fn freeze(self: &Arc<Self>, time: Duration) {
        self.gate.close();
        let process = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            process.gate.open();
        });
    }

    pub(crate) fn make_zombie(&self) {
        self.zombie.store(true, Ordering::SeqCst);
        // Wakes a sleeping node.
        self.work.notify_waiters();
    }

    /// Sleeps for a node. The speed divides the time, a freeze prolongs it.
    pub(crate) async fn pause(&self, seconds: f64) {
        let seconds = (seconds / self.instance.options.speed).clamp(0.0, 1e6);
        if seconds > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        self.gate.pass().await;
    }

    fn apply_faults(&self) {
        let (hang, stall) = {
            let faults = lock(&self.instance.faults);
            (faults.hang, faults.ws_stall)
        };
        if self.hung.swap(hang, Ordering::SeqCst) != hang {
            if hang { self.gate.close() } else { self.gate.open() }
        }
        self.hub.stall(stall);
    }
}
