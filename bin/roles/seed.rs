//! Gives an empty fleet its first config, from a file. A fleet that has one is left alone.

use shuzhiren::{
    fleet::{FleetConfig, parse_config},
    queue::{ConfigWritten, Queue},
};
use std::path::Path;

/// Reads and checks a config file: the body of PUT /api/config.
pub(crate) fn read(path: &Path) -> Result<FleetConfig, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let body = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    parse_config(&body, &FleetConfig::default()).map_err(|problems| {
        let lines: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect();
        format!("{}: {}", path.display(), lines.join("; "))
    })
}

/// Puts `config` in force if none ever was. Several processes may try at once: one wins.
pub(crate) async fn seed(queue: &Queue, config: &FleetConfig) -> Result<(), String> {
    match queue.put_config(config, Some(0)).await.map_err(|error| error.to_string())? {
        ConfigWritten::Written(config) => {
            tracing::info!(instances = config.targets().len(), "the fleet was configured");
        }
        ConfigWritten::Outdated(version) => {
            tracing::info!(
                version,
                "the fleet has a config already; the given one is not used (change it with PUT /api/config)"
            );
        }
    }
    Ok(())
}
