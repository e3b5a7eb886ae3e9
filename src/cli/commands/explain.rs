//! `shuzhiren explain`: what happened to a task, or what it waits for, in sentences.

use super::for_each_id::{about, check_ids};
use crate::{
    cli::{
        client::common_args::Common,
        error::Error,
        term::{
            format::{format_ms, node_of, text, unix_ms},
            output,
        },
    },
    clock,
    task::FailureKind,
};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Settings of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Task id
    id: String,
    #[command(flatten)]
    common: Common,
}

/// Prints the sentences.
pub(crate) async fn explain(args: ExplainArgs) -> Result<(), Error> {
    check_ids(std::slice::from_ref(&args.id))?;
    let api = args.common.connection.logged_in()?;
    let task =
        api.get(&format!("/api/tasks/{}?include=workflow", args.id)).await.map_err(|error| about(error, &args.id))?;
    let sentences = sentences(&task.value, clock::unix_ms());
    if args.common.json {
        let status = task.text("status");
        return output::print_line(&json!({"id": args.id, "status": status, "sentences": sentences}).to_string());
    }
    sentences.iter().try_for_each(|sentence| output::print_line(sentence))
}

/// Describes a task, which includes its workflow.
fn sentences(task: &Value, now_ms: u64) -> Vec<String> {
    let ago = |name: &str| unix_ms(&task[name]).map(|then| format_ms(now_ms.saturating_sub(then))).unwrap_or_default();
    let mut sentences = match text(task, "status") {
        "pending" => waiting(task, &ago("createdAt")),
        "running" => running(task, &ago("startedAt")),
        "completed" => completed(task),
        "failed" => failed(task),
        "cancelled" if task["cancelRequested"] == true => {
            vec!["It was cancelled; its instance has not stopped it yet.".to_owned()]
        }
        "cancelled" => vec!["It was cancelled.".to_owned()],
        other => vec![format!("It is {other}.")],
    };
    if let Some(lives) = task["revived"].as_u64() {
        sentences.push(format!("It was retried by hand {}.", times(lives)));
    }
    sentences.extend(attempts(task));
    for warning in task["warnings"].as_array().into_iter().flatten() {
        sentences.push(format!("Warning: {}", text(warning, "message")));
    }
    sentences.iter().map(|sentence| output::sanitize(sentence).into_owned()).collect()
}

