//! Every flag and variable of the processes: one struct per concern, and the named limits that are not settings.
//!
//! Each setting is a flag and a variable (`SHUZHIREN_…`, `REDIS_URL` plain, `…_FILE` for secrets). Durations are written
//! with their unit: `500ms`, `15s`, `2m`, `24h`.
//!
//! These comments are what `--help` prints: the first paragraph says what it is and in which unit (all that `-h` prints), the
//! second what to know before one changes it, with an example. A tidy test wants a default or an example of each.

mod dispatcher;
mod files;
mod front;

pub use dispatcher::DispatcherSettings;
pub use files::{Keep, StorageSettings};
pub use front::{AuthSettings, FetchSettings, FrontSettings};

use clap::{Args, ValueEnum};
use files::{keep, keep_or_with_task};
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

/// Named limits: everything that is bounded and needs no setting.
pub mod limits {
    use std::time::Duration;

    /// JSON bodies other than a task's.
    pub const JSON_BODY_BYTES: usize = 256 * 1024;
    /// Body of PUT /api/workflows/:name.
    pub const WORKFLOW_BODY_BYTES: usize = 1 << 20;
    /// Tasks that one submit may make.
    pub const BATCH_TASKS_MAX: u16 = 1_000;
    /// Bytes of them at Redis: one call carries them all.
    pub const BATCH_BYTES_MAX: usize = 32 << 20;
    /// Nesting of any JSON body.
    pub const JSON_DEPTH_MAX: usize = 100;
    /// Nodes of a workflow (protocol §11: cost grows worse than linear).
    pub const NODES_MAX: usize = 2_000;
    /// Longest chain of links (protocol §11: 900 passed, 1,500 did not).
    pub const GRAPH_DEPTH_MAX: usize = 500;
    /// `metadata` of a task, bytes of JSON.
    pub const METADATA_BYTES: usize = 4_096;
    /// Page of a list.
    pub const PAGE_MAX: u64 = 200;
    /// Page of a list when not asked.
    pub const PAGE_DEFAULT: u64 = 20;
    /// A request's head must arrive within.
    pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
    /// A JSON body must arrive within.
    pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
    /// Open connections of one listening process.
    pub const CONNECTIONS_MAX: usize = 16_384;
    /// A WebSocket frame from a client.
    pub const WS_FRAME_BYTES: usize = 64 * 1024;
    /// A first message must log in within.
    pub const WS_AUTH_TIMEOUT: Duration = Duration::from_secs(10);
    /// Retry-After of a 503, seconds.
    pub const RETRY_AFTER_SECONDS: u64 = 2;
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Reads `500ms`, `15s`, `2m`, `24h`.
///
/// # Errors
/// A sentence for clap.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is not a duration; write it like 500ms, 15s, 2m or 24h"))?;
    Duration::try_from(span).map_err(|_| format!("`{text}` is negative"))
}

/// How sure an answered write is; what is promised is in [`crate::queue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Durability {
    /// Redis has it: with appendfsync everysec a killed Redis may forget the last 2 s.
    #[default]
    Local,
    /// Its disk has it: appendfsync always, or Redis 7.2 and later. A killed Redis forgets nothing.
    Fsync,
    /// A replica has it: nothing is lost with the primary and its disk.
    Replica,
}

/// The log's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object per line.
    Json,
}

/// Logs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogSettings {
    /// What is logged, to standard error
    ///
    /// E.g. `info`, or `info,shuzhiren=debug`, or `warn,shuzhiren::dispatcher=trace`.
    #[arg(long = "log", env = "SHUZHIREN_LOG", default_value = "info,fred=error", global = true)]
    pub filter: String,
    /// Form of the log
    #[arg(long, env = "SHUZHIREN_LOG_FORMAT", value_name = "FORM", value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,
}

/// Redis.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Redis")]
pub struct RedisSettings {
    /// Address of Redis (7.0 and later) or Valkey (7.2 and later)
    ///
    /// E.g. redis://user:password@10.0.0.5:6379/0, rediss:// for TLS, redis+unix:///run/redis.sock,
    /// redis-sentinel://host:26379?sentinelServiceName=main, redis-cluster://host:6379. It needs `maxmemory-policy noeviction` and
    /// `appendonly yes`: a server that cannot give what `--durability` asks for is refused, one that would forget its tasks at a restart is
    /// warned of. `up` brings its own.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<Secret>,
    /// File that holds the address of Redis, e.g. /run/secrets/redis-url
    #[arg(long, env = "REDIS_URL_FILE", conflicts_with = "redis_url", value_name = "FILE")]
    pub redis_url_file: Option<PathBuf>,
    /// Prefix of every key; separates systems that share a Redis
    #[arg(long, env = "SHUZHIREN_NAMESPACE", default_value = "shuzhiren", value_name = "PREFIX")]
    pub namespace: String,
    /// When a write counts as done: what a 200 promises
    ///
    /// A write that could not be made so sure is answered with 503: say it again, with the same Idempotency-Key.
    #[arg(long, env = "SHUZHIREN_DURABILITY", value_name = "LEVEL", value_enum, default_value = "local")]
    pub durability: Durability,
}

/// The queue's limits, applied by every process.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Queue")]
pub struct QueueSettings {
    /// Pending tasks; with so many a new one gets 429. 0 = no limit
    ///
    /// Each takes some KiB of Redis' memory, a million of them some GB.
    #[arg(long, env = "SHUZHIREN_WAITING_MAX", default_value_t = 1_000_000, value_name = "COUNT")]
    pub waiting_max: u64,
    /// How long ended tasks are kept, with their results and errors
    ///
    /// E.g. 24h, or 2160h for 90 days. Outputs go with them, see --keep-outputs.
    #[arg(long, env = "SHUZHIREN_KEEP_TASKS", default_value = "24h", value_parser = duration, value_name = "DURATION")]
    pub keep_tasks: Duration,
    /// How long uploads are kept: a duration, or `forever` = until they are deleted
    ///
    /// E.g. 720h for 30 days. What a waiting or running task or a published workflow needs stays beyond it.
    #[arg(long, env = "SHUZHIREN_KEEP_UPLOADS", default_value = "forever", value_parser = keep, value_name = "DURATION")]
    pub keep_uploads: Keep,
    /// How long outputs are kept: a duration, `task` = as long as their task, `forever` = until they are deleted
    ///
    /// E.g. 168h for a week. What a waiting or running task or a published workflow needs stays beyond it.
    #[arg(long, env = "SHUZHIREN_KEEP_OUTPUTS", default_value = "task", value_parser = keep_or_with_task, value_name = "DURATION")]
    pub keep_outputs: Keep,
}

/// Stopping.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Stopping")]
pub struct StopSettings {
    /// Longest wait for requests and hand-overs at a stop (SIGTERM, Ctrl-C)
    ///
    /// A stop never waits for prompts: they go on, and another dispatcher carries them on. Keep it below the supervisor's own
    /// patience (systemd: TimeoutStopSec, Kubernetes: terminationGracePeriodSeconds).
    #[arg(long, env = "SHUZHIREN_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub drain_timeout: Duration,
}

/// Where a process listens.
#[derive(Debug, Clone, Args)]
pub struct ListenSettings {
    /// Address and port; port 0 = any free one
    ///
    /// E.g. 0.0.0.0:3000 for every address of this machine. `up` then wants a password other than the published one.
    #[arg(long, env = "SHUZHIREN_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::duration;
    use std::time::Duration;

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert!(duration("15").is_err());
        assert!(duration("-1s").is_err());
    }
}
