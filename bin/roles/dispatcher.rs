//! `shuzhiren dispatcher`: drives the instances.

use super::shared;
use clap::Args;
use shuzhiren::{
    dispatcher::{self, Parts},
    process::{self, Readiness},
    settings::{DispatcherSettings, QueueSettings, RedisSettings, SecretSettings, StopSettings, StorageSettings},
};
use std::{net::SocketAddr, time::Duration};
use tokio_util::sync::CancellationToken;

/// Settings of `dispatcher`.
#[derive(Debug, Args)]
pub(crate) struct DispatcherArgs {
    /// Address for /livez, /readyz and /metrics; port 0 = any free port
    #[arg(long, env = "SHUZHIREN_LISTEN", default_value = "127.0.0.1:3001", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    redis: RedisSettings,
    #[command(flatten)]
    queue: QueueSettings,
    #[command(flatten)]
    storage: StorageSettings,
    #[command(flatten)]
    settings: DispatcherSettings,
    #[command(flatten)]
    secrets: SecretSettings,
    #[command(flatten)]
    stopping: StopSettings,
}

/// Dispatches until SIGTERM or SIGINT.
pub(crate) async fn run(args: DispatcherArgs) -> Result<(), String> {
    validate(&args.settings)?;
    let encryption = shared::encryption(&args.secrets)?;
    let store = shared::open_store(&args.storage).await?;
    let listener = process::bind(args.listen).await?;
    let stop = process::stop_on_signals();
    let readiness = Readiness::default();
    readiness.until(&stop);
    let served = CancellationToken::new();
    let ops = tokio::spawn(process::serve(
        listener,
        process::ops_router(readiness.clone()),
        served.clone(),
        Duration::from_secs(1),
    ));
    let queue = shared::connect(&args.redis, &args.queue, &stop).await?;
    shared::watch_connections(&queue, &readiness, stop.clone());
    let parts = Parts {
        queue,
        store,
        settings: args.settings,
        file_bytes_max: args.storage.file_bytes_max,
        retention: shared::retention(&args.queue),
        keep_bytes: args.queue.keep_bytes(),
        drain_timeout: args.stopping.drain_timeout,
        encryption,
    };
    dispatcher::run(parts, readiness, stop).await;
    served.cancel();
    ops.await.map_err(|error| error.to_string())
}

/// Refuses settings that cannot work together; the error says what would happen.
pub(crate) fn validate(settings: &DispatcherSettings) -> Result<(), String> {
    if settings.lease_ttl < Duration::from_secs(1) {
        return Err("SHUZHIREN_LEASE_TTL is below 1s: every short delay would hand instances over".to_owned());
    }
    if settings.http_timeout < Duration::from_millis(100) {
        return Err("SHUZHIREN_HTTP_TIMEOUT is below 100ms: a healthy instance pauses longer than that".to_owned());
    }
    if settings.stall_timeout < Duration::from_secs(1) {
        return Err("SHUZHIREN_STALL_TIMEOUT is below 1s: every prompt would count as stalled".to_owned());
    }
    if settings.silent_timeout < Duration::from_secs(1) {
        return Err("SHUZHIREN_SILENT_TIMEOUT is below 1s: every node would count as stalled".to_owned());
    }
    if settings.trial_after < Duration::from_secs(1) {
        return Err("SHUZHIREN_TRIAL_AFTER is below 1s: a broken instance would go on to fail tasks".to_owned());
    }
    Ok(())
}
