//! Servers → instances: the config document and its validation, and what is known of each instance.
//!
//! The config lives in Redis (versioned); this room only knows its shape. Look first at [`parse_config`].

mod validate;
mod view;

pub use validate::{INSTANCES_MAX, MASKED, Problem, SERVERS_MAX, is_allowed_address, masked, parse_config};
pub use view::{InstanceView, OverviewView};

use crate::task::{InstanceId, TaskId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// `GET /api/config`, and what Redis holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetConfig {
    /// The machines.
    pub servers: Vec<Server>,
    /// How instances are checked.
    pub health_check: HealthCheck,
    /// Raised by one at each change; 0 = never set.
    #[serde(default)]
    pub version: u64,
}

/// One machine with its ComfyUI ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Unique, 1–64 of `[A-Za-z0-9._-]`.
    pub id: String,
    /// For people, 1–128 characters.
    pub name: String,
    /// IP literal or host name; IPv6 without brackets.
    pub ip: String,
    /// 1–65535, unique together with `ip`.
    pub ports: Vec<u16>,
    /// `false` drains all its instances.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Scheme,
    /// Path before ComfyUI's own routes: empty, or `/comfy`.
    #[serde(default)]
    pub base_path: String,
    /// Sent with every request to the instances; values never come back from the API.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

const fn yes() -> bool {
    true
}

/// How instances are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// TLS, OS roots.
    Https,
}

/// Milliseconds on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// Between two checks, ms: 200–3,600,000.
    pub interval: u64,
    /// Of one check, ms: 100–120,000.
    pub timeout: u64,
    /// Misses in a row before an instance is down: 1–100.
    pub failures_to_down: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { interval: 30_000, timeout: 10_000, failures_to_down: 3 }
    }
}

impl HealthCheck {
    /// Between two checks.
    pub const fn interval(&self) -> Duration {
        Duration::from_millis(self.interval)
    }

    /// Of one check.
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }
}

/// One instance of the config, ready to be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `ip:port`, IPv6 in brackets.
    pub id: InstanceId,
    /// Its server.
    pub server_id: String,
    /// Its server's name.
    pub server_name: String,
    /// Host as written.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// `http://ip:port/base`, no slash at the end.
    pub base_url: String,
    /// Sent with every request.
    pub headers: BTreeMap<String, String>,
    /// The server's switch.
    pub server_enabled: bool,
}

impl FleetConfig {
    /// Every instance, in the order of the document.
    pub fn targets(&self) -> Vec<Target> {
        self.servers.iter().flat_map(|server| server.ports.iter().map(|port| Target::new(server, *port))).collect()
    }
}

impl Target {
    /// Whether both are spoken to in the same way: a change of the rest needs no new connection.
    pub fn speaks_like(&self, other: &Self) -> bool {
        self.base_url == other.base_url && self.headers == other.headers
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
            server_enabled: server.enabled,
        }
    }
}

/// What an operator should know of an instance at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Answers and takes tasks.
    Up,
    /// Missed checks, or failed tasks in a row: gets no new task for a while.
    Suspect,
    /// Does not answer, or was never seen.
    #[default]
    Down,
    /// Disabled: ends what runs, takes nothing new.
    Draining,
}

/// What the owning dispatcher last reported of an instance (one JSON field in Redis), and what is published on a change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceReport {
    /// Answers.
    pub alive: bool,
    /// At a glance.
    pub phase: Phase,
    /// ComfyUI's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Prompts in the instance's own queue, running one included, ours or not.
    pub queue_depth: u32,
    /// What is wrong, or was last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The first device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Content hash of what it can run; `None` = not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// Last successful check, Unix ms of Redis; 0 = never.
    pub last_heartbeat_ms: u64,
    /// Changes of `phase`, newest first, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PhaseChange>,
}

/// The first device of an instance, from `/system_stats`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// As ComfyUI says.
    pub name: String,
    /// Bytes.
    pub vram_total: u64,
    /// Bytes.
    pub vram_free: u64,
}

/// One change of `phase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseChange {
    /// Unix ms of Redis.
    pub at_ms: u64,
    /// The new phase.
    pub phase: Phase,
    /// Why, when it got worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Everything Redis knows of an instance at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// `ip:port`.
    pub id: InstanceId,
    /// The operator's switch of the instance itself.
    pub enabled: bool,
    /// A dispatcher holds its lease now.
    pub leased: bool,
    /// Tasks claimed for it or running on it; empty = idle.
    pub tasks: Vec<TaskId>,
    /// As last reported by its owner.
    pub report: InstanceReport,
}

/// Counts of the whole queue at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Not begun: delayed, waiting, claimed.
    pub pending: u64,
    /// Executing.
    pub running: u64,
    /// Ended well and still kept.
    pub completed: u64,
    /// Ended badly and still kept.
    pub failed: u64,
    /// Cancelled and still kept.
    pub cancelled: u64,
    /// Age of the oldest pending task.
    pub oldest_waiting_ms: Option<u64>,
    /// Tasks that ended well in the last full 60 seconds.
    pub completed_last_minute: u64,
    /// Waiting per lane, most urgent first.
    pub waiting_by_lane: [u64; 3],
    /// Files.
    pub files: FileTotals,
}

/// Files of one instant: by kind as users see them, and what the store holds. Files of the same content are stored once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct FileTotals {
    /// From users.
    pub uploads: Total,
    /// From instances.
    pub outputs: Total,
    /// Objects in the store.
    pub stored: Total,
}

/// So many, of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Total {
    /// How many.
    pub count: u64,
    /// Bytes of all.
    pub bytes: u64,
}
