//! The instances: as a dispatcher on this machine would meet them.

use super::{Finding, Level, Report};
use crate::{
    comfy::{Client, Error},
    fleet::{FleetConfig, Target},
};
use futures_util::{StreamExt, stream};
use serde::de::IgnoredAny;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Asked at a time.
const AT_ONCE: usize = 16;
/// An instance with very many models takes its time to list them.
const NODES_TIMEOUT: Duration = Duration::from_secs(30);
/// Oldest version that is known to work.
const VERSION_MIN: (u32, u32) = (0, 3);

/// Asks each one.
pub(super) async fn examine(config: &FleetConfig, report: &mut Report) {
    let targets = config.targets();
    if targets.is_empty() {
        report.push(Finding::warn(
            "instances",
            "the config names none",
            "name them with PUT /api/config, or on the page",
        ));
    }
    let timeout = config.health_check.timeout();
    let mut found = stream::iter(targets).map(|target| one(target, timeout)).buffered(AT_ONCE);
    while let Some(finding) = found.next().await {
        report.push(finding);
    }
}

async fn one(target: Target, timeout: Duration) -> Finding {
    let check = format!("instance {}", target.id);
    // A server that is switched off may be away.
    let level = if target.server_enabled { Level::Fail } else { Level::Warn };
    let switched = if target.server_enabled { "" } else { "; its server is switched off" };
    match ask(&target, timeout).await {
        Ok(seen) if is_old(&seen.version) => {
            Finding::warn(check, format!("{seen}{switched}"), "update it: only versions from 0.3 on are known to work")
        }
        Ok(seen) => Finding::ok(check, format!("{seen}{switched}")),
        Err((what, error)) => Finding::bad(level, check, format!("{what}: {error}{switched}"), advice(what, &error)),
    }
}

/// What an instance answered.
struct Seen {
    version: String,
    nodes: usize,
    queued: u32,
    device: String,
    took: Duration,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, nodes, queued, device, took } = self;
        let ms = took.as_secs_f64() * 1_000.0;
        write!(f, "ComfyUI {version}, {nodes} nodes, {queued} queued, WebSocket opens, answers in {ms:.1} ms{device}")
    }
}

const SPEAKS: &str = "it does not answer as ComfyUI does";
const SOCKET: &str = "its WebSocket does not open";
const NODES: &str = "it does not say what nodes it has";

async fn ask(target: &Target, timeout: Duration) -> Result<Seen, (&'static str, Error)> {
    let client = Client::new(target, timeout).map_err(|error| (SPEAKS, error))?;
    let probe = client.probe(timeout).await.map_err(|error| (SPEAKS, error))?;
    let began = Instant::now();
    let queued = client.queue_remaining(timeout).await.map_err(|error| (SPEAKS, error))?;
    let took = began.elapsed();
    let nodes = client.object_info(NODES_TIMEOUT).await.map_err(|error| (NODES, error))?;
    let nodes: BTreeMap<String, IgnoredAny> =
        serde_json::from_str(&nodes).map_err(|error| (NODES, Error::Broken(error.to_string())))?;
    // A name of its own: with a dispatcher's it would take that one's place.
    let name = format!("doctor-{}", uuid::Uuid::new_v4().simple());
    client.connect(&name, timeout).await.map_err(|error| (SOCKET, error))?.close().await;
    let device = probe.device.map(|device| format!(", {}", device.name)).unwrap_or_default();
    Ok(Seen { version: probe.version, nodes: nodes.len(), queued, device, took })
}

fn advice(what: &str, error: &Error) -> &'static str {
    match error {
        _ if what == SOCKET => "let the proxy in front of it pass WebSocket upgrades; without it progress is polled",
        Error::Unreachable(_) => {
            "start it with --listen 0.0.0.0 (ComfyUI's default is 127.0.0.1), open its port for dispatchers, or correct the config"
        }
        Error::Broken(_) | Error::NotFound => {
            "something else answers there: correct the port, basePath or headers in the config, or look at the proxy in front of it"
        }
        Error::Refused(_) => {
            "it refuses this request: look at the headers in the config, and at the proxy in front of it"
        }
    }
}

/// A version that is not understood is not called old.
fn is_old(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < VERSION_MIN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_old;

    #[test]
    fn only_what_is_known_to_be_old_is_called_old() {
        for (version, old) in
            [("0.2.7", true), ("v0.0.1", true), ("0.3.0", false), ("0.38.1", false), ("1.0", false), ("unknown", false)]
        {
            assert_eq!(is_old(version), old, "{version}");
        }
    }
}
