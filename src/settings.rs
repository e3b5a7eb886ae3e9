//! All flags and variables of the processes, one struct per topic, and the named limits that are not configurable.
//!
//! Each setting has a flag and a variable (`SHUZHIREN_…`, `REDIS_URL` without prefix, `…_FILE` for secrets). Durations
//! are written with their unit: `500ms`, `15s`, `2m`, `24h`.
//!
//! The doc comments are the text of `--help`: the first paragraph names the setting and its unit (`-h` prints only
//! this), the second says what to know before changing it, with an example. A tidy test requires a default or an
//! example for each.

mod dispatcher;
mod files;
mod front;

pub use dispatcher::DispatcherSettings;
pub use files::{DiskReserve, Keep, KeepBytes, StorageSettings};
pub use front::{AuthSettings, FetchSettings, FrontSettings, SecretSettings};

use clap::{Args, ValueEnum};
use files::{keep, keep_bytes, keep_or_with_task};
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

/// Named limits that are not configurable.
pub mod limits {
    use std::time::Duration;

    /// Largest JSON body of requests other than submits.
    pub const JSON_BODY_BYTES: usize = 256 * 1024;
    /// Largest body of PUT /api/workflows/:name.
    pub const WORKFLOW_BODY_BYTES: usize = 1 << 20;
    /// Bytes of bodies of submits and publications that one process holds at once; one user has half of them.
    pub const BODIES_BYTES_MAX: u64 = 256 << 20;
    /// Maximum number of tasks of one submit.
    pub const BATCH_TASKS_MAX: u16 = 1_000;
    /// Maximum size of these tasks in Redis, bytes: one call carries them all.
    pub const BATCH_BYTES_MAX: usize = 32 << 20;
    /// Maximum size of workflow and params of a submit times its tasks, bytes: each task is resolved on its own.
    pub const BATCH_TEXT_BYTES_MAX: usize = 64 << 20;
    /// Maximum number of nodes of a workflow (protocol §11: the cost grows more than linearly).
    pub const NODES_MAX: usize = 2_000;
    /// Longest chain of links (protocol §11: 900 passed, 1,500 did not).
    pub const GRAPH_DEPTH_MAX: usize = 500;
    /// Largest `extra_pnginfo` of a task's own, bytes of JSON.
    pub const PNG_INFO_BYTES: usize = 1 << 20;
    /// Largest `metadata` of a task, bytes of JSON.
    pub const METADATA_BYTES: usize = 4_096;
    /// Largest page of a list.
    pub const PAGE_MAX: u64 = 200;
    /// Largest answer with a list, bytes.
    pub const PAGE_BYTES_MAX: usize = 4 << 20;
    /// Default page of a list.
    pub const PAGE_DEFAULT: u64 = 20;
    /// Time limit of a request's head.
    pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
    /// Time limit of a JSON body.
    pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
    /// Maximum number of open connections of a process.
    pub const CONNECTIONS_MAX: usize = 16_384;
    /// Largest WebSocket frame from a client.
    pub const WS_FRAME_BYTES: usize = 64 * 1024;
    /// Time limit for the login by the first message.
    pub const WS_AUTH_TIMEOUT: Duration = Duration::from_secs(10);
    /// `Retry-After` of a 503, seconds.
    pub const RETRY_AFTER_SECONDS: u64 = 2;
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
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

/// Parses `500ms`, `15s`, `2m`, `24h`.
///
/// # Errors
/// A message for clap.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is not a duration; write it like 500ms, 15s, 2m or 24h"))?;
    Duration::try_from(span).map_err(|_| format!("`{text}` is negative"))
}

/// Parses a number of bytes with an optional unit as Redis writes it: `512mb`, `4gb` (powers of 1024).
///
/// # Errors
/// A message for clap.
pub fn bytes(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let units = [("kb", 10), ("mb", 20), ("gb", 30), ("tb", 40)];
    let (digits, shift) =
        units.iter().find_map(|(unit, shift)| Some((lower.strip_suffix(unit)?, *shift))).unwrap_or((&lower, 0));
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| format!("`{text}` is not a number of bytes; write it like 512mb or 4gb"))
}

/// Largest number of replicas that may be asked to confirm a write.
const DURABILITY_REPLICAS_MAX: i64 = 16;

