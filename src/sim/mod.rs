//! The stand-in ComfyUI: an instance that speaks HTTP and WebSocket as a real one does, needs no model, draws real pictures,
//! and breaks on command.
//!
//! Ground truth is a live ComfyUI 0.3.64 and its source; the tests replay recordings of it. Mode `0.38` adds what newer ones
//! have (canonical UUIDs, `/api/jobs`, cancel). Where to look: `routes` (who answers what), `worker` and `run` (one prompt's
//! life), `hub` (who hears what), `faults` (every switch), `control` (the `/sim` routes).
//!
//! Control routes (never under `/api`): `GET|POST|DELETE /sim/faults`, `GET|DELETE /sim/log`, `POST /sim/kill {"down_ms"?}`,
//! `POST /sim/restart {"down_ms"?}`, `POST /sim/freeze {"ms"}`, `POST /sim/ws/drop`, `POST /sim/files/delete {"filename"?}`,
//! `GET /sim/state`.
//!
//! Invariants: nothing a client sends panics; memory is bounded by the named limits here; an idle instance does nothing.

mod engine;
mod files;
mod nodes;
mod options;
mod python;
mod server;

pub use engine::event_log::{Happened, LogEntry};
pub use options::{Caching, Mode, SimOptions, SimSettings};
pub use server::faults::{Faults, Times};

use engine::incarnation::Shared;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Pending prompts; beyond it `POST /prompt` is a 500. The real server has no limit.
const PENDING_MAX: usize = 100_000;
/// Entries of the history, as the real server's MAXIMUM_HISTORY_SIZE: the 10,002nd makes the oldest go.
const HISTORY_MAX: usize = 10_000;
/// Bytes of the history's entries.
const HISTORY_BYTES_MAX: usize = 256 << 20;
/// Bytes of all files; beyond it the oldest go and `/view` answers 404.
const FILE_BYTES_MAX: usize = 512 << 20;
/// Bytes of messages that wait for a stalled socket; beyond it messages are lost.
const BACKLOG_BYTES_MAX: usize = 128 << 20;
/// Open connections; beyond it a new one is closed at once.
const CONNECTIONS_MAX: usize = 4_096;
/// Pixels of all pictures of one batch; beyond it the node is out of memory.
const PIXELS_MAX: u64 = 400_000_000;

/// One instance. Dropping it stops it.
#[derive(Debug)]
pub struct Sim {
    shared: Arc<Shared>,
}

/// Starts one; it listens when this returns.
pub async fn start(options: SimOptions) -> Result<Sim, String> {
    let shared = Shared::new(options)?;
    shared.up().await?;
    Ok(Sim { shared })
}

/// Runs one until `stop`, or until a prompt or a control route kills it for good.
pub async fn run(settings: SimSettings, stop: CancellationToken) -> Result<(), String> {
    let sim = start(settings.into()).await?;
    tracing::info!(address = %sim.addr(), "stand-in comfyui listens");
    tokio::select! {
        () = stop.cancelled() => {}
        () = sim.shared.gone() => return Err(format!("the stand-in on {} was killed", sim.addr())),
    }
    sim.stop().await;
    Ok(())
}

impl Sim {
    /// Where it listens (or did, while it is killed).
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr()
    }

    /// `http://127.0.0.1:8188`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Kills the process: sockets end without a close frame (1006), then connections are refused. The port stays reserved.
    pub async fn kill(&self) {
        self.shared.down().await;
    }

    /// Starts it again on the same port after [`Sim::kill`] (kills it first if need be): empty queue and history, counter 0.
    /// Inputs and outputs are still there, temp files are not.
    pub async fn restart(&self) -> Result<(), String> {
        self.shared.down().await;
        self.shared.up().await
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.shared.life().is_some()
    }

    /// Sets switches: `sim.set(|faults| faults.view_404 = Times::Next(1))`.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.set_faults(change);
    }

    /// The switches as they are now, counters counted down.
    pub fn faults(&self) -> Faults {
        lock(&self.shared.faults).clone()
    }

    /// Everything stands still for so long: HTTP, WebSocket, work.
    pub fn freeze(&self, time: Duration) {
        if let Some(life) = self.shared.life() {
            life.freeze(time);
        }
    }

    /// Cuts all WebSockets without a close frame.
    pub fn drop_sockets(&self) {
        if let Some(life) = self.shared.life() {
            life.hub.cut_all();
        }
    }

    /// Kills the worker as a `SystemExit` does: prompts are accepted and never run, until a restart.
    pub fn make_zombie(&self) {
        if let Some(life) = self.shared.life() {
            life.make_zombie();
        }
    }

    /// Deletes output and temp files (one by its name, or all): `/view` answers 404. Gives how many.
    pub fn delete_outputs(&self, filename: Option<&str>) -> usize {
        self.shared.files.delete_outputs(filename)
    }

    /// Deletes uploaded files, as somebody who tidies the input folder does. Gives how many.
    pub fn delete_inputs(&self) -> usize {
        self.shared.files.delete_inputs()
    }

    /// What happened so far.
    pub fn log(&self) -> Vec<LogEntry> {
        self.shared.record.all()
    }

    /// How often the worker began this prompt: more than once is what must not be.
    pub fn executions(&self, prompt_id: &str) -> usize {
        self.log().iter().filter(|entry| entry.event == Happened::Started && entry.prompt_id == prompt_id).count()
    }

    /// Open WebSockets.
    pub fn sockets(&self) -> usize {
        self.shared.life().map_or(0, |life| life.hub.count())
    }

    /// Ends it for good.
    pub async fn stop(self) {
        self.shared.down().await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// Locks, also after a panic elsewhere: a test tool goes on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
