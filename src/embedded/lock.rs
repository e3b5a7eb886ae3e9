//! Lock of a data folder, which allows a single server. It is an open file, so it is released when its holders exit,
//! however they exit.

use super::Error;
use rustix::process::{Pid, test_kill_process};
use std::{
    fs::{File, TryLockError},
    io::Write,
    path::Path,
};
use tokio::time::{Duration, Instant, sleep};

/// Time for an exiting owner to be reaped.
const OWNER_GRACE: Duration = Duration::from_millis(500);
/// Time for the server of a killed owner to exit: it holds the lock too, and flushes its data first.
const SERVER_GRACE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// Locks `<dir>/lock` and writes our process id into it.
pub(super) async fn acquire(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let failed = |source| Error::Io { what: format!("cannot lock {}", path.display()), source };
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        let pid = std::fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
        if is_alive(&pid) && started.elapsed() > OWNER_GRACE {
            return Err(Error::InUse { lock: path, pid });
        }
        if started.elapsed() > SERVER_GRACE {
            return Err(Error::StillEnding { lock: path });
        }
        sleep(POLL).await;
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

fn is_alive(pid: &str) -> bool {
    let process = pid.parse().ok().and_then(Pid::from_raw);
    // A process of another user cannot be signalled, but is alive.
    process.is_some_and(|process| !matches!(test_kill_process(process), Err(rustix::io::Errno::SRCH)))
        && !is_zombie(pid)
}

/// Whether a process has exited but was not reaped (Linux; in a container this can last forever).
fn is_zombie(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, state)| state.trim_start().starts_with('Z'))
}
