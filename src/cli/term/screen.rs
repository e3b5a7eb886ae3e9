//! The terminal as a screen: another buffer while it is open, what was there before when it is closed.

use super::output;
use crate::cli::client::error::Fault;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::{fs::File, io::Read as _, sync::Arc};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

/// Another buffer, no cursor.
const OPEN: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[2J";
const CLOSE: &[u8] = b"\x1b[?25h\x1b[?1049l";

/// An open screen. Dropping it closes it.
pub(crate) struct Screen {
    keys: Option<(File, Termios)>,
    stop: Arc<Notify>,
    is_stopped: bool,
}

impl Screen {
    /// Opens it. Keys are heard if there is a terminal to hear them from.
    pub(crate) fn open() -> Result<Self, Fault> {
        output::pour(OPEN)?;
        let stop = Arc::new(Notify::new());
        let keys = keys().inspect(|(terminal, _)| listen(terminal, &stop));
        Ok(Self { keys, stop, is_stopped: false })
    }

    /// Draws the lines from the top, without a flicker.
    pub(crate) fn draw(&mut self, lines: &[String]) -> Result<(), Fault> {
        let mut text = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            // Without a line end after the last one: it would scroll a full screen.
            text.push_str(if at == 0 { "" } else { "\r\n" });
            text.push_str(line);
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        output::pour(text.as_bytes())
    }

    /// Waits for `q`.
    pub(crate) async fn stop_key(&mut self) {
        self.stop.notified().await;
        self.is_stopped = true;
    }

    /// Whether `q` was heard.
    pub(crate) const fn is_told_to_stop(&self) -> bool {
        self.is_stopped
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some((terminal, before)) = &self.keys
            && let Err(error) = tcsetattr(terminal, OptionalActions::Now, before)
        {
            output::hint(&format!("the terminal may not be as it was ({error}): stty sane"));
        }
        let _nobody_looks = output::pour(CLOSE);
    }
}

/// Keys one by one, not shown.
fn keys() -> Option<(File, Termios)> {
    let terminal = File::options().read(true).open("/dev/tty").ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut raw = before.clone();
    raw.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
    tcsetattr(&terminal, OptionalActions::Flush, &raw).ok()?;
    Some((terminal, before))
}

/// On a thread of its own: a read of a terminal cannot be taken back, and must not hold up the end of the program.
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

/// Ctrl-C or SIGTERM: the terminal must be given back before the end.
pub(crate) async fn told_to_stop() {
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
