//! Standard error for log lines: a line that cannot be written is lost and counted.

use crate::metrics;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::AsFd,
};
use std::{
    io::{self, StderrLock, Write},
    sync::atomic::{AtomicBool, Ordering},
};

/// Longest wait for a reader that is behind. Once a line was lost, the next ones do not wait, until one is taken.
const READER_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Bytes of one write: a pipe that is ready takes them without blocking (PIPE_BUF of Linux).
const PIECE_BYTES: usize = 4_096;

/// Whether the last line was lost.
static IS_LOSING: AtomicBool = AtomicBool::new(false);

/// Writer of one log line. Writing never fails.
pub(super) struct LossyStderr;

impl Write for LossyStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = write_line(&mut io::stderr().lock(), line);
        IS_LOSING.store(written.is_err(), Ordering::Relaxed);
        if written.is_err() {
            metrics::log_line_lost();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Standard error is not buffered.
        Ok(())
    }
}

fn write_line(stderr: &mut StderrLock<'_>, line: &[u8]) -> io::Result<()> {
    for piece in line.chunks(PIECE_BYTES) {
        wait_ready(stderr)?;
        stderr.write_all(piece)?;
    }
    Ok(())
}

/// Waits until a write does not block. A stopped reader of a pipe or a terminal must not stop the threads that log.
fn wait_ready(stderr: &StderrLock<'_>) -> io::Result<()> {
    let wait = if IS_LOSING.load(Ordering::Relaxed) { Timespec::default() } else { READER_WAIT };
    let mut descriptors = [PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::OUT)];
    match poll(&mut descriptors, Some(&wait)) {
        // Nothing is known about readiness: the write decides.
        Err(_) => Ok(()),
        Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(_) => Ok(()),
    }
}