/// Durability of an acknowledged write; [`crate::queue`] describes the guarantees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Durability {
    /// In Redis' memory: with appendfsync everysec, a killed Redis may lose the last 2 s.
    #[default]
    Local,
    /// On Redis' disk: appendfsync always, or Redis 7.2 and later. A killed Redis loses nothing.
    Fsync,
    /// On replicas (`--durability-replicas`): if all replicas confirm, nothing is lost even with the primary and its disk.
    Replica,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// JSON, one object per line.
    Json,
}

/// Settings of logging.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogSettings {
    /// Filter of the log, which goes to standard error
    ///
    /// E.g. `info`, or `info,shuzhiren=debug`, or `warn,shuzhiren::dispatcher=trace`.
    #[arg(long = "log", env = "SHUZHIREN_LOG", default_value = "info,fred=error", global = true)]
    pub filter: String,
    /// Format of the log
    #[arg(long, env = "SHUZHIREN_LOG_FORMAT", value_name = "FORM", value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,
}

/// Settings of Redis.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Redis")]
pub struct RedisSettings {
    /// Address of Redis (7.0 and later) or Valkey (7.2 and later)
    ///
    /// E.g. redis://user:password@10.0.0.5:6379/0, rediss:// for TLS, redis+unix:///run/redis.sock,
    /// redis-cluster://a:6379?node=b:6379, redis-sentinel://a:26379?sentinelServiceName=main&node=b:26379&node=c:26379
    /// (name all sentinels; add sentinelUsername and sentinelPassword if theirs differ from those of Redis). `valkey`
    /// may replace `redis` in each. An unknown parameter is refused. It needs `maxmemory-policy noeviction` and `appendonly yes`: a server that cannot provide the `--durability` is refused; a server that
    /// would lose its tasks at a restart causes a warning. `up` starts its own.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<Secret>,
    /// File with the address of Redis, e.g. /run/secrets/redis-url
    #[arg(long, env = "REDIS_URL_FILE", conflicts_with = "redis_url", value_name = "FILE")]
    pub redis_url_file: Option<PathBuf>,
    /// File with the certificate of the CA of Redis and its sentinels, PEM, e.g. /etc/ssl/redis-ca.pem
    ///
    /// For `rediss://` with a private CA; certificates of all other CAs are then refused. Without it, the system's CAs are
    /// trusted (SSL_CERT_FILE changes them).
    #[arg(long, env = "REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,
    /// Prefix of every key; separates systems that share a Redis
    #[arg(long, env = "SHUZHIREN_NAMESPACE", default_value = "shuzhiren", value_name = "PREFIX")]
    pub namespace: String,
    /// Durability of an acknowledged write, i.e. of a 200
    ///
    /// A write without this durability is answered with 503: repeat it with the same Idempotency-Key.
    #[arg(long, env = "SHUZHIREN_DURABILITY", value_name = "LEVEL", value_enum, default_value = "local")]
    pub durability: Durability,
    /// Number of replicas that must confirm a write at durability `replica`
    ///
    /// Set it to the number of all replicas: then no failover loses an acknowledged task. While fewer are connected, writes are answered with 503.
    #[arg(long, env = "SHUZHIREN_DURABILITY_REPLICAS", value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=DURABILITY_REPLICAS_MAX))]
    pub durability_replicas: u32,
}

