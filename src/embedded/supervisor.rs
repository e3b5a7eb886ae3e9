//! Supervises the server process: starts it, restarts it when it dies, stops it.
//!
//! This runs on a thread of its own, because Linux sends the parent-death signal when the *thread* that started the
//! child exits, and a thread of the runtime may exit at any time.

use super::Error;
use crate::backoff::Backoff;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use tokio::sync::watch;

/// Lines of the server's output kept for error messages.
const TAIL_LINES: usize = 12;
/// Delay of a restart after the server died, doubled each time up to the maximum.
const RESTART_PAUSE: Duration = Duration::from_millis(250);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The command to supervise.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) server: PathBuf,
    /// Configuration, for its standard input.
    pub(super) config: String,
    /// Lock file. The server inherits it, so that the lock is held while the server is running.
    pub(super) lock: File,
}

/// Handle of the supervising thread.
#[derive(Debug)]
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    tail: Mutex<VecDeque<String>>,
}

#[derive(Debug, Default)]
struct State {
    /// Set exactly while the process exists and has not been reaped, so that signalling it is safe.
    pid: Option<Pid>,
    /// Exit status of a server that is not to be restarted.
    death: Option<String>,
    restart: bool,
    stop: bool,
}

impl Supervisor {
    pub(super) fn start(plan: Plan) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let (end, ended) = watch::channel(false);
        let thread_shared = shared.clone();
        let spawned = thread::Builder::new().name("redis".to_owned()).spawn(move || {
            supervise(&plan, &thread_shared);
            // There is no receiver if the handle was dropped.
            end.send_replace(true);
        });
        spawned.map_err(|source| Error::Io { what: "cannot start a thread".to_owned(), source })?;
        Ok(Self { shared, ended })
    }

    /// Returns the exit status if the first start failed.
    pub(super) fn death(&self) -> Option<String> {
        self.shared.state().death.clone()
    }

    /// Makes the thread restart the server when it dies, instead of reporting it.
    pub(super) fn restart_when_it_dies(&self) {
        self.shared.state().restart = true;
    }

    pub(super) fn tail(&self) -> Vec<String> {
        self.shared.tail().iter().cloned().collect()
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.shared.state().pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Stops the server. Returns true if it exited within `grace`; otherwise it was killed.
    pub(super) async fn stop(mut self, grace: Duration) -> bool {
        self.shared.stop_with(Signal::TERM);
        let in_time = tokio::time::timeout(grace, self.ended.wait_for(|ended| *ended)).await.is_ok();
        if !in_time {
            self.shared.stop_with(Signal::KILL);
            // A killed process exits; an error would mean that the thread has ended, which is equivalent.
            let _ended = self.ended.wait_for(|ended| *ended).await;
        }
        in_time
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.shared.stop_with(Signal::TERM);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_with(&self, signal: Signal) {
        let mut state = self.state();
        state.stop = true;
        if let Some(pid) = state.pid
            && let Err(error) = kill_process(pid, signal)
        {
            tracing::warn!(%error, "cannot signal the embedded redis");
        }
    }

    fn push_line(&self, line: String) {
        tracing::debug!(target: "shuzhiren::embedded::redis", "{line}");
        let mut tail = self.tail();
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

fn supervise(plan: &Plan, shared: &Arc<Shared>) {
    let mut pauses = Backoff::new(RESTART_PAUSE, RESTART_PAUSE_MAX);
    loop {
        let started = std::time::Instant::now();
        let death = match run(plan, shared) {
            Ok(status) => status,
            Err(error) => format!("cannot run {}: {error}", plan.server.display()),
        };
        {
            let mut state = shared.state();
            if state.stop {
                return;
            }
            if !state.restart {
                state.death = Some(death);
                return;
            }
        }
        if started.elapsed() > RESTART_PAUSE_MAX {
            pauses.reset();
        }
        let pause = pauses.next_pause();
        let tail = shared.tail().iter().cloned().collect::<Vec<_>>().join(" | ");
        tracing::error!(status = %death, tail, "embedded redis died; restarting in {pause:?}");
        thread::sleep(pause);
        if shared.state().stop {
            return;
        }
    }
}

/// Runs the server until it exits, and returns its exit status.
fn run(plan: &Plan, shared: &Arc<Shared>) -> io::Result<String> {
    let mut child = spawn(plan)?;
    let readers = [child.stdout.take().map(boxed), child.stderr.take().map(boxed)];
    let readers = readers.into_iter().flatten().map(|output| read_lines(output, shared.clone())).collect::<Vec<_>>();
    let pid = Pid::from_child(&child);
    let stopped_before = {
        let mut state = shared.state();
        state.pid = Some(pid);
        state.stop
    };
    if stopped_before {
        shared.stop_with(Signal::TERM);
    }
    if let Some(mut stdin) = child.stdin.take() {
        // It may have exited already; its status says more than a broken pipe.
        let _written = stdin.write_all(plan.config.as_bytes());
    }
    // Waits without reaping: until `pid` is cleared, the id cannot be reused by another process.
    while let Err(error) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        if error != rustix::io::Errno::INTR {
            return Err(error.into());
        }
    }
    shared.state().pid = None;
    let status = child.wait()?;
    for reader in readers {
        // A reader ends with the server's output; it does not panic.
        let _ended = reader.join();
    }
    Ok(status.to_string())
}

fn boxed(output: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(output)
}

fn read_lines(output: Box<dyn Read + Send>, shared: Arc<Shared>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if !line.is_empty() {
                shared.push_line(line);
            }
        }
    })
}

fn spawn(plan: &Plan) -> io::Result<Child> {
    let mut command = Command::new(&plan.server);
    command.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A process group of its own, so that Ctrl-C in the terminal reaches only us; we stop the server last.
    command.process_group(0);
    let lock = plan.lock.try_clone()?;
    let parent = std::process::id();
    #[allow(unsafe_code, reason = "between fork and exec only system calls are made: nothing is allocated or locked")]
    // SAFETY: as the reason says; `lock` is an open file that the closure owns.
    unsafe {
        command.pre_exec(move || {
            rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty())?;
            die_with_parent(parent)
        });
    }
    command.spawn()
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    // The parent may have died before the line above; then no signal would ever come.
    let is_orphan = rustix::process::getppid().is_none_or(|pid| pid.as_raw_nonzero().get().unsigned_abs() != parent);
    if is_orphan { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: u32) -> io::Result<()> {
    Ok(())
}
