//! The fleet: servers and their instances, the config document and its validation, and the reported state of instances.
//!
//! The config is stored in Redis, with a version; this module defines its shape. Start with [`parse_config`].

mod quarantine;
mod status_views;
mod validate;

pub use quarantine::{Absence, Quarantine, QuarantineView};
pub use status_views::{InstanceView, OverviewView};
pub use validate::{INSTANCES_MAX, MASKED, SERVERS_MAX, is_allowed_address, masked, parse_config};

use crate::{
    secrets::{Encryption, NoSecretKey, NodeKeys, Unreadable, is_encrypted},
    task::{InstanceId, TaskId},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// The fleet config, as stored in Redis and returned by `GET /api/config`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetConfig {
    /// Servers of the fleet.
    pub servers: Vec<Server>,
    /// Settings of the health checks.
    pub health_check: HealthCheck,
    /// Version, raised by one at each change; 0 = never set.
    #[serde(default)]
    #[schema(required)]
    pub version: u64,
}

/// A server and the ports of its ComfyUI instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Unique id, 1–64 of `[A-Za-z0-9._-]`.
    pub id: String,
    /// Display name, 1–128 characters.
    pub name: String,
    /// IP literal or host name; IPv6 without brackets.
    pub ip: String,
    /// Ports, 1–65535; each pair of `ip` and port is unique.
    pub ports: Vec<u16>,
    /// Whether its instances take tasks; `false` drains them all.
    #[serde(default = "yes")]
    #[schema(required)]
    pub enabled: bool,
    /// Scheme of its instances: `http` or `https`.
    #[serde(default)]
    #[schema(required)]
    pub scheme: Scheme,
    /// Path in front of ComfyUI's own routes: empty, or e.g. `/comfy`.
    #[serde(default)]
    #[schema(required)]
    pub base_path: String,
    /// Headers sent with every request to the instances; the API never returns their values.
    #[serde(default)]
    #[schema(required)]
    pub headers: BTreeMap<String, String>,
    /// Keys for API nodes of tasks that have none, by name; encrypted, and never returned by the API.
    #[serde(default)]
    #[schema(required)]
    pub extra_data: BTreeMap<String, String>,
}

const fn yes() -> bool {
    true
}

/// Scheme of requests to instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Unencrypted.
    #[default]
    Http,
    /// TLS, with the root certificates of the system.
    Https,
}

/// Settings of the health checks; milliseconds on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// Interval between checks, ms: 200–3,600,000.
    #[schema(required)]
    pub interval: u64,
    /// Time limit of a check, ms: 100–120,000.
    #[schema(required)]
    pub timeout: u64,
    /// Consecutive failed checks before an instance is down: 1–100.
    #[schema(required)]
    pub failures_to_down: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { interval: 30_000, timeout: 10_000, failures_to_down: 3 }
    }
}

impl HealthCheck {
    /// Returns the interval between checks.
    pub const fn interval(&self) -> Duration {
        Duration::from_millis(self.interval)
    }

    /// Returns the time limit of a check.
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }
}

/// An instance of the config, with everything needed to send requests to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Id, `ip:port`, with IPv6 in brackets.
    pub id: InstanceId,
    /// Id of its server.
    pub server_id: String,
    /// Name of its server.
    pub server_name: String,
    /// Host as in the config.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// URL `http://ip:port/base`, without a trailing slash.
    pub base_url: String,
    /// Headers sent with every request.
    pub headers: BTreeMap<String, String>,
    /// Keys for API nodes, encrypted.
    pub extra_data: BTreeMap<String, String>,
    /// Whether its server is enabled.
    pub server_enabled: bool,
}

impl FleetConfig {
    /// Encrypts the keys for API nodes that are not encrypted yet.
    ///
    /// # Errors
    /// [`NoSecretKey`].
    pub fn encrypt_keys(&mut self, encryption: &Encryption) -> Result<(), NoSecretKey> {
        for server in &mut self.servers {
            for (name, key) in &mut server.extra_data {
                if !is_encrypted(key) {
                    *key = encryption.encrypt(&key_owner(&server.id, name), key)?;
                }
            }
        }
        Ok(())
    }

    /// Returns all instances, in the order of the document.
    pub fn targets(&self) -> Vec<Target> {
        self.servers.iter().flat_map(|server| server.ports.iter().map(|port| Target::new(server, *port))).collect()
    }
}

/// Returns the owner that the encrypted keys of a server name.
fn key_owner(server_id: &str, name: &str) -> String {
    format!("server {server_id} {name}")
}

impl Target {
    /// Whether requests to both are the same: a change of other fields needs no new connection.
    pub fn speaks_like(&self, other: &Self) -> bool {
        self.base_url == other.base_url && self.headers == other.headers && self.extra_data == other.extra_data
    }

