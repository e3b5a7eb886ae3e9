//! Initial config of a fleet, from a file. An existing config is not changed.

use shuzhiren::{
    fleet::{FleetConfig, parse_config},
    queue::{ConfigWritten, Error, Queue},
    secrets::Encryption,
};
use std::{path::Path, time::Duration};
use tokio_util::sync::CancellationToken;

/// Delay between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads and validates a config file: the body of PUT /api/config.
pub(crate) fn read(path: &Path) -> Result<FleetConfig, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let body = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    parse_config(&body, &FleetConfig::default()).map_err(|problems| {
        let lines: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect();
        format!("{}: {}", path.display(), lines.join("; "))
    })
}

/// Does the same, and encrypts its keys, as they are stored.
pub(crate) fn read_encrypted(path: &Path, encryption: &Encryption) -> Result<FleetConfig, String> {
    let mut config = read(path)?;
    config.encrypt_keys(encryption).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(config)
}

/// Applies `config` if there has never been one. If several processes try at the same time, one succeeds.
pub(crate) async fn apply(queue: &Queue, config: &FleetConfig) -> Result<(), String> {
    report(queue.put_config(config, Some(0)).await.map_err(|error| error.to_string())?);
    Ok(())
}

/// Applies `config` like [`apply`]. Waits while Redis cannot take or confirm it, as during a failover.
pub(crate) async fn apply_when_possible(
    queue: &Queue,
    config: &FleetConfig,
    stop: &CancellationToken,
) -> Result<(), String> {
    loop {
        match queue.put_config(config, Some(0)).await {
            Ok(written) => {
                report(written);
                return Ok(());
            }
            Err(error @ (Error::Unavailable(_) | Error::NotConfirmed(_) | Error::Refused(_))) => {
                tracing::warn!(%error, delay_ms = PAUSE.as_millis(), "fleet config not applied; retrying");
            }
            Err(error) => return Err(error.to_string()),
        }
        tokio::select! {
            () = stop.cancelled() => return Err("stopped before the fleet config was applied".to_owned()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn report(written: ConfigWritten) {
    match written {
        ConfigWritten::Written(config) => {
            tracing::info!(instances = config.targets().len(), "fleet config applied");
        }
        ConfigWritten::Outdated(version) => {
            tracing::info!(
                version,
                "fleet config exists already; config file ignored (change the config with PUT /api/config)"
            );
        }
    }
}
