//! Stand-in for ComfyUI. It speaks HTTP and WebSocket as a real instance does, needs no model, draws real pictures, and
//! fails on request.
//!
//! The reference is a live ComfyUI 0.3.64 and its source; the tests replay recordings of it. Mode `0.38` adds features
//! of newer versions (canonical UUIDs, `/api/jobs`, cancel). Start with `routes` (all routes), `worker` and `run`
//! (execution of a prompt), `socket_hub` (WebSocket messages), `faults` (all switches) and `control` (the `/sim` routes).
//!
//! Control routes (never under `/api`): `GET|POST|DELETE /sim/faults`, `GET|DELETE /sim/log`, `POST /sim/kill
//! {"down_ms"?}`, `POST /sim/restart {"down_ms"?}`, `POST /sim/freeze {"ms"}`, `POST /sim/ws/drop`, `POST
//! /sim/files/delete {"filename"?}`, `GET /sim/state`.
//!
//! Invariants: nothing that a client sends causes a panic; memory is bounded by the limits named here; an idle instance
//! uses no CPU.

mod engine;
mod file_paths;
mod files;
mod limits;
mod lock;
mod nodes;
mod options;
mod python;
mod server;

pub use engine::event_log::{LogEntry, LogEvent};
pub use options::{Caching, Mode, SimOptions, SimSettings};
pub use server::faults::{Faults, Times};

use engine::{
    process::{Instance, Process},
    worker,
};
use lock::lock;
use server::{broadcast, listener, socket_hub::Outgoing};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A running stand-in. Dropping it stops it.
#[derive(Debug)]
pub struct Sim {
    instance: Arc<Instance>,
}

/// Starts a stand-in. It is listening when this returns.
pub async fn start(options: SimOptions) -> Result<Sim, String> {
    let instance = Instance::new(options, start_tasks)?;
    instance.boot().await?;
    Ok(Sim { instance })
}

/// Starts the tasks of a process. They end when it is killed.
fn start_tasks(
    process: &Arc<Process>,
    listener: TcpListener,
    messages: mpsc::UnboundedReceiver<Outgoing>,
) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(listener::accept(Arc::clone(process), listener)),
        tokio::spawn(worker::work(Arc::clone(process))),
        tokio::spawn(broadcast::publish(Arc::clone(process), messages)),
    ]
}

/// Runs a stand-in until `stop`, or until a prompt or a control route kills it for good.
pub async fn run(settings: SimSettings, stop: CancellationToken) -> Result<(), String> {
    let sim = start(settings.into()).await?;
    tracing::info!(address = %sim.addr(), "stand-in ComfyUI is listening");
    tokio::select! {
        () = stop.cancelled() => {}
        () = sim.instance.killed() => return Err(format!("the stand-in on {} was killed", sim.addr())),
    }
    sim.stop().await;
    Ok(())
}

impl Sim {
    /// Returns the address it listens on, also while it is killed.
    pub fn addr(&self) -> SocketAddr {
        self.instance.addr()
    }

    /// Returns its base URL, e.g. `http://127.0.0.1:8188`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Kills the simulated process: sockets end without a close frame (1006), then connections are refused. The port
    /// stays reserved.
    pub async fn kill(&self) {
        self.instance.kill().await;
    }

    /// Starts it again on the same port, after killing it if necessary: empty queue and history, counter 0. Inputs and
    /// outputs are kept, temp files are not.
    pub async fn restart(&self) -> Result<(), String> {
        self.instance.kill().await;
        self.instance.boot().await
    }

    /// Returns true if the simulated process is running.
    pub fn is_up(&self) -> bool {
        self.instance.process().is_some()
    }

    /// Changes switches: `sim.set(|faults| faults.view_404 = Times::Next(1))`.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.instance.set_faults(change);
    }

    /// Returns the current switches, with counters as they are now.
    pub fn faults(&self) -> Faults {
        lock(&self.instance.faults).clone()
    }

    /// Returns how often `/object_info` was read.
    pub fn catalog_reads(&self) -> u64 {
        self.instance.catalog_reads.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Freezes everything for `time`: HTTP, WebSocket, execution.
    pub fn freeze(&self, time: Duration) {
        if let Some(process) = self.instance.process() {
            process.freeze(time);
        }
    }

    /// Drops all WebSockets without a close frame.
    pub fn drop_sockets(&self) {
        if let Some(process) = self.instance.process() {
            process.hub.cut_all();
        }
    }

    /// Ends the worker as a `SystemExit` does: prompts are accepted but never run until a restart.
    pub fn make_zombie(&self) {
        if let Some(process) = self.instance.process() {
            process.make_zombie();
        }
    }

    /// Deletes output and temp files (one by name, or all), so that `/view` answers 404. Returns the number of deleted
    /// files.
    pub fn delete_outputs(&self, filename: Option<&str>) -> usize {
        self.instance.files.delete_outputs(filename)
    }

    /// Deletes uploaded files, as a cleanup of the input folder does. Returns the number of deleted files.
    pub fn delete_inputs(&self) -> usize {
        self.instance.files.delete_inputs()
    }

    /// Returns the events so far.
    pub fn log(&self) -> Vec<LogEntry> {
        self.instance.log.all()
    }

    /// Returns how often the worker started this prompt. More than once is a bug of the dispatcher.
    pub fn executions(&self, prompt_id: &str) -> usize {
        self.log().iter().filter(|entry| entry.event == LogEvent::Started && entry.prompt_id == prompt_id).count()
    }

    /// Returns the number of open WebSockets.
    pub fn sockets(&self) -> usize {
        self.instance.process().map_or(0, |process| process.hub.count())
    }

    /// Stops it for good.
    pub async fn stop(self) {
        self.instance.kill().await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.instance.close();
    }
}