fn waiting(task: &Value, since: &str) -> Vec<String> {
    let why = task["waitingFor"].as_str().unwrap_or("its turn");
    let mut sentences = vec![format!("It has been waiting {since} for {why}.")];
    let priority = text(task, "priority");
    if priority != "normal" {
        sentences.push(format!("Its priority is {priority}."));
    }
    let eligible: Vec<&str> =
        task["eligibleInstances"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !eligible.is_empty() {
        sentences.push(format!("Only {} can run it: the others lack a required node or model.", eligible.join(", ")));
    }
    if let Some(by) = task["startBy"].as_str() {
        sentences.push(format!("If it has not started by {by}, it fails with start_timeout."));
    }
    if let Some(at) = task["nextAttemptAt"].as_str() {
        sentences.push(format!("The next attempt is at {at}."));
    }
    sentences
}

fn running(task: &Value, since: &str) -> Vec<String> {
    let place = task["instanceId"].as_str().unwrap_or("an instance");
    let mut sentences =
        vec![format!("It has been running on {place} for {since}: {} % of the graph is done.", task["progress"])];
    if let Some(node) = task["currentNode"].as_str() {
        let class = task["workflow"][node]["class_type"].as_str().map(|class| format!(" ({class})"));
        let (done, total) = (&task["nodesDone"], &task["nodesTotal"]);
        sentences
            .push(format!("Node {node}{} is executing; {done} of {total} nodes are done.", class.unwrap_or_default()));
    }
    if let Some(why) = task["waitingFor"].as_str() {
        sentences.push(format!("It waits for {why}."));
    }
    if let (Some(step), Some(steps)) = (task["step"].as_u64(), task["steps"].as_u64()) {
        sentences.push(format!("It is at step {step} of {steps}."));
    }
    if let Some(ms) = task["remainingMs"].as_u64() {
        sentences.push(format!("By earlier runs and its speed it takes about {} more.", format_ms(ms)));
    }
    if let Some(ms) = task["timeoutMs"].as_u64() {
        sentences.push(format!("It is stopped after running for {} (run_timeout).", format_ms(ms)));
    }
    sentences
}

fn completed(task: &Value) -> Vec<String> {
    let (waited, ran) = (task["waitedMs"].as_u64().unwrap_or(0), task["runMs"].as_u64().unwrap_or(0));
    let place = task["instanceId"].as_str().unwrap_or("an instance");
    let files = task["result"]["files"].as_array().map_or(0, Vec::len);
    let made = match files {
        0 => "no file".to_owned(),
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    vec![
        format!("It completed: it waited {}, then ran {} on {place}.", format_ms(waited), format_ms(ran)),
        format!("It produced {made}: shuzhiren download {}", text(task, "id")),
    ]
}

fn failed(task: &Value) -> Vec<String> {
    let (id, error) = (text(task, "id"), &task["error"]);
    let mut sentences = vec![match node_of(error) {
        Some(node) => format!("It failed in {node}: {}", text(error, "message").trim()),
        None => format!("It failed: {}", text(error, "message").trim()),
    }];
    let kind = serde_json::from_value::<FailureKind>(error["type"].clone()).ok();
    let Some(kind) = kind else { return sentences };
    sentences.push(format!("{} ({}).", meaning_here(kind, task), kind.as_str()));
    sentences.push(if kind.retryable() {
        format!("{} A retry may succeed: shuzhiren retry {id}", count_of_attempts(task))
    } else if error["causeUnknown"] == true {
        format!("Retry it when another instance can run it, or correct the workflow: shuzhiren retry {id}")
    } else {
        advice(kind).map_or_else(|| format!("After fixing the cause: shuzhiren retry {id}"), str::to_owned)
    });
    if kind == FailureKind::Stalled && !error["nodeId"].is_null() {
        sentences.push("If the node needs longer, raise --silent-timeout of the dispatcher.".to_owned());
    }
    if error["traceback"].as_array().is_some_and(|lines| !lines.is_empty()) {
        sentences.push(format!("Traceback of the node: shuzhiren show {id}"));
    }
    sentences
}

fn count_of_attempts(task: &Value) -> String {
    let max = task["maxAttempts"].as_u64().unwrap_or(0);
    match task["attempts"].as_array().map_or(max, |attempts| attempts.len() as u64) {
        1 => "Its attempt failed.".to_owned(),
        count => format!("All {count} attempts failed."),
    }
}

/// Describes a failure by what the attempts show of it.
fn meaning_here(kind: FailureKind, task: &Value) -> String {
    let attempts = task["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let places = |outcome: FailureKind| {
        let with = attempts.iter().filter(|attempt| attempt["outcome"] == outcome.as_str());
        with.filter_map(|attempt| attempt["instanceId"].as_str()).collect::<BTreeSet<_>>().len()
    };
    match kind {
        FailureKind::NodeError if task["error"]["causeUnknown"] == true => {
            "The node raised an error; whether the workflow or the machine is at fault is not known".to_owned()
        }
        FailureKind::NodeError if places(kind) > 1 => {
            format!("The node raised an error on each of {} instances, so the workflow is at fault", places(kind))
        }
        FailureKind::Poison if attempts.iter().any(|one| one["error"]["type"] == "machine_fault") => {
            "Machines that worked failed while running it, so it is not given to another".to_owned()
        }
        other => meaning(other).to_owned(),
    }
}

const fn meaning(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::InvalidWorkflow => "The instance rejected the graph before running it",
        FailureKind::NodeError => "The node raised an error, which a retry would repeat",
        FailureKind::OutOfMemory => "The instance ran out of memory",
        FailureKind::MachineFault => "The machine of the instance failed",
        FailureKind::InstanceUnreachable => "The instance could not be reached",
        FailureKind::PromptLost => "The instance lost the task: it was restarted, or its queue was cleared",
        FailureKind::Interrupted => "Another client interrupted it on the instance",
        FailureKind::InputUnavailable => "An input file is missing, or the instance did not accept it",
        FailureKind::OutputUnavailable => "It ran, but an output could not be fetched from the instance",
        FailureKind::StorageFailed => "It ran, but an output could not be stored: the disk may be full",
        FailureKind::OutputTooLarge => "It ran, but an output is too large, or there are too many",
        FailureKind::Stalled => "The instance gave no sign of life of it for too long",
        FailureKind::RunTimeout => "It exceeded its time limit",
        FailureKind::StartTimeout => "It had not started by its startBy",
        FailureKind::Poison => "Instances died while running it, so it is not given to another",
    }
}

/// Advice where retrying the same task would not help.
const fn advice(kind: FailureKind) -> Option<&'static str> {
    match kind {
        FailureKind::InvalidWorkflow | FailureKind::NodeError => {
            Some("Correct the workflow or the params and submit it again.")
        }
        FailureKind::Poison => Some("Before submitting it again, run it by hand on an instance that is not in use."),
        FailureKind::RunTimeout => Some("Submit it again with a longer --timeout."),
        FailureKind::StartTimeout => Some("Submit it again with a later --start-by, or a higher --priority."),
        _ => None,
    }
}

