//! How a task is shown to users, on REST and on the WebSocket alike. The only place that spells these fields.

use super::{
    Attempt, AttemptError, AttemptRecord, BatchId, Failure, FileId, FlowName, InstanceId, Links, Output, Priority,
    Status, Task, TaskId, TaskState, Warning,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// A task as JSON. List items and details have the same shape; what only details know is `None` in lists.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// The task.
    pub id: TaskId,
    /// The same, under the name of the WebSocket messages.
    pub task_id: TaskId,
    /// Of the current or last attempt; `null` before the first.
    pub instance_id: Option<String>,
    /// What users see of the state.
    pub status: Status,
    /// 0–100; 100 only when completed.
    pub progress: u8,
    /// RFC 3339 with ms.
    pub created_at: String,
    /// RFC 3339 with ms.
    pub updated_at: String,
    /// Accepted; the same as `createdAt`, under the name of the life cycle.
    pub queued_at: String,
    /// Execution began.
    pub started_at: Option<String>,
    /// Ended.
    pub finished_at: Option<String>,
    /// From accepted to begun (or to the end of a task that never began).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    /// From begun to ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_ms: Option<u64>,
    /// Whose.
    pub owner: String,
    /// `high`, `normal`, `low`.
    pub priority: Priority,
    /// 0 before the first.
    pub attempt: Attempt,
    /// Limit.
    pub max_attempts: u32,
    /// When a failed attempt is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// Must have begun by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_by: Option<String>,
    /// Longest run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// 0 = the next to be served in its lane; only while it waits, only in details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u64>,
    /// From now to its start, as far as it can be told; only while it waits, only in details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
    /// Why it waits, in words; only while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// The only instances that have what it needs; not there = all have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub eligible_instances: Vec<InstanceId>,
    /// The node that executes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_node: Option<String>,
    /// Nodes finished.
    pub nodes_done: u32,
    /// Nodes in all.
    pub nodes_total: u32,
    /// A cancelled task whose instance has not confirmed yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// Files and texts: of a running task what there is so far, in the order it came; of a completed one all, in graph order;
    /// of a failed or cancelled one what it left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultView>,
    /// Why it failed (or why the last attempt did).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Tries so far.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptView>,
    /// How often it was given another try after it had ended (`POST …/retry`).
    #[serde(skip_serializing_if = "is_zero")]
    pub revived: u32,
    /// The same for the same graph but for seeds, texts and file names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_hash: Option<String>,
    /// What the submitter should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// What we decided for the submitter: `{"seeds":{"3.seed":123},"params":{"prompt":"6.text"}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<ResolvedView>,
    /// The submitter's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// The published workflow that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_name: Option<FlowName>,
    /// Which version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_version: Option<u64>,
    /// The batch that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<BatchId>,
    /// Its place in the batch, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_index: Option<u16>,
    /// As submitted; details only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Box<RawValue>>,
    /// The resolved graph; only with `?include=workflow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Box<RawValue>>,
}

/// `result` of a task: `files` are links in graph order, `outputs` the same things typed.
#[derive(Debug, Clone, Serialize)]
pub struct ResultView {
    /// Links of everything that is a file.
    pub files: Vec<String>,
    /// Typed.
    pub outputs: Vec<OutputView>,
}

/// One output with its link.
#[derive(Debug, Clone, Serialize)]
pub struct OutputView {
    /// The stored facts.
    #[serde(flatten)]
    pub output: Output,
    /// Link, for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The file has been deleted since: these facts are all that is left.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// One try.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    attempt: Attempt,
    instance_id: String,
    started_at: String,
    ended_at: Option<String>,
    outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<AttemptError>,
}

/// What we decided.
#[derive(Debug, Clone, Serialize)]
pub struct ResolvedView {
    /// Seeds drawn: `{"3.seed": u64}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seeds: BTreeMap<String, u64>,
    /// Where well-known names went: `{"prompt": "6.text"}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

impl ResolvedView {
    /// `None` when nothing was decided.
    pub fn new(seeds: &[(String, u64)], mapped: &[(String, String)]) -> Option<Self> {
        (!seeds.is_empty() || !mapped.is_empty())
            .then(|| Self { seeds: seeds.iter().cloned().collect(), params: mapped.iter().cloned().collect() })
    }
}

impl ResultView {
    /// Adds links to stored outputs.
    pub fn new(outputs: &[Output], links: &Links) -> Self {
        let outputs = OutputView::all(outputs, links);
        Self { files: outputs.iter().filter_map(|output| output.url.clone()).collect(), outputs }
    }

    /// Takes the links of deleted files away.
    fn without(mut self, gone: &BTreeSet<FileId>) -> Self {
        for output in &mut self.outputs {
            output.deleted = output.output.file_id.is_some_and(|id| gone.contains(&id));
            output.url.take_if(|_| output.deleted);
        }
        self.files = self.outputs.iter().filter_map(|output| output.url.clone()).collect();
        self
    }
}

impl OutputView {
    /// Adds links to stored outputs, and leaves out what is none of the user's business.
    pub fn all(outputs: &[Output], links: &Links) -> Vec<Self> {
        let view = |output: &Output| Self {
            url: output.file_id.map(|id| links.file(id)),
            deleted: false,
            output: Output { source: None, ..output.clone() },
        };
        outputs.iter().map(view).collect()
    }
}

impl TaskView {
    /// Shows a task. `queue_position`, `waiting_for`, `params` and `workflow` are for the caller to add.
    pub fn new(task: &Task, links: &Links) -> Self {
        let (completed, ended) = (task.state == TaskState::Completed, task.state.is_terminal());
        let nodes_total = task.progress.nodes_total.max(task.facts.nodes_total);
        let has_result = completed || !task.outputs.is_empty();
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
            queue_ms: task.started_ms.or(task.finished_ms).map(|begun| begun.saturating_sub(task.created_ms)),
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
            nodes_done: if completed { nodes_total } else { task.progress.nodes_done },
            nodes_total,
            cancel_requested: task.cancel_pending,
            result: has_result.then(|| ResultView::new(&task.outputs, links).without(&task.gone)),
            error: task.failure.clone(),
            attempts: task.attempts.iter().map(AttemptView::new).collect(),
            revived: task.revived,
            workflow_hash: task.facts.workflow_hash.clone(),
            warnings: task.facts.warnings.clone(),
            resolved: ResolvedView::new(&task.facts.seeds, &task.facts.mapped),
            metadata: task.facts.metadata.clone(),
            workflow_name: task.facts.flow.as_ref().map(|flow| flow.name.clone()),
            workflow_version: task.facts.flow.as_ref().map(|flow| flow.version),
            batch_id: task.facts.batch.map(|_| BatchId::of(task.id)),
            batch_index: task.facts.batch.map(|batch| batch.index),
            params: None,
            workflow: None,
        }
    }
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

/// Unix ms as `2024-01-01T00:00:00.000Z`. A time outside the calendar (never written by us) is shown as its start.
pub(crate) fn rfc3339(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(0);
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_have_milliseconds_and_z() {
        assert_eq!(super::rfc3339(1_704_067_200_000), "2024-01-01T00:00:00.000Z");
    }
}
