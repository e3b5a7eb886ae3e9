//! Every flag and variable of the processes: one struct per concern, and the named limits that are not settings.
//!
//! Each setting is a flag and a variable (`SHUZHIREN_…`, `REDIS_URL` plain, `…_FILE` for secrets). Durations are written
//! with their unit: `500ms`, `15s`, `2m`, `24h`.

mod files;

pub use files::{Keep, StorageSettings};

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

/// How sure an answered write is (queue.md §3.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Durability {
    /// Redis' append-only file, flushed every second.
    #[default]
    Local,
    /// `appendfsync always`.
    Fsync,
    /// A replica has it (`WAIT 1`).
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
    /// Filter, e.g. `info` or `shuzhiren=debug`
    #[arg(long = "log", env = "SHUZHIREN_LOG", default_value = "info,fred=error", global = true)]
    pub filter: String,
    /// Form of the log
    #[arg(long, env = "SHUZHIREN_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,
}

/// Redis.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Redis")]
pub struct RedisSettings {
    /// redis://, rediss://, redis+unix:///path, redis-sentinel://…?sentinelServiceName=…, redis-cluster://
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<Secret>,
    /// File that holds the URL
    #[arg(long, env = "REDIS_URL_FILE", conflicts_with = "redis_url")]
    pub redis_url_file: Option<PathBuf>,
    /// Key prefix; separates systems that share a Redis
    #[arg(long, env = "SHUZHIREN_NAMESPACE", default_value = "shuzhiren")]
    pub namespace: String,
    /// When a write counts as done
    #[arg(long, env = "SHUZHIREN_DURABILITY", value_enum, default_value = "local")]
    pub durability: Durability,
}

/// The queue's limits, applied by every process.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Queue")]
pub struct QueueSettings {
    /// Pending tasks before new ones get 429; 0 = no limit
    #[arg(long, env = "SHUZHIREN_WAITING_MAX", default_value_t = 1_000_000)]
    pub waiting_max: u64,
    /// How long ended tasks are kept
    #[arg(long, env = "SHUZHIREN_KEEP_TASKS", default_value = "24h", value_parser = duration)]
    pub keep_tasks: Duration,
    /// How long uploads are kept; `forever` = until they are deleted
    #[arg(long, env = "SHUZHIREN_KEEP_UPLOADS", default_value = "forever", value_parser = keep)]
    pub keep_uploads: Keep,
    /// How long outputs are kept; `task` = as long as their task, `forever` = until they are deleted
    #[arg(long, env = "SHUZHIREN_KEEP_OUTPUTS", default_value = "task", value_parser = keep_or_with_task)]
    pub keep_outputs: Keep,
}

/// Login.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Login")]
pub struct AuthSettings {
    /// The administrator's name
    #[arg(long, env = "SHUZHIREN_ADMIN_USERNAME", default_value = "admin")]
    pub admin_username: String,
    /// The administrator's password
    #[arg(long, env = "SHUZHIREN_ADMIN_PASSWORD", hide_env_values = true)]
    pub admin_password: Option<Secret>,
    /// File that holds the password
    #[arg(long, env = "SHUZHIREN_ADMIN_PASSWORD_FILE", conflicts_with = "admin_password")]
    pub admin_password_file: Option<PathBuf>,
    /// Key of the tokens, at least 32 bytes, the same in every api and ws process
    #[arg(long, env = "SHUZHIREN_JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<Secret>,
    /// File that holds the key
    #[arg(long, env = "SHUZHIREN_JWT_SECRET_FILE", conflicts_with = "jwt_secret")]
    pub jwt_secret_file: Option<PathBuf>,
    /// How long a token is good for
    #[arg(long, env = "SHUZHIREN_TOKEN_TTL", default_value = "24h", value_parser = duration)]
    pub token_ttl: Duration,
}

/// The REST and WebSocket front.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Front")]
pub struct FrontSettings {
    /// Largest body of POST /api/tasks, bytes
    #[arg(long, env = "SHUZHIREN_TASK_BYTES_MAX", default_value_t = 8 << 20)]
    pub task_bytes_max: usize,
    /// Origins of other sites whose pages may open the WebSocket, comma separated
    #[arg(long, env = "SHUZHIREN_ALLOWED_ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,
    /// Unauthenticated sockets of one address
    #[arg(long, env = "SHUZHIREN_WS_PENDING_MAX", default_value_t = 100)]
    pub ws_pending_max: usize,
    /// Tokens (one a task) in the bucket of POST /api/tasks per user, refilled at a fifth of it per second; 0 = no limit
    #[arg(long, env = "SHUZHIREN_RATE_BURST", default_value_t = 10_000)]
    pub rate_burst: u64,
}

/// Files at URLs that tasks name.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Fetching")]
pub struct FetchSettings {
    /// Fetch no files from URLs
    #[arg(long, env = "SHUZHIREN_NO_FETCH")]
    pub no_fetch: bool,
    /// Networks, addresses and hosts beyond the public internet that files may be fetched from, comma separated
    #[arg(long, env = "SHUZHIREN_FETCH_ALLOW", value_delimiter = ',')]
    pub fetch_allow: Vec<String>,
    /// For all files of one request together
    #[arg(long, env = "SHUZHIREN_FETCH_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub fetch_timeout: Duration,
    /// Largest file that is fetched, bytes
    #[arg(long, env = "SHUZHIREN_FETCH_BYTES_MAX", default_value_t = 256 << 20)]
    pub fetch_bytes_max: u64,
}

/// Stopping.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Stopping")]
pub struct StopSettings {
    /// Longest wait for requests and hand-overs at a stop
    #[arg(long, env = "SHUZHIREN_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub drain_timeout: Duration,
}

/// The dispatcher.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Dispatcher")]
pub struct DispatcherSettings {
    /// Lifetime of an instance's lease; another dispatcher takes over after it
    #[arg(long, env = "SHUZHIREN_LEASE_TTL", default_value = "15s", value_parser = duration)]
    pub lease_ttl: Duration,
    /// A running prompt without any sign of life for this long is given up
    #[arg(long, env = "SHUZHIREN_STALL_TIMEOUT", default_value = "120s", value_parser = duration)]
    pub stall_timeout: Duration,
    /// Of one request to an instance (downloads: of each read)
    #[arg(long, env = "SHUZHIREN_HTTP_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub http_timeout: Duration,
    /// Prompts at one instance: 1, or 2 to have the next one queued there
    #[arg(long, env = "SHUZHIREN_SLOTS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub slots: u32,
    /// An instance that fails prompts or checks for this long loses its tasks to others
    #[arg(long, env = "SHUZHIREN_GONE_AFTER", default_value = "60s", value_parser = duration)]
    pub gone_after: Duration,
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

/// Where a process listens.
#[derive(Debug, Clone, Args)]
pub struct ListenSettings {
    /// Address and port; port 0 = any free one
    #[arg(long, env = "SHUZHIREN_LISTEN", default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
}
