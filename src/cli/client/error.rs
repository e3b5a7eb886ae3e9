//! Errors of the client commands and their exit codes.

/// Meaning of the exit codes; part of `--help`.
///
/// 0 also if the reader of standard output has gone (`| head`). 1: a watched task failed or was cancelled. 2: an error that the
/// command itself finds, such as a param without `=`; 6: one that only the system can find, such as a param that the
/// workflow does not declare. 5: the system was away or busy for longer than `--wait-for-server`.
pub const EXIT_CODES: &str = "\
Exit codes of the commands that talk to a running system:
  0  success                        5    the system is unreachable or too busy
  1  a task did not complete        6    the system refused the request; see standard error
  2  invalid flag or input file     7    a file could not be saved or is incomplete
  3  not logged in, or not allowed  130  interrupted; submitted tasks continue
  4  task, batch, workflow, file or instance not found";

/// Error of a command; printed in one place, `run`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The reader of standard output has gone. Not printed, and not a failure.
    #[error("standard output is closed")]
    ReaderGone,
    /// A task failed or was cancelled.
    #[error("{0}")]
    TaskFailed(String),
    /// Invalid arguments or input files.
    #[error("{0}")]
    Usage(String),
    /// Not logged in, or not allowed.
    #[error("{0}")]
    NotLoggedIn(String),
    /// The task, batch, workflow, file or instance does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The system does not answer, or is too busy.
    #[error("{0}")]
    Unreachable(String),
    /// The server understood the request and refused it.
    #[error("{0}")]
    Refused(String),
    /// Failure of this machine: disk, editor, terminal.
    #[error("{0}")]
    Local(String),
    /// Interrupted by Ctrl-C.
    #[error("{0}")]
    Interrupted(String),
}

impl Fault {
    /// Returns the exit code; see [`EXIT_CODES`].
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

    /// Puts the object that the error is about in front of its message.
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

/// Runs `act` for each item, also after an error. The first error becomes the result of the command.
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