/// Describes each attempt in one sentence.
pub(crate) fn attempts(task: &Value) -> Vec<String> {
    let attempts = task["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    attempts
        .iter()
        .map(|attempt| {
            let begun = unix_ms(&attempt["startedAt"]).unwrap_or(0);
            let took = unix_ms(&attempt["endedAt"]).map(|ended| format_ms(ended.saturating_sub(begun)));
            let outcome = attempt["outcome"].as_str().unwrap_or("running");
            let error = &attempt["error"];
            let why = match error["message"].as_str() {
                Some(message) => format!(": {}: {}", text(error, "type"), message.trim()),
                None => String::new(),
            };
            let after = took.map(|took| format!(" after {took}")).unwrap_or_default();
            let line =
                format!("Attempt {} on {}: {outcome}{after}{why}", attempt["attempt"], text(attempt, "instanceId"));
            output::sanitize(&line).into_owned()
        })
        .collect()
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::{FailureKind, sentences};
    use serde_json::json;

    const NOW: u64 = 1_704_067_210_000;

    #[test]
    fn a_waiting_task_says_what_for() {
        let task = json!({"status": "pending", "createdAt": "2024-01-01T00:00:00.000Z", "priority": "high",
            "waitingFor": "a free instance: all 2 are busy, next in line", "eligibleInstances": ["a:1"],
            "attempts": [{"attempt": 1, "instanceId": "b:1", "startedAt": "2024-01-01T00:00:00.000Z",
                "endedAt": "2024-01-01T00:00:03.200Z", "outcome": "failed", "error": {"type": "stalled", "message": "mute"}}]});
        assert_eq!(
            sentences(&task, NOW),
            [
                "It has been waiting 10.0 s for a free instance: all 2 are busy, next in line.",
                "Its priority is high.",
                "Only a:1 can run it: the others lack a required node or model.",
                "Attempt 1 on b:1: failed after 3.2 s: stalled: mute",
            ]
        );
    }

    #[test]
    fn a_running_task_says_where_it_is() {
        let task = json!({"status": "running", "startedAt": "2024-01-01T00:00:00.000Z", "instanceId": "a:1",
            "progress": 45, "currentNode": "3", "nodesDone": 2, "nodesTotal": 7, "workflow": {"3": {"class_type": "KSampler"}}});
        assert_eq!(
            sentences(&task, NOW),
            [
                "It has been running on a:1 for 10.0 s: 45 % of the graph is done.",
                "Node 3 (KSampler) is executing; 2 of 7 nodes are done.",
            ]
        );
    }

    /// Bug reports 1 and 2.
    #[test]
    fn a_failure_is_explained_by_what_is_known_of_its_cause() {
        let attempt = |place: &str, outcome: &str| json!({"attempt": 1, "instanceId": place, "outcome": outcome, "error": {"type": outcome, "message": "m"}});
        let say = |error: serde_json::Value, attempts: Vec<serde_json::Value>| {
            sentences(
                &json!({"status": "failed", "id": "x", "maxAttempts": 3, "error": error, "attempts": attempts}),
                NOW,
            )
        };
        let unknown = say(
            json!({"type": "node_error", "message": "odd", "causeUnknown": true}),
            vec![attempt("a:1", "node_error")],
        );
        assert!(unknown[1].contains("is not known") && unknown[2].contains("another instance"), "{unknown:?}");
        let twice = say(
            json!({"type": "node_error", "message": "odd"}),
            vec![attempt("a:1", "node_error"), attempt("b:1", "node_error")],
        );
        assert!(twice[1].contains("each of 2 instances"), "{twice:?}");
        let poison = say(
            json!({"type": "poison", "message": "odd"}),
            vec![attempt("a:1", "machine_fault"), attempt("b:1", "poison")],
        );
        assert!(poison[1].starts_with("Machines that worked failed"), "{poison:?}");
        let stalled = say(json!({"type": "stalled", "message": "odd", "nodeId": "1"}), vec![attempt("a:1", "stalled")]);
        assert!(
            stalled[2].starts_with("Its attempt failed.") && stalled[3].contains("--silent-timeout"),
            "{stalled:?}"
        );
    }

    #[test]
    fn every_failure_is_explained_and_says_what_to_do() {
        for kind in FailureKind::ALL {
            let task = json!({"status": "failed", "id": "x", "maxAttempts": 3,
                "error": {"type": kind.as_str(), "message": "boom", "nodeId": "2", "nodeType": "K"}});
            let sentences = sentences(&task, NOW);
            assert_eq!(sentences[0], "It failed in node 2 (K): boom");
            assert!(sentences[1].ends_with(&format!("({}).", kind.as_str())), "{sentences:?}");
            assert_eq!(sentences[2].contains("A retry may succeed"), kind.retryable(), "{sentences:?}");
        }
        let other = json!({"status": "failed", "error": {"type": "of_tomorrow", "message": "boom"}});
        assert_eq!(sentences(&other, NOW), ["It failed: boom"]);
    }
}
