//! Errors of the embedded Redis, with advice for the operator.

use super::find_server::OLDEST;
use std::{fmt, io, path::PathBuf, time::Duration};

/// Reasons why the server is not running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server program was found.
    #[error(
        "no Redis was configured and no redis-server or valkey-server was found (looked for: {})\n  do one of:\n    \
         apt-get install -y redis-server      (Debian, Ubuntu)\n    brew install redis                   (macOS)\n    \
         set REDIS_URL=redis://host:6379      to use a running one\n    set REDIS_SERVER=/path/to/redis-server",
        looked.join(", ")
    )]
    NotFound {
        /// The places searched.
        looked: Vec<String>,
    },
    /// The program lacks features that the scripts need.
    #[error(
        "{} is version {found}; {}.{} or newer is needed. Install a newer one and set REDIS_SERVER=/path/to/it, or set REDIS_URL",
        path.display(), OLDEST.0, OLDEST.1
    )]
    TooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// Another process uses this folder.
    #[error(
        "another process (pid {pid}) already runs the embedded Redis of this data directory ({}). Stop it, use another \
         --data-dir, or set REDIS_URL to share one Redis",
        lock.display()
    )]
    InUse {
        /// The lock file.
        lock: PathBuf,
        /// Process id in the lock file.
        pid: String,
    },
    /// The previous owner has exited, but its server has not.
    #[error(
        "the Redis of an earlier run still holds this data directory ({}). Wait for it to exit, or stop it: redis-cli -u \
         \"$(cat {})\" SHUTDOWN",
        lock.display(), lock.with_file_name("url").display()
    )]
    StillEnding {
        /// The lock file.
        lock: PathBuf,
    },
    /// The server exited at start.
    #[error("the embedded Redis exited at start ({status}). Its last lines:{}{}", Lines(tail), repair(tail))]
    Died {
        /// Exit status.
        status: String,
        /// Last lines of its output.
        tail: Vec<String>,
    },
    /// The server is running but does not answer.
    #[error("the embedded Redis did not answer within {after:?}. Its last lines:{}", Lines(tail))]
    NotReady {
        /// The time limit.
        after: Duration,
        /// Last lines of its output.
        tail: Vec<String>,
    },
    /// A file or process could not be created.
    #[error("{what}: {source}")]
    Io {
        /// The failed operation.
        what: String,
        /// The cause.
        source: io::Error,
    },
}

struct Lines<'a>(&'a [String]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

fn repair(tail: &[String]) -> &'static str {
    let is_broken_log = tail.iter().any(|line| line.to_ascii_lowercase().contains("append only file"));
    if is_broken_log {
        "\n  a broken append-only file can be repaired with: redis-check-aof --fix <data-dir>/redis/appendonlydir/*.manifest"
    } else {
        ""
    }
}
