//! Questions at the terminal: a hidden password, a confirmation, an editor.

use super::output;
use crate::cli::error::Error;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
};
use tokio::signal::unix::{SignalKind, signal};

/// Asks for a password at the terminal, even if standard input is redirected. The input is not shown.
pub(crate) async fn password(question: &str) -> Result<String, Error> {
    let no_terminal =
        |_| Error::Usage("no terminal to ask for a password: use --password-stdin or SHUZHIREN_PASSWORD".to_owned());
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    let question = format!("{question}: ");
    // Registered before the input is hidden, so that Ctrl-C cannot leave the shell's terminal without echo.
    let mut interrupts =
        signal(SignalKind::interrupt()).map_err(|error| Error::Local(format!("cannot handle Ctrl-C: {error}")))?;
    let echo_off = EchoOff::new(&terminal)?;
    let asked = tokio::select! {
        line = read_line(&terminal, question) => line,
        _ = interrupts.recv() => Err(Error::Interrupted("interrupted".to_owned())),
    };
    drop(echo_off);
    let _unread = writeln!(&terminal);
    asked
}

/// Asks for a confirmation; only `y` and `yes` confirm.
pub(crate) async fn confirm(question: &str) -> Result<bool, Error> {
    let no_terminal = |_| Error::Usage("no terminal to ask for a confirmation: use --yes".to_owned());
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    let answer = read_line(&terminal, format!("{question} [y/N] ")).await?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

/// Reads a line on a thread of its own: a read of a terminal cannot be cancelled and must not delay the program's exit.
async fn read_line(terminal: &File, question: String) -> Result<String, Error> {
    let failed = |error: std::io::Error| Error::Local(format!("cannot ask at the terminal: {error}"));
    let mut terminal = terminal.try_clone().map_err(failed)?;
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let asked = terminal.write_all(question.as_bytes());
        let read = asked.and_then(|()| BufReader::new(terminal).read_line(&mut line));
        let _receiver_gone = answer.send(read.map(|_| line));
    });
    let line = answered.await.map_err(|_| Error::Local("cannot ask at the terminal".to_owned()))?;
    Ok(line.map_err(failed)?.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal without echo; dropping it restores the terminal.
struct EchoOff<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> EchoOff<'a> {
    fn new(terminal: &'a File) -> Result<Self, Error> {
        let failed = |error| Error::Local(format!("cannot turn off the terminal's echo: {error}"));
        let before = tcgetattr(terminal).map_err(failed)?;
        let mut mute = before.clone();
        mute.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &mute).map_err(failed)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for EchoOff<'_> {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(self.terminal, OptionalActions::Now, &self.before) {
            output::hint(&format!("cannot restore the terminal's echo ({error}): run `stty echo`"));
        }
    }
}

/// Opens a file in `$VISUAL`, `$EDITOR` or vi and waits for the editor. As in shells, the variable may contain options.
pub(crate) async fn edit(path: &Path) -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = variable("VISUAL").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let mut command = tokio::process::Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$@\"")).arg("sh").arg(path);
    match command.status().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Local(format!("`{editor}` failed ({status}): nothing was changed"))),
        Err(error) => Err(Error::Local(format!("cannot run `{editor}`: {error}"))),
    }
}
