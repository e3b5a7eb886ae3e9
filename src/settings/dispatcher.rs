//! Settings of the dispatcher: how long it waits for an instance before it does something about it.

use super::duration;
use clap::Args;
use std::time::Duration;

/// The dispatcher.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Dispatcher")]
pub struct DispatcherSettings {
    /// Lifetime of an instance's lease; another dispatcher takes over after it
    ///
    /// Shorter: a killed dispatcher is replaced sooner. Longer: a slow network hands over less. At least 1s.
    #[arg(long, env = "SHUZHIREN_LEASE_TTL", default_value = "15s", value_parser = duration, value_name = "DURATION")]
    pub lease_ttl: Duration,
    /// A running prompt without any sign of life for this long is given up
    ///
    /// A node that works for longer without a word (a huge download, a long encode) needs more, e.g. 15m. At least 1s.
    #[arg(long, env = "SHUZHIREN_STALL_TIMEOUT", default_value = "120s", value_parser = duration, value_name = "DURATION")]
    pub stall_timeout: Duration,
    /// Longest time of one request to an instance (downloads: of each read)
    ///
    /// Above the slowest answer of an instance. An output that trickles, below 64 KiB/s over six of these, is given up. At least 100ms.
    #[arg(long, env = "SHUZHIREN_HTTP_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub http_timeout: Duration,
    /// Prompts at one instance: 1, or 2 to have the next one queued there
    ///
    /// 2 saves some ms between short prompts; the one that waits there dies with its instance and runs again elsewhere.
    #[arg(long, env = "SHUZHIREN_SLOTS", value_name = "1|2", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub slots: u32,
    /// An instance that fails prompts or checks for this long loses its tasks to others
    ///
    /// Until then nothing of it is sent elsewhere: it may be running. Above the longest restart of an instance that should keep its tasks.
    #[arg(long, env = "SHUZHIREN_GONE_AFTER", default_value = "60s", value_parser = duration, value_name = "DURATION")]
    pub gone_after: Duration,
}
