//! Full-screen drawing: the alternate screen of the terminal while it is open, the previous content afterwards.

use super::output;
use crate::cli::error::Error;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::{fs::File, io::Read as _, sync::Arc};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

/// Alternate screen, hidden cursor, cleared.
const OPEN: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[2J";
const CLOSE: &[u8] = b"\x1b[?25h\x1b[?1049l";

/// An open screen. Dropping it closes it.
pub(crate) struct Screen {
    keys: Option<(File, Termios)>,
    stop: Arc<Notify>,
}

impl Screen {
    /// Opens the screen. Reads keys if there is a terminal to read them from.
    pub(crate) fn open() -> Result<Self, Error> {
        output::print_bytes(OPEN)?;
        let stop = Arc::new(Notify::new());
        let keys = keys().inspect(|(terminal, _)| listen(terminal, &stop));
        Ok(Self { keys, stop })
    }

    /// Draws the lines from the top, without flicker.
    pub(crate) fn draw(&mut self, lines: &[String]) -> Result<(), Error> {
        let mut text = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            // No line end after the last line: it would scroll a full screen.
            text.push_str(if at == 0 { "" } else { "\r\n" });
            text.push_str(line);
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        output::print_bytes(text.as_bytes())
    }

    /// Waits for the key `q`.
    pub(crate) async fn stop_key(&self) {
        self.stop.notified().await;
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some((terminal, before)) = &self.keys
            && let Err(error) = tcsetattr(terminal, OptionalActions::Now, before)
        {
            output::hint(&format!("cannot restore the terminal ({error}): run `stty sane`"));
        }
        let _reader_gone = output::print_bytes(CLOSE);
    }
}

/// Switches the terminal to unbuffered input without echo; returns it and its previous state.
fn keys() -> Option<(File, Termios)> {
    let terminal = File::options().read(true).open("/dev/tty").ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut raw = before.clone();
    raw.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
    tcsetattr(&terminal, OptionalActions::Flush, &raw).ok()?;
    Some((terminal, before))
}

/// Reads keys on a thread of its own: a read of a terminal cannot be cancelled and must not delay the program's exit.
fn listen(terminal: &File, stop: &Arc<Notify>) {
    let (Ok(mut terminal), stop) = (terminal.try_clone(), Arc::clone(stop)) else { return };
    std::thread::spawn(move || {
        let mut key = [0];
        while matches!(terminal.read(&mut key), Ok(1)) {
            if matches!(&key, b"q" | b"Q") {
                stop.notify_one();
            }
        }
    });
}

/// Waits for Ctrl-C or SIGTERM, so that the terminal can be restored before the exit.
pub(crate) async fn stop_signal() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _unwatched = tokio::signal::ctrl_c().await;
        }
    }
}
