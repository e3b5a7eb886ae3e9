//! Why there is no embedded Redis, in words for whoever typed the command.

use super::find_server::OLDEST;
use std::{fmt, io, path::PathBuf, time::Duration};

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No program.
    #[error(
        "no Redis was configured and no redis-server or valkey-server was found (looked for: {})\n  do one of:\n    \
         apt-get install -y redis-server      (Debian, Ubuntu)\n    brew install redis                   (macOS)\n    \
         set REDIS_URL=redis://host:6379      to use one that runs\n    set REDIS_SERVER=/path/to/redis-server",
        looked.join(", ")
    )]
    NotFound {
        /// Where.
        looked: Vec<String>,
    },
    /// A program that lacks what the scripts need.
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
    /// Somebody runs on this folder.
    #[error(
        "another process (pid {pid}) already runs the embedded Redis of this data directory ({}). Stop it, use another \
         --data-dir, or set REDIS_URL to share one Redis",
        lock.display()
    )]
    InUse {
        /// The file.
        lock: PathBuf,
        /// Who, as the file says.
        pid: String,
    },
    /// The last owner is gone, its server is not.
    #[error(
        "the Redis of an earlier run still holds this data directory ({}). Wait for its end, or end it: redis-cli -u \
         \"$(cat {})\" SHUTDOWN",
        lock.display(), lock.with_file_name("url").display()
    )]
    StillEnding {
        /// The file.
        lock: PathBuf,
    },
    /// It ended at once.
    #[error("the embedded Redis exited at start ({status}). Its last lines:{}{}", Lines(tail), repair(tail))]
    Died {
        /// How.
        status: String,
        /// What it said.
        tail: Vec<String>,
    },
    /// It runs and says nothing.
    #[error("the embedded Redis did not answer within {after:?}. Its last lines:{}", Lines(tail))]
    NotReady {
        /// How long.
        after: Duration,
        /// What it said.
        tail: Vec<String>,
    },
    /// A file or a process could not be made.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
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
