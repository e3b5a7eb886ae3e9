//! Event frames: `{"type","timestamp","data"}`, with the types of the client guide. Replies are in `replies.rs`.

use super::outbox::{Frame, FrameKind};
use crate::{
    clock,
    event::{TaskChange, TaskEvent},
    fleet::{InstanceView, OverviewView, Phase},
    task::{Attempt, Failure, InstanceId, Links, OutputView, ResultView, Status, TaskId, WarningView},
};
use serde::Serialize;

#[derive(Serialize)]
struct Message<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: u64,
    data: T,
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// Fields that all messages about a task share.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskHeader<'a> {
    task_id: TaskId,
    status: Status,
    attempt: Attempt,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<&'a InstanceId>,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revived: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskProgress<'a> {
    #[serde(flatten)]
    header: TaskHeader<'a>,
    progress: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes_done: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes_total: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_ms: Option<u64>,
}

impl<'a> TaskProgress<'a> {
    /// A message without progress.
    const fn of(header: TaskHeader<'a>) -> Self {
        let (progress, current_node, nodes_done, nodes_total) = (0, None, None, None);
        Self { header, progress, current_node, nodes_done, nodes_total, step: None, steps: None, remaining_ms: None }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskOutput<'a> {
    #[serde(flatten)]
    header: TaskHeader<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<&'a str>,
    outputs: Vec<OutputView>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(Serialize)]
struct TaskCompleted<'a> {
    #[serde(flatten)]
    header: TaskHeader<'a>,
    progress: u8,
    result: ResultView,
    /// About the outputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningView>,
    cursor: &'a str,
}

