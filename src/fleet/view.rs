//! How instances and counts are shown to users, on REST and on the WebSocket alike.

use super::{Counts, Device, FileTotals, InstanceStatus, Phase, Target};
use crate::task::rfc3339;
use serde::Serialize;

/// An item of `GET /api/instances`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceView {
    /// `ip:port`.
    pub id: String,
    /// Its server.
    pub server_id: String,
    /// Its server's name.
    pub server_name: String,
    /// Host.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// Switched on, here and at its server.
    pub enabled: bool,
    /// Answers, and a dispatcher looks after it.
    pub alive: bool,
    /// Has a task of ours.
    pub busy: bool,
    /// Last successful check; `null` = never seen.
    pub last_heartbeat: Option<String>,
    /// ComfyUI's version.
    pub version: Option<String>,
    /// Prompts in its own queue.
    pub queue_depth: u32,
    /// The first of its tasks.
    pub current_task_id: Option<String>,
    /// At a glance.
    pub phase: Phase,
    /// What is wrong, or was last.
    pub last_error: Option<String>,
    /// First device.
    pub device: Option<Device>,
}

impl InstanceView {
    /// Shows one instance of the config. `status` is `None` for one that no dispatcher has seen.
    pub fn new(target: &Target, status: Option<&InstanceStatus>) -> Self {
        let switched_on = status.is_none_or(|status| status.enabled);
        let enabled = target.server_enabled && switched_on;
        let report = status.map(|status| status.report.clone()).unwrap_or_default();
        let alive = report.alive && status.is_some_and(|status| status.leased);
        let phase = match (enabled, alive) {
            (_, false) => Phase::Down,
            (false, true) => Phase::Draining,
            (true, true) if report.phase == Phase::Draining => Phase::Up,
            (true, true) => report.phase,
        };
        let last_error = match status {
            None => Some("no dispatcher has seen this instance yet".to_owned()),
            Some(status) if !status.leased => Some("no dispatcher looks after this instance".to_owned()),
            Some(_) => report.last_error,
        };
        Self {
            id: target.id.to_string(),
            server_id: target.server_id.clone(),
            server_name: target.server_name.clone(),
            ip: target.ip.clone(),
            port: target.port,
            enabled,
            alive,
            busy: status.is_some_and(|status| !status.tasks.is_empty()),
            last_heartbeat: (report.last_heartbeat_ms > 0).then(|| rfc3339(report.last_heartbeat_ms)),
            version: report.version,
            queue_depth: report.queue_depth,
            current_task_id: status.and_then(|status| status.tasks.first()).map(ToString::to_string),
            phase,
            last_error,
            device: report.device,
        }
    }
}

/// `GET /api/monitor/overview` and the WebSocket's `global_status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OverviewView {
    /// Of the config.
    pub total_instances: u64,
    /// Of them alive.
    pub alive_instances: u64,
    /// Of them with a task of ours.
    pub busy_instances: u64,
    /// Tasks not begun.
    pub pending_tasks: u64,
    /// Tasks executing.
    pub running_tasks: u64,
    /// Tasks ended well and still kept.
    pub completed_tasks: u64,
    /// Tasks ended badly and still kept.
    pub failed_tasks: u64,
    /// Tasks cancelled and still kept.
    pub cancelled_tasks: u64,
    /// Completed in the last full minute.
    pub throughput_per_minute: u64,
    /// Age of the oldest pending task; `null` = none waits.
    pub oldest_waiting_ms: Option<u64>,
    /// Stored files: `{"uploads":{"count","bytes"},"outputs":{…},"stored":{…}}`.
    pub files: FileTotals,
}

impl OverviewView {
    /// Sums up.
    pub fn new(instances: &[InstanceView], counts: &Counts) -> Self {
        let count = |is: fn(&InstanceView) -> bool| instances.iter().filter(|instance| is(instance)).count() as u64;
        Self {
            total_instances: instances.len() as u64,
            alive_instances: count(|instance| instance.alive),
            busy_instances: count(|instance| instance.busy),
            pending_tasks: counts.pending,
            running_tasks: counts.running,
            completed_tasks: counts.completed,
            failed_tasks: counts.failed,
            cancelled_tasks: counts.cancelled,
            throughput_per_minute: counts.completed_last_minute,
            oldest_waiting_ms: counts.oldest_waiting_ms,
            files: counts.files,
        }
    }
}
