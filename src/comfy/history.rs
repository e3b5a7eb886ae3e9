//! Parses the result of a prompt from its entry in /history (protocol §4).

use super::{
    Error, PromptOutcome, PromptResult,
    error_text::{FailedNode, is_out_of_memory},
    outputs, python_json,
};
use crate::{
    json::{Members, raw_value},
    task::FailureKind,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// `{"prompt":[number,id,graph,extra,[outputs]],"outputs":{…},"status":{…},"meta":{…}}`
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    outputs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
}

/// `{"status_str":"success"|"error","completed":bool,"messages":[[type,{…}],…]}`
#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    status_str: Option<&'a RawValue>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
}

/// Data of `execution_error`, without `current_inputs` and `current_outputs`.
#[derive(Deserialize, Default)]
struct ExecutionError<'a> {
    #[serde(borrow, default)]
    node_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    node_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    exception_message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    exception_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    traceback: Option<&'a RawValue>,
}

/// Parses the reply of GET /history/{id}. `None` if there is no entry.
///
/// # Errors
/// [`Error::Broken`]: not a history reply. The state of the prompt is then undetermined.
pub(super) fn result(json: &str, prompt: Uuid) -> Result<Option<PromptResult>, Error> {
    let broken = |what: &str| Error::Broken(format!("/history: {what}"));
    let entries: Members<'_> = python_json::read(json).ok_or_else(|| broken("not an object"))?;
    if entries.0.is_empty() {
        return Ok(None);
    }
    let id = prompt.to_string();
    let (_, raw) =
        entries.0.into_iter().find(|(key, _)| *key == id).ok_or_else(|| broken("entry of another prompt"))?;
    let entry: Entry<'_> = python_json::object(raw.get()).ok_or_else(|| broken("entry is not an object"))?;
    let outcome = entry.status.and_then(outcome).ok_or_else(|| broken("entry has no known status"))?;
    let outputs_json = entry.outputs.map_or("{}", RawValue::get);
    let outputs = outputs::collect(outputs_json, entry.meta.map(RawValue::get), &graph_order(entry.prompt));
    Ok(Some(PromptResult { outcome, outputs }))
}

/// Returns the node ids in the order of the submitted graph.
fn graph_order(prompt: Option<&RawValue>) -> Vec<String> {
    let item: Vec<&RawValue> = prompt.and_then(|raw| python_json::read(raw.get())).unwrap_or_default();
    let graph = item.get(2).copied().and_then(raw_value::members);
    graph.map(|graph| graph.into_iter().map(|(node_id, _)| node_id).collect()).unwrap_or_default()
}

fn outcome(raw: &RawValue) -> Option<PromptOutcome> {
    let status: Status<'_> = python_json::object(raw.get())?;
    match python_json::text(status.status_str?)?.as_str() {
        "success" => Some(PromptOutcome::Success),
        "error" => Some(error_outcome(status.messages)),
        _ => None,
    }
}

/// Derives the outcome from the last message that ends a prompt.
fn error_outcome(messages: Option<&RawValue>) -> PromptOutcome {
    let messages: Vec<&RawValue> = messages.and_then(|raw| python_json::read(raw.get())).unwrap_or_default();
    for message in messages.into_iter().rev() {
        match python_json::read::<(String, &RawValue)>(message.get()) {
            Some((kind, _)) if kind == "execution_interrupted" => return PromptOutcome::Interrupted,
            Some((kind, data)) if kind == "execution_error" => {
                return failed(&python_json::object(data.get()).unwrap_or_default());
            }
            _ => {}
        }
    }
    PromptOutcome::Failed(
        FailedNode::default().into_failure(FailureKind::NodeError, "the instance reported an error without details"),
    )
}

fn failed(error: &ExecutionError<'_>) -> PromptOutcome {
    let non_empty = |raw: Option<&RawValue>| raw.and_then(python_json::text).filter(|text| !text.is_empty());
    let exception_type = non_empty(error.exception_type);
    let is_out_of_memory = exception_type.as_deref().is_some_and(is_out_of_memory);
    let kind = if is_out_of_memory { FailureKind::OutOfMemory } else { FailureKind::NodeError };
    let message = non_empty(error.exception_message)
        .or_else(|| exception_type.clone())
        .unwrap_or_else(|| "a node failed without a message".to_owned());
    let traceback: Vec<&RawValue> = error.traceback.and_then(|raw| python_json::read(raw.get())).unwrap_or_default();
    let node = FailedNode {
        node_id: non_empty(error.node_id),
        node_type: non_empty(error.node_type),
        exception_type,
        traceback: traceback.into_iter().filter_map(python_json::text).collect(),
    };
    PromptOutcome::Failed(node.into_failure(kind, &message))
}

#[cfg(test)]
mod tests {
    use super::result;
    use crate::{
        comfy::{Error, NodeOutput, PromptOutcome, python_json::tidy},
        task::{Failure, FailureKind},
    };
    use proptest::prelude::*;
    use uuid::Uuid;

    const ID: Uuid = Uuid::from_u128(0x0318_bfd1);

