//! One server per data folder. The lock is an open file, so it ends with its holders however they end.

use super::Error;
use rustix::process::{Pid, test_kill_process};
use std::{
    fs::{File, TryLockError},
    io::Write,
    path::Path,
};
use tokio::time::{Duration, Instant, sleep};

/// For an owner that is just being reaped.
const OWNER_GRACE: Duration = Duration::from_millis(500);
/// For the server of an owner that was killed: it holds the lock, too, and flushes before it ends.
const SERVER_GRACE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// Locks `<dir>/lock` and writes our process id into it.
pub(super) async fn acquire(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let failed = |source| Error::Io { what: format!("cannot lock {}", path.display()), source };
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        let pid = std::fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
        if is_alive(&pid) && began.elapsed() > OWNER_GRACE {
            return Err(Error::InUse { lock: path, pid });
        }
        if began.elapsed() > SERVER_GRACE {
            return Err(Error::StillEnding { lock: path });
        }
        sleep(POLL).await;
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

fn is_alive(pid: &str) -> bool {
    let process = pid.parse().ok().and_then(Pid::from_raw);
    // Somebody else's process cannot be asked, but lives.
    process.is_some_and(|process| !matches!(test_kill_process(process), Err(rustix::io::Errno::SRCH)))
        && !is_zombie(pid)
}

/// Dead, though nobody has asked how (Linux; in a container often for ever).
fn is_zombie(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, state)| state.trim_start().starts_with('Z'))
}
