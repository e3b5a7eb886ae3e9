//! Turns the refusal of a graph into a failure with a one-sentence message (protocol §2, §13).

use super::{error_text::FailedNode, limits, outputs, python_json};
use crate::{
    json::{each_element, each_member},
    task::{Failure, FailureKind, OutputWarning},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{cmp::Ordering, ops::ControlFlow};

/// Errors listed in the message; the rest are only counted.
const LISTED_MAX: usize = 5;

/// `{"error":{type,message,details,extra_info},"node_errors":{…}}`
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    node_errors: Option<&'a RawValue>,
}

/// `{"type","message","details","extra_info":{…}}`, about the whole prompt or about one node.
#[derive(Deserialize, Default)]
struct ErrorItem<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    extra_info: Option<&'a RawValue>,
}

/// `{"errors":[…],"dependent_outputs":[…],"class_type":"…"}`
#[derive(Deserialize)]
struct NodeErrors<'a> {
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
    #[serde(borrow, default)]
    class_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    dependent_outputs: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct ExtraInfo<'a> {
    #[serde(borrow, default)]
    node_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    class_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    exception_type: Option<&'a RawValue>,
}

/// Reads the outputs that are left out, each with a reason, from a 200 with `node_errors`.
pub(super) fn ignored_outputs(json: &str) -> Vec<OutputWarning> {
    let mut ignored: Vec<OutputWarning> = Vec::new();
    let Some(Body { node_errors: Some(raw), .. }) = python_json::object(json) else { return ignored };
    let mut nodes = 0;
    let _read = each_member(raw.get(), |node_id, node| {
        let (node_id, node) = (outputs::short_id(&node_id), python_json::object::<NodeErrors<'_>>(node.get()));
        let class = node.as_ref().and_then(|node| node.class_type).and_then(name);
        let mut reason = String::new();
        let _first = node.as_ref().and_then(|node| node.errors).map(|errors| {
            each_element(errors.get(), |error| {
                reason = python_json::object::<ErrorItem<'_>>(error.get()).unwrap_or_default().sentence();
                ControlFlow::Break(())
            })
        });
        let reason = format!("{}: {reason}", title(Some(node_id), class.as_deref()));
        let _outputs = node.and_then(|node| node.dependent_outputs).map(|outputs| {
            each_element(outputs.get(), |output| {
                if let Some(output) = name(output)
                    && ignored.iter().all(|known| known.node_id.as_ref() != Some(&output))
                {
                    ignored.push(OutputWarning::ignored(outputs::short_id(&output), &reason));
                }
                if ignored.len() < OutputWarning::MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
        });
        nodes += 1;
        if nodes < limits::REFUSED_NODES_MAX && ignored.len() < OutputWarning::MAX {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    ignored
}

/// Reads the failure from a 400, or from a 200 with `node_errors`; `None` if it contains none.
pub(super) fn validation_failure(json: &str) -> Option<Failure> {
    let body: Body<'_> = python_json::object(json)?;
    let mut nodes = Vec::new();
    let _read = body.node_errors.map(|raw| {
        each_member(raw.get(), |node_id, node| {
            nodes.push((outputs::short_id(&node_id).to_owned(), node));
            if nodes.len() < limits::REFUSED_NODES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    });
    if !nodes.is_empty() {
        return Some(node_failure(nodes));
    }
    body.error.map(prompt_failure)
}

/// Text of a message, cut.
fn message(raw: &RawValue) -> Option<String> {
    python_json::text(raw, limits::MESSAGE_BYTES_MAX)
}

/// Text of a name, cut.
fn name(raw: &RawValue) -> Option<String> {
    python_json::text(raw, limits::NAME_BYTES_MAX)
}

fn node_failure(mut nodes: Vec<(String, &RawValue)>) -> Failure {
    nodes.sort_by(|(node_id, _), (other, _)| natural_order(node_id, other));
    let mut first = None;
    let mut sentences = Vec::new();
    let mut unlisted = 0_u64;
    for (node_id, raw) in nodes {
        let node: Option<NodeErrors<'_>> = python_json::object(raw.get());
        let class = node.as_ref().and_then(|node| node.class_type).and_then(name);
        let _read = node.and_then(|node| node.errors).map(|errors| {
            each_element(errors.get(), |error| {
                if sentences.len() == LISTED_MAX {
                    unlisted += 1;
                    return ControlFlow::Continue(());
                }
                let error: ErrorItem<'_> = python_json::object(error.get()).unwrap_or_default();
                sentences.push(format!("{}: {}", title(Some(&node_id), class.as_deref()), error.sentence()));
                first.get_or_insert_with(|| FailedNode {
                    node_id: Some(node_id.clone()),
                    node_type: class.clone(),
                    exception_type: error.extra().exception_type.and_then(name),
                    traceback: Vec::new(),
                });
                ControlFlow::Continue(())
            })
        });
        first.get_or_insert_with(|| FailedNode { node_id: Some(node_id), node_type: class, ..FailedNode::default() });
    }
    let mut message = sentences.join("; ");
    if unlisted > 0 {
        message.push_str(&format!("; and {unlisted} more"));
    }
    if message.is_empty() {
        message.push_str("the instance refused the graph without a reason");
    }
    first.unwrap_or_default().into_failure(FailureKind::InvalidWorkflow, &message)
}

fn prompt_failure(raw: &RawValue) -> Failure {
    let Some(error) = python_json::object::<ErrorItem<'_>>(raw.get()) else {
        let message = message(raw).unwrap_or_else(|| "the instance refused the graph".to_owned());
        return FailedNode::default().into_failure(FailureKind::InvalidWorkflow, &message);
    };
    let extra = error.extra();
    let details = error.details.and_then(message).unwrap_or_default();
    let reason = error.message.and_then(message).unwrap_or_default();
    let node_id = extra.node_id.and_then(name).or_else(|| quoted(&details, "Node ID '#", "'"));
    let node_type = extra.class_type.and_then(name).or_else(|| quoted(&reason, "because node ", " does not exist"));
    let has_no_reason =
        details.is_empty() && error.kind.and_then(name).is_some_and(|kind| kind.ends_with("_validation"));
    let sentence = match &node_id {
        // A cycle of links is refused with empty details and empty node_errors (protocol §2).
        None if has_no_reason => format!("{reason} without a reason: links that form a circle cause this"),
        None => error.sentence(),
        Some(_) => format!("{}: {reason}", title(node_id.as_deref(), None)),
    };
    FailedNode { node_id, node_type, ..FailedNode::default() }.into_failure(FailureKind::InvalidWorkflow, &sentence)
}

impl<'a> ErrorItem<'a> {
    fn sentence(&self) -> String {
        let [reason, details] = [self.message, self.details].map(|raw| raw.and_then(message).unwrap_or_default());
        match (reason.trim(), details.trim()) {
            ("", "") => self.kind.and_then(name).unwrap_or_else(|| "refused".to_owned()),
            (reason, "") => reason.to_owned(),
            ("", details) => details.to_owned(),
            (reason, details) => format!("{reason}: {details}"),
        }
    }

    fn extra(&self) -> ExtraInfo<'a> {
        self.extra_info.and_then(|raw| python_json::object(raw.get())).unwrap_or_default()
    }
}

fn title(node_id: Option<&str>, class: Option<&str>) -> String {
    match (node_id, class) {
        (Some(node_id), Some(class)) => format!("node {node_id} ({class})"),
        (Some(node_id), None) => format!("node {node_id}"),
        (None, _) => "the graph".to_owned(),
    }
}

fn quoted(text: &str, before: &str, after: &str) -> Option<String> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(rest[..rest.find(after)?].to_owned())
}

/// Compares node ids so that `2` comes before `10`, and `1.0.0.2` before `1.0.0.10`. Copies nothing.
pub(super) fn natural_order(node_id: &str, other: &str) -> Ordering {
    fn parts(node_id: &str) -> impl Iterator<Item = (u64, &str)> {
        node_id.split(['.', ':']).map(|part| (part.parse().unwrap_or(u64::MAX), part))
    }
    parts(node_id).cmp(parts(other))
}

#[cfg(test)]
mod tests {
    use super::{ignored_outputs, validation_failure};
    use crate::task::{Failure, FailureKind};
    use proptest::prelude::*;

    fn refused(json: &str) -> Failure {
        let failure = validation_failure(json).unwrap();
        assert_eq!(failure.kind, FailureKind::InvalidWorkflow);
        assert!(failure.traceback.is_empty());
        assert!(!failure.message.contains("/srv"), "{}", failure.message);
        failure
    }

    /// Captured from ComfyUI 0.3.64.
    #[test]
    fn a_bad_value_names_node_class_and_list() {
        let failure = refused(
            r#"{"error":{"type":"prompt_outputs_failed_validation","message":"Prompt outputs failed validation","details":"","extra_info":{}},
            "node_errors":{"10":{"errors":[{"type":"value_smaller_than_min","message":"Value 0 smaller than min of 1","details":"width","extra_info":{}}],"dependent_outputs":["3"],"class_type":"EmptyImage"},
            "2":{"errors":[{"type":"value_not_in_list","message":"Value not in list","details":"upscale_method: 'magic' not in ['area', 'bicubic']","extra_info":{"input_name":"upscale_method","received_value":"magic"}}],"dependent_outputs":["3"],"class_type":"ImageScale"}}}"#,
        );
        assert_eq!(
            failure.message,
            "node 2 (ImageScale): Value not in list: upscale_method: 'magic' not in ['area', 'bicubic']; \
             node 10 (EmptyImage): Value 0 smaller than min of 1: width"
        );
        assert_eq!((failure.node_id.as_deref(), failure.node_type.as_deref()), (Some("2"), Some("ImageScale")));
    }

    #[test]
    fn an_unknown_class_names_the_node() {
        let failure = refused(
            r##"{"error":{"type":"invalid_prompt","message":"Cannot execute because node NoSuchNode does not exist.","details":"Node ID '#1'","extra_info":{}},"node_errors":{}}"##,
        );
        assert_eq!(failure.message, "node 1: Cannot execute because node NoSuchNode does not exist.");
        assert_eq!((failure.node_id.as_deref(), failure.node_type.as_deref()), (Some("1"), Some("NoSuchNode")));
    }

    #[test]
    fn newer_versions_name_the_class_in_extra_info() {
        let failure = refused(
            r#"{"error":{"type":"missing_node_type","message":"Node 'X' not found","details":"","extra_info":{"node_id":"7","class_type":"X","node_title":"t"}},"node_errors":{}}"#,
        );
        assert_eq!((failure.node_id.as_deref(), failure.node_type.as_deref()), (Some("7"), Some("X")));
    }

    #[test]
    fn a_refusal_without_a_reason_suggests_a_cycle() {
        let failure = refused(
            r#"{"error":{"type":"prompt_outputs_failed_validation","message":"Prompt outputs failed validation","details":"","extra_info":{}},"node_errors":{}}"#,
        );
        assert!(failure.message.contains("circle"), "{}", failure.message);
    }

    #[test]
    fn a_server_traceback_is_not_passed_on() {
        let failure = refused(
            r#"{"error":{"type":"prompt_outputs_failed_validation","message":"Prompt outputs failed validation","details":"Exception when validating node: '99'","extra_info":{}},
            "node_errors":{"2":{"errors":[{"type":"exception_during_validation","message":"Exception when validating node","details":"'/srv/ComfyUI/x/y.py'","extra_info":{"exception_type":"KeyError","traceback":["  File \"/srv/ComfyUI/execution.py\", line 1010"]}}],"dependent_outputs":["2"],"class_type":"SaveImage"}}}"#,
        );
        assert_eq!(failure.message, "node 2 (SaveImage): Exception when validating node: '…/ComfyUI/x/y.py'");
        assert_eq!(failure.exception_type.as_deref(), Some("KeyError"));
    }

    #[test]
    fn malformed_refusals_are_failures_too() {
        assert_eq!(refused(r#"{"error":"no","node_errors":[]}"#).message, "no");
        assert_eq!(refused(r#"{"error":[1]}"#).message, "the instance refused the graph");
        assert_eq!(refused(r#"{"node_errors":{"5":7}}"#).node_id.as_deref(), Some("5"));
        assert!(validation_failure(r#"{"node_errors":{}}"#).is_none());
        assert!(validation_failure("<html>").is_none());
    }

    /// Bug report 14; captured from ComfyUI 0.3.64.
    #[test]
    fn each_output_that_is_left_out_has_a_reason() {
        let json = r#"{"prompt_id":"x","number":0,"node_errors":{
            "2":{"errors":[{"type":"required_input_missing","message":"Required input is missing","details":"image"}],"dependent_outputs":["10","11"],"class_type":"ImageScale"},
            "11":{"errors":[{"type":"x","message":"other","details":""}],"dependent_outputs":["11"],"class_type":"SaveImage"}}}"#;
        let found: Vec<_> =
            ignored_outputs(json).into_iter().map(|warning| (warning.node_id.unwrap(), warning.message)).collect();
        assert_eq!(found.iter().map(|(node, _)| node.as_str()).collect::<Vec<_>>(), ["10", "11"]);
        assert!(found[0].1.contains("node 2 (ImageScale): Required input is missing: image"), "{found:?}");
        for none in [r#"{"node_errors":{}}"#, r#"{"node_errors":{"1":{"errors":[]}}}"#, r#"{"node_errors":[1]}"#, "x"] {
            assert!(ignored_outputs(none).is_empty(), "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_refusal_panics(json in "[\\[\\]{}\",:a-z0-9 ]{0,60}") {
            validation_failure(&format!("{{\"error\":{{\"message\":\"{json}\",\"details\":[{json}]}}}}"));
            validation_failure(&format!("{{\"node_errors\":{{\"1\":{json}}}}}"));
            ignored_outputs(&format!("{{\"node_errors\":{{\"1\":{{\"dependent_outputs\":[{json}]}}}}}}"));
        }
    }
}
