//! JSON view of a task, on REST and on the WebSocket. The only place that defines these fields.

mod result;
#[cfg(test)]
mod tests;
mod waits;

use super::{
    Attempt, AttemptError, AttemptRecord, BatchId, Failure, InstanceId, Links, Priority, Status, Task, TaskId,
    TaskState, Warning, WorkflowName, output::OutputWarning,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use waits::Waits;

pub use result::{OutputView, ResultView};

/// Code of the warning about an output that is left out.
const OUTPUT_IGNORED: &str = "output_ignored";

/// A task as JSON. List items and details have the same shape; fields of details are absent in lists.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// Id of the task.
    pub id: TaskId,
    /// The same id, under its name in WebSocket messages.
    pub task_id: TaskId,
    /// Instance of the current or last attempt; `null` before the first.
    #[schema(required)]
    pub instance_id: Option<String>,
    /// Status of the task.
    pub status: Status,
    /// Percentage, 0–100; 100 only when completed.
    #[schema(minimum = 0, maximum = 100)]
    pub progress: u8,
    /// Time of acceptance, RFC 3339 with ms.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Time of the last change, RFC 3339 with ms.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// The same as `createdAt`, named like the other times of the life cycle.
    #[schema(format = DateTime)]
    pub queued_at: String,
    /// Start of execution.
    #[schema(required, format = DateTime)]
    pub started_at: Option<String>,
    /// Time of the end.
    #[schema(required, format = DateTime)]
    pub finished_at: Option<String>,
    /// Time from which the ended task is deleted, with its outputs unless those are kept longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// Time from acceptance to start (or to the end of a task that never started), ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    /// Time that it waited, ms: before its start and between attempts, without the runs of earlier attempts; while it waits,
    /// up to `waitingSince`.
    pub waited_ms: u64,
    /// Time since which it waits; only while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub waiting_since: Option<String>,
    /// Time from start to end, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_ms: Option<u64>,
    /// User who submitted it.
    pub owner: String,
    /// Priority: `high`, `normal` or `low`.
    pub priority: Priority,
    /// Current or last attempt; 0 before the first.
    pub attempt: Attempt,
    /// Maximum number of attempts.
    pub max_attempts: u32,
    /// Time of the retry of a failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub next_attempt_at: Option<String>,
    /// Latest start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub start_by: Option<String>,
    /// Time limit of a run, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Position in its lane, 0 = next; only while it waits, only in details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u64>,
    /// Estimated time until its start, ms; only while it waits, only in details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
    /// The reason it waits, for people; only while it waits, or while the instance that runs it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Instances that meet its needs; absent = all do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub eligible_instances: Vec<InstanceId>,
    /// Id of the executing node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_node: Option<String>,
    /// Step of the executing node, if it reports steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// Number of its steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// Estimated rest of the run at the last change, ms; only while it runs, and once there is something to estimate it
    /// from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
    /// Number of finished nodes.
    pub nodes_done: u32,
    /// Total number of nodes.
    pub nodes_total: u32,
    /// Whether it is cancelled, but its instance has not confirmed yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// Files and texts: of a running task those so far, in the order of arrival; of a completed task all, in graph
    /// order; of a failed or cancelled task those it left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultView>,
    /// Failure of the task (or of its last attempt).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Attempts so far.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptView>,
    /// Number of times it was revived after it had ended (`POST …/retry`).
    #[serde(skip_serializing_if = "is_zero")]
    pub revived: u32,
    /// Hash of the graph without seeds, texts and file names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_hash: Option<String>,
    /// Warnings for the submitter, about the request and, once the task has ended, about its outputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<WarningView>,
    /// Values chosen by the server: `{"seeds":{"3.seed":123},"params":{"prompt":"6.text"}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<ResolvedView>,
    /// Object of the submitter, returned as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
    /// Name of the published workflow that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_name: Option<WorkflowName>,
    /// Version of that workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_version: Option<u64>,
    /// Id of its batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<BatchId>,
    /// Index in its batch, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_index: Option<u16>,
    /// Params as submitted; only in details.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub params: Option<Box<RawValue>>,
    /// The resolved graph; only with `?include=workflow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub workflow: Option<Box<RawValue>>,
    /// Whether texts, outputs or other long parts were cut, because it is an entry of a list; the task has all of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// An attempt.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    attempt: Attempt,
    instance_id: String,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(required, format = DateTime)]
    ended_at: Option<String>,
    #[schema(required)]
    outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<AttemptError>,
}

/// A warning about a request or about outputs: `{"code","message","param"?,"nodeId"?,"key"?}`.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WarningView {
    /// Stable code for programs, such as `param_unused` or `output_dropped`.
    pub code: String,
    /// Message for people.
    pub message: String,
    /// The parameter concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// The node concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Key of the node's result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The node of an output that is left out (`output_ignored`); the same as `nodeId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Reason why an output is left out (`output_ignored`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl WarningView {
    /// Adds node and reason of an output that is left out.
    fn of_ignored_output(mut self) -> Self {
        if self.code == OUTPUT_IGNORED {
            self.node_id = self.node_id.or_else(|| self.param.take());
            (self.node, self.reason) = (self.node_id.clone(), Some(self.message.clone()));
        }
        self
    }
}

impl From<&Warning> for WarningView {
    fn from(warning: &Warning) -> Self {
        let Warning { code, message, param } = warning.clone();
        Self { code, message, param, node_id: None, key: None, node: None, reason: None }.of_ignored_output()
    }
}

