//! Settings of the dispatcher: its lease and its timeouts for instances.

use super::duration;
use clap::Args;
use std::time::Duration;

/// Settings of the dispatcher.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Dispatcher")]
pub struct DispatcherSettings {
    /// Lifetime of an instance's lease, after which another dispatcher takes over
    ///
    /// Shorter: a killed dispatcher is replaced sooner. Longer: fewer hand-overs on a slow network. At least 1s.
    #[arg(long, env = "SHUZHIREN_LEASE_TTL", default_value = "15s", value_parser = duration, value_name = "DURATION")]
    pub lease_ttl: Duration,
    /// Time after which a prompt is aborted that its instance does not execute
    ///
    /// It waits although nothing executes, or it began and the instance does not show it as running. At least 1s.
    #[arg(long, env = "SHUZHIREN_STALL_TIMEOUT", default_value = "120s", value_parser = duration, value_name = "DURATION")]
    pub stall_timeout: Duration,
    /// Time without a sign of life after which a node is aborted that its instance shows as running
    ///
    /// Long enough for the longest silent work: a video decode, a model load, a compile, a download. The `timeoutMs` of a
    /// task may be shorter. At least 1s.
    #[arg(long, env = "SHUZHIREN_SILENT_TIMEOUT", default_value = "1h", value_parser = duration, value_name = "DURATION")]
    pub silent_timeout: Duration,
    /// Time after which an instance in quarantine gets a task as a trial
    ///
    /// An instance is quarantined when its GPU, driver, disk or model files fail. The time doubles after each trial that
    /// fails, up to 1 h. If no other instance is open, a task that has not failed yet is tried after a twentieth of it. A restart of the instance, or the operator, ends the quarantine at once. At least 1s.
    #[arg(long, env = "SHUZHIREN_TRIAL_AFTER", default_value = "60s", value_parser = duration, value_name = "DURATION")]
    pub trial_after: Duration,
    /// Time limit of a request to an instance (downloads: of each read)
    ///
    /// Set it above the slowest response of an instance. A download of an output below 64 KiB/s over six times this
    /// limit is aborted. At least 100ms.
    #[arg(long, env = "SHUZHIREN_HTTP_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub http_timeout: Duration,
    /// Prompts per instance: 1, or 2 to queue the next one there
    ///
    /// 2 saves some ms between short prompts; the queued one is lost with its instance and then runs again elsewhere.
    #[arg(long, env = "SHUZHIREN_SLOTS", value_name = "1|2", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub slots: u32,
    /// Time of failed prompts or checks after which an instance loses its tasks to others
    ///
    /// Until then its tasks are not sent elsewhere, because they may be running. Set it above the longest network
    /// failure, e.g. 5m. An instance that refuses connections has lost its tasks: it counts as gone after 10 s at most.
    #[arg(long, env = "SHUZHIREN_GONE_AFTER", default_value = "60s", value_parser = duration, value_name = "DURATION")]
    pub gone_after: Duration,
}
