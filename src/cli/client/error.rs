//! How a command ends when it does not do what was asked: in words, and as an exit code.

/// What exit codes mean; part of `--help`.
///
/// 0 is also what a command ends with whose reader has gone away (`| head`); 1 a task that failed or was cancelled while it was
/// watched; 2 what is seen to be wrong here, as a param without `=`, where 6 is what only the system knows, as a param that the
/// workflow does not take; 5 a system that was away or busy for longer than `--wait-for-server`.
pub const EXIT_CODES: &str = "\
Exit codes of the commands that talk to a running system:
  0  done                           5    the system is away or too busy
  1  a task did not complete        6    it refused, e.g. a param; standard error says why
  2  a flag or file cannot be used  7    a file was not saved, or is not whole
  3  not logged in, or not allowed  130  interrupted; what was submitted goes on
  4  no such task, batch, workflow, file or instance";

/// Why a command ends without having done what was asked. Each is told in one place, `run`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Nobody reads standard output any more. Not told, and no failure.
    #[error("nobody reads standard output")]
    ReaderGone,
    /// The task did not end well, and that was told where it was seen.
    #[error("{0}")]
    TaskFailed(String),
    /// What was typed cannot be used.
    #[error("{0}")]
    Usage(String),
    /// Log in first.
    #[error("{0}")]
    NotLoggedIn(String),
    /// It is not there.
    #[error("{0}")]
    NotFound(String),
    /// Nobody answers, or only to come back later.
    #[error("{0}")]
    Unreachable(String),
    /// The server understood, and does not do it.
    #[error("{0}")]
    Refused(String),
    /// This machine: disks, editors, terminals.
    #[error("{0}")]
    Local(String),
    /// Ctrl-C.
    #[error("{0}")]
    Interrupted(String),
}

impl Fault {
    /// The exit code, as [`EXIT_CODES`] says.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::TaskFailed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotLoggedIn(_) => 3,
            Self::NotFound(_) => 4,
            Self::Unreachable(_) => 5,
            Self::Refused(_) => 6,
            Self::Local(_) => 7,
            Self::Interrupted(_) => 130,
        }
    }

    /// With more in front of what went wrong.
    pub(crate) fn about(self, what: &str) -> Self {
        let told = |text: String| format!("{what}: {text}");
        match self {
            Self::ReaderGone => Self::ReaderGone,
            Self::TaskFailed(text) => Self::TaskFailed(told(text)),
            Self::Usage(text) => Self::Usage(told(text)),
            Self::NotLoggedIn(text) => Self::NotLoggedIn(told(text)),
            Self::NotFound(text) => Self::NotFound(told(text)),
            Self::Unreachable(text) => Self::Unreachable(told(text)),
            Self::Refused(text) => Self::Refused(told(text)),
            Self::Local(text) => Self::Local(told(text)),
            Self::Interrupted(text) => Self::Interrupted(told(text)),
        }
    }
}

/// Does each of several things; the first fault decides how the command ends, and hinders none of the others.
pub(crate) async fn each<T>(things: &[T], act: impl AsyncFn(&T) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut first = None;
    for thing in things {
        match act(thing).await {
            Ok(()) => {}
            Err(Fault::ReaderGone) => return Err(Fault::ReaderGone),
            Err(fault) if first.is_none() => first = Some(fault),
            Err(fault) => crate::cli::term::output::hint(&format!("error: {fault}")),
        }
    }
    first.map_or(Ok(()), Err)
}