    /// Returns the keys for API nodes of its server.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn node_keys(&self, encryption: &Encryption) -> Result<NodeKeys, Unreadable> {
        let mut keys = NodeKeys::default();
        for (name, stored) in &self.extra_data {
            let key = encryption.decrypt(&key_owner(&self.server_id, name), stored)?;
            keys.add(name, key.expose()).map_err(|_| Unreadable::OtherKey)?;
        }
        Ok(keys)
    }

    fn new(server: &Server, port: u16) -> Self {
        let host = if server.ip.contains(':') { format!("[{}]", server.ip) } else { server.ip.clone() };
        let scheme = match server.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        Self {
            id: InstanceId::new(format!("{host}:{port}")),
            server_id: server.id.clone(),
            server_name: server.name.clone(),
            ip: server.ip.clone(),
            port,
            base_url: format!("{scheme}://{host}:{port}{}", server.base_path.trim_end_matches('/')),
            headers: server.headers.clone(),
            extra_data: server.extra_data.clone(),
            server_enabled: server.enabled,
        }
    }
}

/// Summary state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Responds and takes tasks.
    Up,
    /// Failed checks, or several tasks in a row: gets no new task for a while.
    Suspect,
    /// Does not respond, or was never seen.
    #[default]
    Down,
    /// Disabled: finishes running tasks and takes no new ones.
    Draining,
    /// Responds, but its machine seems broken: gets one task at a time, as a trial, after growing delays.
    Quarantined,
}

/// Last report about an instance by the dispatcher that owns it (one JSON field in Redis), also published on a change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceReport {
    /// Whether it responds.
    pub alive: bool,
    /// Summary state.
    pub phase: Phase,
    /// ComfyUI's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Prompts in the instance's own queue, ours or not, including the running one.
    pub queue_depth: u32,
    /// Current or last error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// First device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Content hash of its catalog; `None` = unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// Time at which the catalog was read last, Unix ms of the dispatcher's own clock: only shown to people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog_read_ms: Option<u64>,
    /// Content hash of the names of the files in its input folder; `None` = unknown, or too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_files: Option<String>,
    /// Time of the last successful check, Unix ms of Redis; 0 = never.
    pub last_heartbeat_ms: u64,
    /// Its absence, while it does not respond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absence: Option<Absence>,
    /// Prompts of other clients that its queue holds before one of ours.
    #[serde(skip_serializing_if = "is_zero")]
    pub foreign_before: u32,
    /// Changes of `phase`, newest first, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PhaseChange>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The first device of an instance, from `/system_stats`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Name reported by ComfyUI.
    pub name: String,
    /// Total memory, bytes.
    pub vram_total: u64,
    /// Free memory, bytes.
    pub vram_free: u64,
}

/// A change of `phase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseChange {
    /// Unix ms of the dispatcher's own clock: only shown to people.
    pub at_ms: u64,
    /// The new phase.
    pub phase: Phase,
    /// The reason, if it got worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// State of an instance in Redis at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// Id, `ip:port`.
    pub id: InstanceId,
    /// Whether the instance itself is enabled.
    pub enabled: bool,
    /// Whether a dispatcher holds its lease.
    pub leased: bool,
    /// Tasks claimed for it or running on it; empty = idle.
    pub tasks: Vec<TaskId>,
    /// Last report of its dispatcher.
    pub report: InstanceReport,
    /// Its quarantine, while it is in one.
    #[serde(default)]
    pub quarantine: Option<Quarantine>,
}

/// Counts of the whole queue at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tasks not started: delayed, waiting, claimed.
    pub pending: u64,
    /// Tasks executing.
    pub running: u64,
    /// Tasks that succeeded and are still kept.
    pub completed: u64,
    /// Tasks that failed and are still kept.
    pub failed: u64,
    /// Tasks that were cancelled and are still kept.
    pub cancelled: u64,
    /// Age of the oldest pending task, ms.
    pub oldest_waiting_ms: Option<u64>,
    /// Tasks that succeeded in the last full 60 seconds.
    pub completed_last_minute: u64,
    /// Waiting tasks of each lane, most urgent first.
    pub waiting_by_lane: [u64; 3],
    /// Files and their sizes.
    pub files: FileTotals,
    /// Whether Redis' memory is full: nothing new is accepted.
    pub memory_full: bool,
}

/// Files at one moment, by kind, and objects in the store. Files with the same content are stored once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct FileTotals {
    /// Files uploaded by users.
    pub uploads: Total,
    /// Outputs of instances.
    pub outputs: Total,
    /// Objects in the store.
    pub stored: Total,
}

/// A count and a total size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
#[schema(as = FileTotal)]
pub struct Total {
    /// Number of items.
    pub count: u64,
    /// Total size in bytes.
    pub bytes: u64,
}
