//! Parses the result of a prompt from its entry in /history (protocol §4).

use super::{
    Error, PromptOutcome, PromptResult,
    error_text::FailedNode,
    fault_class::{Elsewhere, FaultClass, classify},
    limits, outputs, python_json,
};
use crate::{
    json::{each_element, each_member, first_elements},
    task::{Failure, FailureKind},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::VecDeque, ops::ControlFlow};
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
/// [`Error::Unreadable`]: not a history reply.
pub(super) fn result(json: &str, prompt: Uuid) -> Result<Option<PromptResult>, Error> {
    let unreadable = |what: &str| Error::Unreadable(format!("/history is not ComfyUI's: {what}"));
    let (id, mut found, mut is_empty) = (prompt.to_string(), None, true);
    each_member(json, |key, entry| {
        is_empty = false;
        if key == id {
            found = Some(entry);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
    .ok_or_else(|| unreadable("no object"))?;
    if is_empty {
        return Ok(None);
    }
    let raw = found.ok_or_else(|| unreadable("entry of another prompt"))?;
    let entry: Entry<'_> = python_json::object(raw.get()).ok_or_else(|| unreadable("entry is no object"))?;
    let outcome = entry.status.and_then(outcome).ok_or_else(|| unreadable("entry has no known status"))?;
    let outputs_json = entry.outputs.map_or("{}", RawValue::get);
    let collected = outputs::collect(outputs_json, entry.meta.map(RawValue::get), &graph_order(entry.prompt));
    let outputs::Collected { outputs, warnings, fault } = collected;
    Ok(Some(PromptResult { outcome, outputs, warnings, fault }))
}

/// Returns the node ids in the order of the submitted graph.
fn graph_order(prompt: Option<&RawValue>) -> Vec<String> {
    let mut nodes = Vec::new();
    let item = prompt.and_then(|raw| first_elements(raw.get()));
    let Some([_number, _id, graph]) = item else { return nodes };
    let _read = each_member(graph.get(), |node_id, _| {
        nodes.push(outputs::short_id(&node_id).to_owned());
        if nodes.len() < limits::NODES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    nodes
}

fn outcome(raw: &RawValue) -> Option<PromptOutcome> {
    let status: Status<'_> = python_json::object(raw.get())?;
    match python_json::text(status.status_str?, limits::WORD_BYTES_MAX)?.as_str() {
        "success" => Some(PromptOutcome::Success),
        "error" => Some(error_outcome(status.messages)),
        _ => None,
    }
}

/// Derives the outcome from the last message that ends a prompt.
fn error_outcome(messages: Option<&RawValue>) -> PromptOutcome {
    let mut last = None;
    let _read = messages.and_then(|raw| {
        each_element(raw.get(), |message| {
            if let Some([kind, data]) = first_elements(message.get()) {
                match python_json::text(kind, limits::WORD_BYTES_MAX).as_deref() {
                    Some("execution_interrupted") => last = Some(None),
                    Some("execution_error") => last = Some(Some(data)),
                    _ => {}
                }
            }
            ControlFlow::Continue(())
        })
    });
    match last {
        Some(None) => PromptOutcome::Interrupted,
        Some(Some(data)) => PromptOutcome::Failed(failure(data.get())),
        None => PromptOutcome::Failed(
            FailedNode::default()
                .into_failure(FailureKind::NodeError, "the instance reported an error without details"),
        ),
    }
}

/// Reads the data of `execution_error`.
pub(super) fn failure(json: &str) -> Failure {
    let error: ExecutionError<'_> = python_json::object(json).unwrap_or_default();
    let non_empty = |raw: Option<&RawValue>, bytes_max: usize| {
        raw.and_then(|raw| python_json::text(raw, bytes_max)).filter(|text| !text.is_empty())
    };
    let exception_type = non_empty(error.exception_type, limits::NAME_BYTES_MAX);
    let node_type = non_empty(error.node_type, limits::NAME_BYTES_MAX);
    let message = non_empty(error.exception_message, limits::MESSAGE_BYTES_MAX)
        .or_else(|| exception_type.clone())
        .unwrap_or_else(|| "a node failed without a message".to_owned());
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    let kind = match classify(&word(&exception_type), &message, &word(&node_type), Elsewhere::NotTried) {
        FaultClass::Memory => FailureKind::OutOfMemory,
        FaultClass::Machine => FailureKind::MachineFault,
        FaultClass::Task | FaultClass::Unknown => FailureKind::NodeError,
    };
    let node = FailedNode {
        node_id: non_empty(error.node_id, limits::NODE_ID_BYTES_MAX),
        node_type,
        exception_type,
        traceback: error.traceback.map(last_frames).unwrap_or_default(),
    };
    node.into_failure(kind, &message)
}

/// Returns the last frames of a traceback: each that is kept has at least one line.
fn last_frames(traceback: &RawValue) -> Vec<String> {
    let mut frames: VecDeque<&RawValue> = VecDeque::new();
    let _read = each_element(traceback.get(), |frame| {
        if frames.len() == limits::TRACEBACK_LINES_MAX {
            frames.pop_front();
        }
        frames.push_back(frame);
        ControlFlow::Continue(())
    });
    frames.into_iter().filter_map(|frame| python_json::text(frame, limits::MESSAGE_BYTES_MAX)).collect()
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
        assert!(matches!(&result.outputs[1], NodeOutput::Value { node_id, .. } if node_id == "1"));
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
        let value =
            |output: &NodeOutput| matches!(output, NodeOutput::Value { text, .. } if text.ends_with("Infinity"));
        assert_eq!((result.outputs.len(), result.outputs.iter().filter(|output| value(output)).count()), (3, 2));
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
            assert!(matches!(result(json, ID), Err(Error::Unreadable(_))), "{json}");
        }
    }

    #[test]
    fn an_unusable_output_name_is_a_fault_of_the_prompt() {
        let status = r#"{"status_str":"success","messages":[]}"#;
        let outputs = r#"{"3":{"images":[{"filename":"../../secret/x"},{"filename":"a.png"}]}}"#;
        let result = result(&entry(outputs, status), ID).unwrap().unwrap();
        let fault = result.fault.unwrap();
        assert_eq!((fault.kind, result.outputs.len()), (FailureKind::OutputUnavailable, 1));
    }

    #[test]
    fn the_last_message_that_ends_a_prompt_decides_among_many() {
        let many = "[],".repeat(100_000);
        let status = format!(
            r#"{{"status_str":"error","messages":[["execution_error",{{"node_id":"1"}}],{many}["execution_interrupted",{{}}],{many}[]]}}"#
        );
        let result = result(&entry("{}", &status), ID).unwrap().unwrap();
        assert!(matches!(result.outcome, PromptOutcome::Interrupted));
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