impl From<&OutputWarning> for WarningView {
    fn from(warning: &OutputWarning) -> Self {
        let OutputWarning { code, message, node_id, key } = warning.clone();
        Self { code, message, param: None, node_id, key, node: None, reason: None }.of_ignored_output()
    }
}

/// Values chosen by the server.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ResolvedView {
    /// Drawn seeds: `{"3.seed": u64}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seeds: BTreeMap<String, u64>,
    /// Inputs of mapped well-known names: `{"prompt": "6.text"}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

impl ResolvedView {
    /// Makes the view; `None` if there are no such values.
    pub fn new(seeds: &[(String, u64)], mapped: &[(String, String)]) -> Option<Self> {
        (!seeds.is_empty() || !mapped.is_empty())
            .then(|| Self { seeds: seeds.iter().cloned().collect(), params: mapped.iter().cloned().collect() })
    }

    /// Keeps at most `length_max` of each. Returns true if there were more.
    pub(super) fn cut(&mut self, length_max: usize) -> bool {
        let is_long = self.seeds.len() > length_max || self.params.len() > length_max;
        while self.seeds.len() > length_max {
            self.seeds.pop_last();
        }
        while self.params.len() > length_max {
            self.params.pop_last();
        }
        is_long
    }
}

impl TaskView {
    /// Makes the view of a task. The caller adds `queue_position`, `waiting_for`, `params` and `workflow`.
    pub fn new(task: &Task, links: &Links) -> Self {
        let (completed, ended) = (task.state == TaskState::Completed, task.state.is_terminal());
        let waits = Waits::of(task);
        let nodes_total = task.progress.nodes_total.max(task.facts.nodes_total);
        let has_result = completed || !task.outputs.is_empty() || task.outputs_dropped > 0;
        let result = has_result.then(|| ResultView::new(&task.outputs, links).without(&task.gone));
        let result = result.map(|result| ResultView { truncated: task.outputs_dropped > 0, ..result });
        Self {
            id: task.id,
            task_id: task.id,
            instance_id: task.instance.as_ref().map(ToString::to_string),
            status: task.state.status(),
            progress: if completed { 100 } else { task.progress.percent.min(99) },
            created_at: rfc3339(task.created_ms),
            updated_at: rfc3339(task.updated_ms),
            queued_at: rfc3339(task.created_ms),
            started_at: task.started_ms.map(rfc3339),
            finished_at: task.finished_ms.map(rfc3339),
            expires_at: task.expires_ms.map(rfc3339),
            queue_ms: task.started_ms.or(task.finished_ms).map(|begun| begun.saturating_sub(task.created_ms)),
            waited_ms: waits.ended_ms,
            waiting_since: waits.since_ms.map(rfc3339),
            run_ms: task.finished_ms.zip(task.started_ms).map(|(end, begun)| end.saturating_sub(begun)),
            owner: task.owner.clone(),
            priority: task.priority,
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            next_attempt_at: task.retry_at_ms.map(rfc3339),
            start_by: task.start_by_ms.map(rfc3339),
            timeout_ms: task.facts.timeout_ms,
            queue_position: None,
            eta_ms: None,
            waiting_for: None,
            eligible_instances: task.facts.eligible.clone(),
            current_node: if ended { None } else { task.progress.current_node.clone() },
            step: task.progress.step.filter(|_| !ended),
            steps: task.progress.steps.filter(|_| !ended),
            remaining_ms: task.progress.remaining_ms.filter(|_| !ended),
            nodes_done: if completed { nodes_total } else { task.progress.nodes_done },
            nodes_total,
            cancel_requested: task.cancel_pending,
            result,
            error: task.failure.clone(),
            attempts: task.attempts.iter().map(AttemptView::new).collect(),
            revived: task.revived,
            workflow_hash: task.facts.workflow_hash.clone(),
            warnings: warnings(task),
            resolved: ResolvedView::new(&task.facts.seeds, &task.facts.mapped),
            metadata: task.facts.metadata.clone(),
            workflow_name: task.facts.workflow.as_ref().map(|workflow| workflow.name.clone()),
            workflow_version: task.facts.workflow.as_ref().map(|workflow| workflow.version),
            batch_id: task.facts.batch.map(|_| BatchId::of(task.id)),
            batch_index: task.facts.batch.map(|batch| batch.index),
            params: None,
            workflow: None,
            truncated: false,
        }
    }
}

fn warnings(task: &Task) -> Vec<WarningView> {
    let of_request = task.facts.warnings.iter().map(WarningView::from);
    // An output may have been left out knowingly.
    let is_known = |warning: &&OutputWarning| {
        warning.code == OUTPUT_IGNORED
            && task.facts.warnings.iter().any(|known| known.code == OUTPUT_IGNORED && known.param == warning.node_id)
    };
    let of_outputs = task.output_warnings.iter().filter(|warning| !is_known(warning)).map(WarningView::from);
    of_request.chain(of_outputs).collect()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl AttemptView {
    fn new(record: &AttemptRecord) -> Self {
        Self {
            attempt: record.attempt,
            instance_id: record.instance_id.to_string(),
            started_at: rfc3339(record.started_ms),
            ended_at: record.ended_ms.map(rfc3339),
            outcome: record.outcome.clone(),
            error: record.error.clone(),
        }
    }
}

/// Formats Unix ms as `2024-01-01T00:00:00.000Z`. A time outside the calendar (never written by us) gives the Unix
/// epoch.
pub(crate) fn rfc3339(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(0);
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}
