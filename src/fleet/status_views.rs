//! JSON views of instances and counts, on REST and on the WebSocket.

use super::{Absence, Counts, Device, FileTotals, InstanceStatus, Phase, Quarantine, QuarantineView, Target};
use crate::task::rfc3339;
use serde::Serialize;

/// An item of `GET /api/instances`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceView {
    /// Id, `ip:port`.
    pub id: String,
    /// Id of its server.
    pub server_id: String,
    /// Name of its server.
    pub server_name: String,
    /// Host.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// Whether it and its server are enabled.
    pub enabled: bool,
    /// Whether it responds and a dispatcher owns it.
    pub alive: bool,
    /// Whether it has one of our tasks.
    pub busy: bool,
    /// Time of the last successful check; `null` = never seen.
    #[schema(required, format = DateTime)]
    pub last_heartbeat: Option<String>,
    /// ComfyUI's version.
    #[schema(required)]
    pub version: Option<String>,
    /// Number of prompts in its own queue.
    pub queue_depth: u32,
    /// First of its tasks.
    #[schema(required, format = Uuid)]
    pub current_task_id: Option<String>,
    /// Summary state.
    pub phase: Phase,
    /// Current or last error.
    #[schema(required)]
    pub last_error: Option<String>,
    /// First device.
    #[schema(required)]
    pub device: Option<Device>,
    /// Its quarantine, while its machine seems broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineView>,
    /// Its absence, while it does not respond.
    #[serde(skip)]
    pub absence: Option<Absence>,
    /// Prompts of other clients that its queue holds before one of ours.
    #[serde(skip)]
    pub foreign_before: u32,
}

impl InstanceView {
    /// Makes the view of an instance of the config. `status` is `None` if no dispatcher has seen it.
    pub fn new(target: &Target, status: Option<&InstanceStatus>) -> Self {
        let switched_on = status.is_none_or(|status| status.enabled);
        let enabled = target.server_enabled && switched_on;
        let report = status.map(|status| status.report.clone()).unwrap_or_default();
        let alive = report.alive && status.is_some_and(|status| status.leased);
        let quarantine = status.and_then(|status| status.quarantine.as_ref());
        let phase = match (enabled, alive) {
            (_, false) => Phase::Down,
            (false, true) => Phase::Draining,
            (true, true) if quarantine.is_some() => Phase::Quarantined,
            (true, true) if report.phase == Phase::Quarantined => Phase::Up,
            (true, true) if report.phase == Phase::Draining => Phase::Up,
            (true, true) => report.phase,
        };
        let last_error = match status {
            None => Some("no dispatcher has seen this instance yet".to_owned()),
            Some(status) if !status.leased => Some("no dispatcher owns this instance".to_owned()),
            Some(_) => quarantine.filter(|_| alive).map(Quarantine::reason).or(report.last_error),
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
            quarantine: quarantine.map(QuarantineView::from),
            absence: report.absence,
            foreign_before: report.foreign_before,
        }
    }
}

impl InstanceView {
    /// Whether it is enabled, alive and not under suspicion.
    pub fn is_healthy(&self) -> bool {
        self.enabled && self.alive && self.phase == Phase::Up
    }

    /// Whether it is healthy and idle: it has no prompt, neither of ours nor of another client.
    pub fn is_free(&self) -> bool {
        self.is_healthy() && !self.busy && self.queue_depth == 0
    }
}

/// Overview: `GET /api/monitor/overview` and `global_status` of the WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverviewView {
    /// Instances of the config.
    pub total_instances: u64,
    /// Instances alive.
    pub alive_instances: u64,
    /// Instances with one of our tasks.
    pub busy_instances: u64,
    /// Instances enabled, healthy and idle.
    pub free_instances: u64,
    /// Tasks not started.
    pub pending_tasks: u64,
    /// Tasks executing.
    pub running_tasks: u64,
    /// Tasks that succeeded and are still kept.
    pub completed_tasks: u64,
    /// Tasks that failed and are still kept.
    pub failed_tasks: u64,
    /// Tasks that were cancelled and are still kept.
    pub cancelled_tasks: u64,
    /// Tasks completed in the last full minute.
    pub throughput_per_minute: u64,
    /// Age of the oldest pending task, ms; `null` = there is none.
    #[schema(required)]
    pub oldest_waiting_ms: Option<u64>,
    /// Stored files: `{"uploads":{"count","bytes"},"outputs":{…},"stored":{…}}`.
    pub files: FileTotals,
    /// Error types with which new tasks or uploads are refused now, such as `queue_memory_full`; and `redis_unfit`.
    pub warnings: Vec<&'static str>,
}

impl OverviewView {
    /// Makes the overview of instances and counts.
    pub fn new(instances: &[InstanceView], counts: &Counts) -> Self {
        let count = |is: fn(&InstanceView) -> bool| instances.iter().filter(|instance| is(instance)).count() as u64;
        Self {
            total_instances: instances.len() as u64,
            alive_instances: count(|instance| instance.alive),
            busy_instances: count(|instance| instance.busy),
            free_instances: count(InstanceView::is_free),
            pending_tasks: counts.pending,
            running_tasks: counts.running,
            completed_tasks: counts.completed,
            failed_tasks: counts.failed,
            cancelled_tasks: counts.cancelled,
            throughput_per_minute: counts.completed_last_minute,
            oldest_waiting_ms: counts.oldest_waiting_ms,
            files: counts.files,
            warnings: counts.memory_full.then_some("queue_memory_full").into_iter().collect(),
        }
    }
}