#[derive(Serialize)]
struct TaskFailed<'a> {
    #[serde(flatten)]
    header: TaskHeader<'a>,
    error: FailedError<'a>,
    cursor: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum FailedError<'a> {
    Failure(&'a Failure),
    Cancelled {
        #[serde(rename = "type")]
        kind: &'static str,
        message: &'static str,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InstanceMessage<'a> {
    instance_id: &'a str,
    alive: bool,
    busy: bool,
    enabled: bool,
    phase: Phase,
    current_task_id: Option<&'a str>,
    queue_depth: u32,
    last_heartbeat: Option<&'a str>,
    last_error: Option<&'a str>,
}

#[derive(Serialize)]
struct GlobalMessage<'a> {
    #[serde(flatten)]
    overview: &'a OverviewView,
    cursor: &'a str,
}

/// Makes the frame of a task event; `None` for a change that users do not see. `percent` is the progress of the attempt
/// so far, `cursor` the position after this ending.
pub fn task_event(event: &TaskEvent, links: &Links, percent: u8, cursor: &str) -> Option<Frame> {
    let header = |status| TaskHeader {
        task_id: event.id,
        status,
        attempt: event.attempt,
        instance_id: event.instance.as_ref(),
        version: event.version,
        revived: (event.revived > 0).then_some(event.revived),
    };
    let progress_only = |status, progress, nodes_done| {
        let header = header(status);
        TaskProgress { progress, nodes_done, ..TaskProgress::of(header) }
    };
    let kind = FrameKind::Progress(event.id);
    Some(match &event.change {
        TaskChange::Claimed => return None,
        TaskChange::Pending => {
            event_frame("task_progress", kind, progress_only(Status::Pending, percent.min(99), None))
        }
        // A barrier: no progress of the new life may move before the ending of the old one.
        TaskChange::Revived => {
            event_frame("task_progress", FrameKind::Barrier, progress_only(Status::Pending, 0, None))
        }
        TaskChange::Started => event_frame("task_progress", kind, progress_only(Status::Running, 0, Some(0))),
        TaskChange::Progress(progress) => {
            let message = TaskProgress {
                header: header(Status::Running),
                progress: progress.percent.min(99),
                current_node: progress.current_node.as_deref(),
                nodes_done: Some(progress.nodes_done),
                nodes_total: Some(progress.nodes_total),
                step: progress.step,
                steps: progress.steps,
                remaining_ms: progress.remaining_ms,
            };
            event_frame("task_progress", kind, message)
        }
        TaskChange::Output { outputs } => {
            let node_id = outputs.first().map(|output| output.node_id.as_str());
            let result = ResultView::of_event(outputs, 0, links);
            let message = TaskOutput {
                header: header(Status::Running),
                node_id,
                outputs: result.outputs,
                truncated: result.truncated,
            };
            event_frame("task_output", FrameKind::Output(event.id), message)
        }
        TaskChange::Completed { outputs, outputs_dropped, warnings } => {
            let result = ResultView::of_event(outputs, *outputs_dropped, links);
            let warnings = warnings.iter().map(WarningView::from).collect();
            let message = TaskCompleted { header: header(Status::Completed), progress: 100, result, warnings, cursor };
            event_frame("task_completed", FrameKind::Required, message)
        }
        TaskChange::Failed { failure } => {
            let message = TaskFailed { header: header(Status::Failed), error: FailedError::Failure(failure), cursor };
            event_frame("task_failed", FrameKind::Required, message)
        }
        TaskChange::Cancelled => {
            let error = FailedError::Cancelled { kind: "cancelled", message: "the task was cancelled" };
            event_frame(
                "task_failed",
                FrameKind::Required,
                TaskFailed { header: header(Status::Cancelled), error, cursor },
            )
        }
    })
}

/// Makes an `instance_status`.
pub fn instance_status(view: &InstanceView) -> Frame {
    let message = InstanceMessage {
        instance_id: &view.id,
        alive: view.alive,
        busy: view.busy,
        enabled: view.enabled,
        phase: view.phase,
        current_task_id: view.current_task_id.as_deref(),
        queue_depth: view.queue_depth,
        last_heartbeat: view.last_heartbeat.as_deref(),
        last_error: view.last_error.as_deref(),
    };
    event_frame("instance_status", FrameKind::Required, message)
}

/// Makes a `global_status`: the overview, and the cursor of a client that receives all events from now on.
pub fn global_status(overview: &OverviewView, cursor: &str) -> Frame {
    event_frame("global_status", FrameKind::Required, GlobalMessage { overview, cursor })
}

fn event_frame(kind: &str, frame: FrameKind, data: impl Serialize) -> Frame {
    write(Message { kind, timestamp: clock::unix_ms(), data, request_id: None }, frame)
}

/// Makes a reply, with the `requestId` of its request.
pub(super) fn reply(kind: &str, request_id: Option<&str>, data: impl Serialize) -> Frame {
    write(Message { kind, timestamp: clock::unix_ms(), data, request_id }, FrameKind::Reply)
}

fn write<T: Serialize>(message: Message<'_, T>, kind: FrameKind) -> Frame {
    let text = serde_json::to_string(&message).expect("plain structs with string keys always serialise");
    Frame { text: text.into(), kind }
}

#[cfg(test)]
mod tests {
    use super::{instance_status, task_event};
    use crate::{
        event::{TaskChange, TaskEvent},
        fleet::{InstanceView, Phase},
        task::{Attempt, Failure, FailureKind, FileId, InstanceId, Links, Output, OutputKind, Progress, TaskId},
    };
    use serde_json::{Value, json};

    fn sent(change: TaskChange) -> Option<(TaskId, Value)> {
        let (id, attempt, instance) = (TaskId::new(), Attempt::new(2), Some(InstanceId::new("127.0.0.1:8001")));
        let event = TaskEvent { id, owner: "a".to_owned(), version: 7, attempt, revived: 0, instance, change };
        let frame = task_event(&event, &Links::new("http://x/"), 30, "p-1")?;
        let mut value: Value = serde_json::from_str(&frame.text).unwrap();
        assert!(value["timestamp"].take().as_u64().unwrap() > 1_704_067_200_000);
        assert_eq!(value["data"]["taskId"], id.to_string());
        assert_eq!(value["data"]["version"], 7);
        assert_eq!(value["data"]["attempt"], 2);
        assert_eq!(value["data"]["instanceId"], "127.0.0.1:8001");
        Some((id, value))
    }

    #[test]
    fn progress_has_the_documented_fields() {
        let progress = Progress {
            percent: 50,
            current_node: Some("3".to_owned()),
            nodes_done: 1,
            nodes_total: 4,
            ..Progress::default()
        };
        let (_, value) = sent(TaskChange::Progress(progress)).unwrap();
        assert_eq!(value["type"], "task_progress");
        assert_eq!(value["data"]["progress"], 50);
        assert_eq!(value["data"]["status"], "running");
        assert_eq!(value["data"]["currentNode"], "3");
        assert_eq!((&value["data"]["nodesDone"], &value["data"]["nodesTotal"]), (&json!(1), &json!(4)));
        let (_, value) = sent(TaskChange::Started).unwrap();
        assert_eq!((&value["data"]["progress"], &value["data"]["status"]), (&json!(0), &json!("running")));
        let (_, value) = sent(TaskChange::Pending).unwrap();
        assert_eq!((&value["data"]["progress"], &value["data"]["status"]), (&json!(30), &json!("pending")));
        assert!(sent(TaskChange::Claimed).is_none());
    }

    #[test]
    fn endings_carry_result_or_error() {
        let file = FileId::new();
        let image = Output {
            node_id: "9".to_owned(),
            kind: OutputKind::Image,
            file_id: Some(file),
            filename: Some("a.png".to_owned()),
            size_bytes: Some(1),
            ..Output::default()
        };
        let image = Output { source: Some("output//a.png".to_owned()), ..image };
        let (_, value) = sent(TaskChange::Output { outputs: vec![image.clone()] }).unwrap();
        assert_eq!((&value["type"], &value["data"]["nodeId"]), (&json!("task_output"), &json!("9")));
        let output = &value["data"]["outputs"][0];
        assert_eq!(output["url"], format!("http://x/upload/file/{file}"));
        assert!(output.get("source").is_none(), "the path on the instance is internal");
        let (_, value) =
            sent(TaskChange::Completed { outputs: vec![image], outputs_dropped: 0, warnings: Vec::new() }).unwrap();
        assert_eq!(value["type"], "task_completed");
        assert_eq!(value["data"]["result"]["files"], json!([format!("http://x/upload/file/{file}")]));
        assert_eq!(value["data"]["result"]["outputs"][0]["nodeId"], "9");
        let failure = Failure::new(FailureKind::NodeError, "boom");
        let (_, value) = sent(TaskChange::Failed { failure }).unwrap();
        assert_eq!(value["type"], "task_failed");
        assert_eq!(value["data"]["status"], "failed");
        assert_eq!(value["data"]["error"], json!({"type": "node_error", "message": "boom"}));
        let (_, value) = sent(TaskChange::Cancelled).unwrap();
        assert_eq!(value["type"], "task_failed");
        assert_eq!(value["data"]["status"], "cancelled");
        assert_eq!(value["data"]["error"]["type"], "cancelled");
    }

    #[test]
    fn an_instance_has_the_documented_fields() {
        let view = InstanceView {
            id: "127.0.0.1:8001".to_owned(),
            server_id: "s".to_owned(),
            server_name: "s".to_owned(),
            ip: "127.0.0.1".to_owned(),
            port: 8001,
            enabled: true,
            alive: true,
            busy: false,
            last_heartbeat: None,
            version: None,
            queue_depth: 0,
            current_task_id: None,
            phase: Phase::Up,
            last_error: None,
            device: None,
            quarantine: None,
            absence: None,
            foreign_before: 0,
        };
        let value: Value = serde_json::from_str(&instance_status(&view).text).unwrap();
        assert_eq!(value["type"], "instance_status");
        assert_eq!(value["data"]["instanceId"], "127.0.0.1:8001");
        assert_eq!((&value["data"]["alive"], &value["data"]["busy"]), (&json!(true), &json!(false)));
        assert_eq!((&value["data"]["enabled"], &value["data"]["phase"]), (&json!(true), &json!("up")));
    }
}