/// Limits of the queue, applied by every process.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Queue")]
pub struct QueueSettings {
    /// Maximum number of pending tasks; beyond it new ones get 429. 0 = no limit
    ///
    /// Each takes some KiB of Redis' memory, a million take some GB.
    #[arg(long, env = "SHUZHIREN_WAITING_MAX", default_value_t = 1_000_000, value_name = "COUNT")]
    pub waiting_max: u64,
    /// Most bytes of graphs and params (compressed) that the pending and running tasks of one user may have together in
    /// Redis; more get 429. 0 = no limit
    ///
    /// Only tasks of more than 16 KiB count.
    #[arg(long, env = "SHUZHIREN_USER_WAITING_BYTES_MAX", default_value_t = 256 << 20, value_name = "BYTES")]
    pub user_waiting_bytes_max: u64,
    /// The same for all users together; more get 429. 0 = no limit
    #[arg(long, env = "SHUZHIREN_WAITING_BYTES_MAX", default_value_t = 1 << 30, value_name = "BYTES")]
    pub waiting_bytes_max: u64,
    /// Retention of ended tasks, with their results and errors [default: 24h; of `up`: 720h, 30 days]
    ///
    /// Outputs are deleted with them, see --keep-outputs and --keep-bytes. Each ended task takes about 4 KB of Redis' memory: a
    /// task per second takes 0.35 GB if it is kept for 24 h, and 10 GB in 30 days. `doctor` says how much yours carries.
    #[arg(long, env = "SHUZHIREN_KEEP_TASKS", value_parser = duration, value_name = "DURATION")]
    pub keep_tasks: Option<Duration>,
    /// Retention of uploads: a duration, or `forever` = until they are deleted
    ///
    /// E.g. 720h for 30 days. Files needed by a waiting or running task or a published workflow are kept longer.
    #[arg(long, env = "SHUZHIREN_KEEP_UPLOADS", default_value = "forever", value_parser = keep, value_name = "DURATION")]
    pub keep_uploads: Keep,
    /// Retention of outputs: a duration, `task` = as long as their task, `forever` = until they are deleted
    ///
    /// E.g. 168h for a week. Files needed by a waiting or running task or a published workflow are kept longer.
    #[arg(long, env = "SHUZHIREN_KEEP_OUTPUTS", default_value = "task", value_parser = keep_or_with_task, value_name = "DURATION")]
    pub keep_outputs: Keep,
    /// Room of all files, beyond which the oldest outputs are deleted early: bytes, a share of the disk, or `all` = no limit
    /// [default: all; of `up`: 80%]
    ///
    /// E.g. 500gb, or 80%. With a limit, the oldest outputs are also deleted before the disk reaches --disk-reserve, but other
    /// data on the disk leaves files a quarter of this room; and the oldest ended tasks while Redis' memory is full. Uploads, inputs of waiting and running tasks, and files of published
    /// workflows are never deleted early. A bucket takes bytes only.
    #[arg(long, env = "SHUZHIREN_KEEP_BYTES", value_parser = keep_bytes, value_name = "BYTES|PERCENT")]
    pub keep_bytes: Option<KeepBytes>,
}

impl QueueSettings {
    /// Default retention of ended tasks.
    const KEEP_TASKS: Duration = Duration::from_secs(24 * 3_600);
    /// The same of `up`.
    const KEEP_TASKS_OF_UP: Duration = Duration::from_secs(30 * 24 * 3_600);
    /// Default room of files of `up`.
    const KEEP_BYTES_OF_UP: KeepBytes = KeepBytes::Percent(80);

    /// Sets the defaults of `up`: a new user's pictures should not be lost.
    pub fn default_to_up(&mut self) {
        self.keep_tasks.get_or_insert(Self::KEEP_TASKS_OF_UP);
        self.keep_bytes.get_or_insert(Self::KEEP_BYTES_OF_UP);
    }

    /// Returns the retention of ended tasks.
    pub fn keep_tasks(&self) -> Duration {
        self.keep_tasks.unwrap_or(Self::KEEP_TASKS)
    }

    /// Returns the room of all files.
    pub fn keep_bytes(&self) -> KeepBytes {
        self.keep_bytes.unwrap_or(KeepBytes::All)
    }
}

/// Settings of the shutdown.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Stopping")]
pub struct StopSettings {
    /// Time limit for requests and hand-overs at a stop (SIGTERM, Ctrl-C)
    ///
    /// A stop never waits for prompts: they continue, and another dispatcher takes them over. Keep it below the limit
    /// of the supervisor (systemd: TimeoutStopSec, Kubernetes: terminationGracePeriodSeconds).
    #[arg(long, env = "SHUZHIREN_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub drain_timeout: Duration,
}

/// Listening address of a process.
#[derive(Debug, Clone, Args)]
pub struct ListenSettings {
    /// Address and port; port 0 = any free one
    ///
    /// E.g. 0.0.0.0:3000 for all addresses of this machine. `up` then requires a password other than the published one.
    #[arg(long, env = "SHUZHIREN_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration};
    use std::time::Duration;

    #[test]
    fn bytes_have_the_units_of_redis() {
        assert_eq!(bytes("1000"), Ok(1_000));
        assert_eq!(bytes("512mb"), Ok(512 << 20));
        assert_eq!(bytes("4GB"), Ok(4 << 30));
        for wrong in ["", "gb", "-1", "1.5gb", "1 gb", "99999999tb"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert!(duration("15").is_err());
        assert!(duration("-1s").is_err());
    }
}
