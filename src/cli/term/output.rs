//! Standard output (results) and standard error (hints and waiting).
//!
//! Invariant: text from a server reaches a terminal only without control characters ([`sanitize`]).

use crate::{cli::error::Error, text::is_invisible};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
};

/// Prints a line on standard output.
///
/// # Errors
/// [`Error::ReaderGone`] if the reader has gone (`| head`).
pub(crate) fn print_line(line: &str) -> Result<(), Error> {
    write(line.as_bytes(), true)
}

/// Builds a line of `--json` from a REST answer: `{"type":…,"data":…}`, with the data as the server wrote it.
pub(crate) fn json_line(kind: &str, data: &RawValue) -> String {
    format!("{{\"type\":\"{kind}\",\"data\":{}}}", data.get())
}

/// Prints a line of `--json`; see [`json_line`].
pub(crate) fn print_json_line(kind: &str, data: &RawValue) -> Result<(), Error> {
    print_line(&json_line(kind, data))
}

/// Writes bytes to standard output.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Error> {
    write(bytes, false)
}

fn write(bytes: &[u8], is_line: bool) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| if is_line { stdout.write_all(b"\n") } else { Ok(()) });
    match written.and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Error::ReaderGone),
        Err(error) => Err(Error::Local(format!("cannot write to standard output: {error}"))),
    }
}

/// Prints a line on standard error. Errors are ignored.
pub(crate) fn hint(line: &str) {
    let _unread = writeln!(io::stderr(), "{line}");
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether progress bars can be shown: standard error is a terminal that can be drawn on.
pub(crate) fn can_draw_bars() -> bool {
    io::stderr().is_terminal() && is_drawable()
}

/// Whether standard output is a terminal that can be drawn on.
pub(crate) fn can_draw() -> bool {
    is_terminal() && is_drawable()
}

fn is_drawable() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Returns the columns of the terminal at standard output, if it is one.
pub(crate) fn columns() -> Option<usize> {
    size().map(|(columns, _)| columns)
}

/// Returns the columns and lines of the terminal at standard output, if it is one.
pub(crate) fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// Replaces control characters by spaces: a file name must not move the cursor or rename the window.
pub(crate) fn sanitize(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|letter| if is_control(letter) { ' ' } else { letter }).collect())
}

/// Whether a character controls the terminal, reorders the text around it (bidirectional overrides), or is not seen.
pub(crate) fn is_control(letter: char) -> bool {
    letter.is_control() || is_invisible(letter)
}

/// Color of a text on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    Plain,
    Faint,
    Good,
    Busy,
    Bad,
}

impl Color {
    /// Returns the color of a task's status or an instance's phase.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "completed" | "up" => Self::Good,
            "running" | "draining" | "suspect" => Self::Busy,
            "failed" | "down" | "quarantined" => Self::Bad,
            "cancelled" => Self::Faint,
            _ => Self::Plain,
        }
    }

    /// Returns the text in this color if `is_on`, else unchanged.
    pub(crate) fn paint(self, text: &str, is_on: bool) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Faint => 2,
            Self::Good => 32,
            Self::Busy => 33,
            Self::Bad => 31,
        };
        if is_on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether standard output may have colors (<https://no-color.org>).
pub(crate) fn has_colors() -> bool {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    can_draw() && !is_refused
}

#[cfg(test)]
mod tests {
    use super::sanitize;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(sanitize("图 1.png"), "图 1.png");
        assert_eq!(sanitize("a\x1b]0;owned\x07b\u{9b}2J\u{202e}c\nd"), "a ]0;owned b 2J c d");
    }
}
