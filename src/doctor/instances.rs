//! Checks of the instances, with the requests that a dispatcher on this machine would send.

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

/// Instances checked concurrently.
const CONCURRENT_MAX: usize = 16;
/// Time limit of `/object_info`, which is slow on an instance with very many models.
const NODES_TIMEOUT: Duration = Duration::from_secs(30);
/// Oldest supported version.
const VERSION_MIN: (u32, u32) = (0, 3);

/// Checks each instance of the config.
pub(super) async fn examine(config: &FleetConfig, report: &mut Report) {
    let targets = config.targets();
    if targets.is_empty() {
        report.push(Finding::warn(
            "instances",
            "the config has no instances",
            "add them with PUT /api/config, or on the page",
        ));
    }
    let timeout = config.health_check.timeout();
    let mut found = stream::iter(targets).map(|target| check(target, timeout)).buffered(CONCURRENT_MAX);
    while let Some(finding) = found.next().await {
        report.push(finding);
    }
}

async fn check(target: Target, timeout: Duration) -> Finding {
    let check = format!("instance {}", target.id);
    // A server that is switched off may be unreachable.
    let level = if target.server_enabled { Level::Fail } else { Level::Warn };
    let switched = if target.server_enabled { "" } else { "; its server is switched off" };
    match examine_one(&target, timeout).await {
        Ok(seen) if is_old(&seen.version) => {
            Finding::warn(check, format!("{seen}{switched}"), "update it: only versions from 0.3 on are supported")
        }
        Ok(seen) => Finding::ok(check, format!("{seen}{switched}")),
        Err((what, error)) => Finding::bad(level, check, format!("{what}: {error}{switched}"), advice(what, &error)),
    }
}

/// Answers of an instance.
struct Answers {
    version: String,
    nodes: usize,
    queued: u32,
    device: String,
    took: Duration,
}

impl std::fmt::Display for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, nodes, queued, device, took } = self;
        let ms = took.as_secs_f64() * 1_000.0;
        write!(f, "ComfyUI {version}, {nodes} nodes, {queued} queued, WebSocket opens, answers in {ms:.1} ms{device}")
    }
}

const SPEAKS: &str = "it does not answer as ComfyUI does";
const SOCKET: &str = "its WebSocket does not open";
const NODES: &str = "it does not list its nodes";

async fn examine_one(target: &Target, timeout: Duration) -> Result<Answers, (&'static str, Error)> {
    let client = Client::new(target, timeout).map_err(|error| (SPEAKS, error))?;
    let probe = client.probe(timeout).await.map_err(|error| (SPEAKS, error))?;
    let started = Instant::now();
    let queued = client.queue_remaining(timeout).await.map_err(|error| (SPEAKS, error))?;
    let took = started.elapsed();
    let nodes = client.object_info(NODES_TIMEOUT).await.map_err(|error| (NODES, error))?;
    let nodes: BTreeMap<String, IgnoredAny> =
        serde_json::from_str(&nodes).map_err(|error| (NODES, Error::Broken(error.to_string())))?;
    // A client id of its own: with a dispatcher's it would take over that dispatcher's events.
    let name = format!("doctor-{}", uuid::Uuid::new_v4().simple());
    client.connect(&name, timeout).await.map_err(|error| (SOCKET, error))?.close().await;
    let device = probe.device.map(|device| format!(", {}", device.name)).unwrap_or_default();
    Ok(Answers { version: probe.version, nodes: nodes.len(), queued, device, took })
}

fn advice(what: &str, error: &Error) -> &'static str {
    match error {
        _ if what == SOCKET => "let the proxy in front of it pass WebSocket upgrades; without it progress is polled",
        Error::Unreachable(_) => {
            "start it with --listen 0.0.0.0 (ComfyUI's default is 127.0.0.1), open its port for dispatchers, or correct the config"
        }
        Error::Broken(_) | Error::NotFound | Error::Unreadable(_) | Error::TooLong(_) => {
            "something else answers: correct the port, basePath or headers in the config, or check the proxy in front of it"
        }
        Error::Refused(_) => "it refuses this request: check the headers in the config, and the proxy in front of it",
    }
}

/// Whether a version is known to be too old. One that cannot be parsed is not.
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
    fn only_versions_known_to_be_old_are_old() {
        for (version, old) in
            [("0.2.7", true), ("v0.0.1", true), ("0.3.0", false), ("0.38.1", false), ("1.0", false), ("unknown", false)]
        {
            assert_eq!(is_old(version), old, "{version}");
        }
    }
}
