//! The server's process: started, watched, started again, stopped.
//!
//! A thread of its own does it, because Linux sends the parent-death signal when the *thread* that started the child ends; a
//! thread of the runtime may end at any time.

use super::Error;
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

/// Lines of the server's log kept for an error message.
const TAIL_LINES: usize = 12;
/// Between the server's death and its next start, doubled up to the longest.
const RESTART_PAUSE: Duration = Duration::from_millis(250);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) server: PathBuf,
    /// For its standard input.
    pub(super) config: String,
    /// Inherited by the server, so that the lock is held as long as it lives.
    pub(super) lock: File,
}

/// The handle to the thread.
#[derive(Debug)]
pub(super) struct Keeper {
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
    /// Set exactly while the process exists and has not been reaped: safe to signal.
    pid: Option<Pid>,
    /// How it ended, while nobody has asked for a restart.
    death: Option<String>,
    restart: bool,
    stop: bool,
}

impl Keeper {
    pub(super) fn start(plan: Plan) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let (end, ended) = watch::channel(false);
        let of_thread = shared.clone();
        let spawned = thread::Builder::new().name("redis".to_owned()).spawn(move || {
            keep(&plan, &of_thread);
            // Nobody waits when the handle is gone.
            end.send_replace(true);
        });
        spawned.map_err(|source| Error::Io { what: "cannot start a thread".to_owned(), source })?;
        Ok(Self { shared, ended })
    }

    /// How the first start failed.
    pub(super) fn death(&self) -> Option<String> {
        self.shared.state().death.clone()
    }

    /// From now on a death is mended, not reported.
    pub(super) fn restart_when_it_dies(&self) {
        self.shared.state().restart = true;
    }

    pub(super) fn tail(&self) -> Vec<String> {
        self.shared.tail().iter().cloned().collect()
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.shared.state().pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Gives whether it ended by itself within `patience`.
    pub(super) async fn stop(mut self, patience: Duration) -> bool {
        self.shared.stop_with(Signal::TERM);
        let in_time = tokio::time::timeout(patience, self.ended.wait_for(|ended| *ended)).await.is_ok();
        if !in_time {
            self.shared.stop_with(Signal::KILL);
            // A killed process ends; an error would mean that the thread is gone, which is as good.
            let _ended = self.ended.wait_for(|ended| *ended).await;
        }
        in_time
    }
}

impl Drop for Keeper {
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

    fn note(&self, line: String) {
        tracing::debug!(target: "shuzhiren::embedded::redis", "{line}");
        let mut tail = self.tail();
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

fn keep(plan: &Plan, shared: &Arc<Shared>) {
    let mut pause = RESTART_PAUSE;
    loop {
        let began = std::time::Instant::now();
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
        if began.elapsed() > RESTART_PAUSE_MAX {
            pause = RESTART_PAUSE;
        }
        let tail = shared.tail().iter().cloned().collect::<Vec<_>>().join(" | ");
        tracing::error!(status = %death, tail, "embedded redis died; starting it again in {pause:?}");
        thread::sleep(pause);
        if shared.state().stop {
            return;
        }
        pause = (pause * 2).min(RESTART_PAUSE_MAX);
    }
}

/// One life of the server.
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
        // It may be dead already; its status says more than a broken pipe.
        let _written = stdin.write_all(plan.config.as_bytes());
    }
    // Not reaped yet: until `pid` is cleared, a signal to it reaches it and nobody else.
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
                shared.note(line);
            }
        }
    })
}

fn spawn(plan: &Plan) -> io::Result<Child> {
    let mut command = Command::new(&plan.server);
    command.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C in the terminal is for us; we stop the server last.
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
    // The parent may have died before the line above; then nobody would ever signal us.
    let is_orphan = rustix::process::getppid().is_none_or(|pid| pid.as_raw_nonzero().get().unsigned_abs() != parent);
    if is_orphan { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: u32) -> io::Result<()> {
    Ok(())
}