    /// Entry of the graph `{"1","2","3","4"}` with these parts, captured from 0.3.64.
    fn entry(outputs: &str, status: &str) -> String {
        format!(
            r#"{{"{ID}":{{"prompt":[19,"{ID}",{{"4":{{}},"1":{{}},"2":{{}},"3":{{}}}},{{"client_id":"c"}},["3","4"]],
            "outputs":{outputs},"status":{status},"meta":{{}}}}}}"#
        )
    }

    fn failure(json: &str) -> Failure {
        match result(json, ID).unwrap().unwrap().outcome {
            PromptOutcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn outputs_of_a_success_are_in_graph_order() {
        let json = entry(
            r#"{"1":{"text":["a"]},"4":{"images":[{"filename":"f_00001_.png","subfolder":"","type":"output"}]}}"#,
            r#"{"status_str":"success","completed":true,"messages":[["execution_start",{}],["execution_success",{}]]}"#,
        );
        let result = result(&json, ID).unwrap().unwrap();
        assert!(matches!(result.outcome, PromptOutcome::Success));
        assert!(matches!(&result.outputs[0], NodeOutput::File { node_id, .. } if node_id == "4"));
        assert!(matches!(&result.outputs[1], NodeOutput::Text { node_id, .. } if node_id == "1"));
    }

    #[test]
    fn the_failed_node_is_named() {
        let json = entry(
            "{}",
            r#"{"status_str":"error","completed":false,"messages":[["execution_start",{}],["execution_error",
            {"node_id":"2","node_type":"TestSteps","executed":["1","4"],"exception_message":"TestSteps: told to fail at step 2\n",
             "exception_type":"RuntimeError","traceback":["  File \"/srv/ComfyUI/execution.py\", line 496, in execute\n    x()\n    ^^^\n"],
             "current_inputs":{"image":["tensor"]},"current_outputs":["1"]}]]}"#,
        );
        let failure = failure(&json);
        assert_eq!(failure.kind, FailureKind::NodeError);
        assert_eq!(failure.message, "TestSteps: told to fail at step 2");
        assert_eq!(failure.node_id.as_deref(), Some("2"));
        assert_eq!(failure.node_type.as_deref(), Some("TestSteps"));
        assert_eq!(failure.exception_type.as_deref(), Some("RuntimeError"));
        assert_eq!(failure.traceback, ["  File \"…/ComfyUI/execution.py\", line 496, in execute\n    x()"]);
    }

    #[test]
    fn out_of_memory_is_recognised_by_its_exception() {
        for name in ["torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError", "MemoryError"] {
            let status =
                format!(r#"{{"status_str":"error","messages":[["execution_error",{{"exception_type":"{name}"}}]]}}"#);
            let failure = failure(&entry("{}", &status));
            assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::OutOfMemory, name));
        }
    }

    #[test]
    fn an_interrupted_prompt_is_not_a_failure() {
        let json = entry(
            "{}",
            r#"{"status_str":"error","completed":false,"messages":[["execution_start",{}],["execution_interrupted",{"node_id":"1"}]]}"#,
        );
        assert!(matches!(result(&json, ID).unwrap().unwrap().outcome, PromptOutcome::Interrupted));
    }

    #[test]
    fn an_error_without_a_message_is_a_node_error() {
        assert_eq!(failure(&entry("null", r#"{"status_str":"error"}"#)).kind, FailureKind::NodeError);
        assert_eq!(
            failure(&entry("7", r#"{"status_str":"error","messages":[1,["execution_error",null]]}"#)).kind,
            FailureKind::NodeError
        );
    }

    /// Captured from TestUi with kind nan.
    #[test]
    fn nan_in_an_entry_is_tolerated() {
        let json = entry(
            r#"{"1":{"value":[NaN, Infinity]},"2":{"text":["-Infinity"]}}"#,
            r#"{"status_str":"success","completed":true,"messages":[]}"#,
        );
        let result = result(&tidy(json.as_bytes()), ID).unwrap().unwrap();
        assert_eq!(result.outputs, [NodeOutput::Text { node_id: "2".to_owned(), text: "-Infinity".to_owned() }]);
    }

    #[test]
    fn a_malformed_entry_is_an_error() {
        assert!(result("{}", ID).unwrap().is_none());
        let other = entry("{}", r#"{"status_str":"success"}"#).replace(&ID.to_string(), "foreign");
        for json in [
            "",
            "[]",
            "null",
            "<html>",
            &other,
            &format!(r#"{{"{ID}":5}}"#),
            &format!(r#"{{"{ID}":{{}}}}"#),
            &entry("{}", "null"),
            &entry("{}", r#"{"status_str":"odd","completed":true}"#),
            &entry("{}", r#"{"status_str":["success"]}"#),
            &entry("{}", r#"["success"]"#),
            &format!(r#"{{"{ID}":[null,{{}},{{"status_str":"success"}},null]}}"#),
        ] {
            assert!(matches!(result(json, ID), Err(Error::Broken(_))), "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_entry_panics(part in "[\\[\\]{}\",:a-z0-9 ]{0,60}") {
            let _absent = result(&entry(&part, r#"{"status_str":"success"}"#), ID);
            let _absent = result(&entry("{}", &part), ID);
            let _absent = result(&entry("{}", &format!(r#"{{"status_str":"error","messages":{part}}}"#)), ID);
        }
    }
}
