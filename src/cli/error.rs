//! Errors of the client commands and their exit codes.

/// Meaning of the exit codes; part of `--help`.
///
/// 0 also if the reader of standard output has gone (`| head`). 1: a watched task failed or was cancelled. 2: an error
/// that the command itself finds, such as a param without `=`; 6: one that only the system can find, such as a param
/// that the workflow does not declare. 5: the system was away or busy for longer than `--wait-for-server`.
pub const EXIT_CODES: &str = "\
Exit codes of the commands that talk to a running system:
  0  success                        5    the system is unreachable or too busy
  1  a task did not complete        6    the system refused the request; see standard error
  2  invalid flag or input file     7    a file could not be saved or is incomplete
  3  not logged in, or not allowed  130  interrupted; submitted tasks continue
  4  task, batch, workflow, file or instance not found";

/// Error of a command; printed in one place, `run`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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

impl Error {
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
        let about = |text: String| format!("{what}: {text}");
        match self {
            Self::ReaderGone => Self::ReaderGone,
            Self::TaskFailed(text) => Self::TaskFailed(about(text)),
            Self::Usage(text) => Self::Usage(about(text)),
            Self::NotLoggedIn(text) => Self::NotLoggedIn(about(text)),
            Self::NotFound(text) => Self::NotFound(about(text)),
            Self::Unreachable(text) => Self::Unreachable(about(text)),
            Self::Refused(text) => Self::Refused(about(text)),
            Self::Local(text) => Self::Local(about(text)),
            Self::Interrupted(text) => Self::Interrupted(about(text)),
        }
    }
}

/// Returns the innermost cause: reqwest's own message only says that there was an error.
pub(crate) fn root_cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() { format!("no answer in time ({innermost})") } else { innermost.to_string() }
}
