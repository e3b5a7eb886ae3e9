//! Why an instance refused a graph, in one sentence (protocol §2, §13).

use super::{
    error_text::Blame,
    python_json::{self, Pairs},
};
use crate::task::{Failure, FailureKind};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Errors named in the message; the rest is counted.
const NAMED_MAX: usize = 5;

/// `{"error":{type,message,details,extra_info},"node_errors":{…}}`
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    node_errors: Option<&'a RawValue>,
}

/// `{"type","message","details","extra_info":{…}}`, of the whole prompt or of one node.
#[derive(Deserialize, Default)]
struct Fault<'a> {
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
struct NodeFaults<'a> {
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
    #[serde(borrow, default)]
    class_type: Option<&'a RawValue>,
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

/// The failure that a 400 tells, or a 200 with `node_errors`; `None` if it tells none.
pub(super) fn refusal(json: &str) -> Option<Failure> {
    let body: Body<'_> = python_json::object(json)?;
    let nodes: Vec<(String, &RawValue)> = body
        .node_errors
        .and_then(|raw| python_json::read::<Pairs<'_>>(raw.get()))
        .map(|pairs| pairs.0)
        .unwrap_or_default();
    if !nodes.is_empty() {
        return Some(of_nodes(nodes));
    }
    body.error.map(of_prompt)
}

fn of_nodes(mut nodes: Vec<(String, &RawValue)>) -> Failure {
    nodes.sort_by_cached_key(|(node_id, _)| natural(node_id));
    let mut blame = None;
    let mut sentences = Vec::new();
    let mut unnamed = 0;
    for (node_id, raw) in nodes {
        let faults: Option<NodeFaults<'_>> = python_json::object(raw.get());
        let class = faults.as_ref().and_then(|faults| faults.class_type).and_then(python_json::text);
        let errors: Vec<&RawValue> =
            faults.and_then(|faults| faults.errors).and_then(|raw| python_json::read(raw.get())).unwrap_or_default();
        for error in errors {
            let fault: Fault<'_> = python_json::object(error.get()).unwrap_or_default();
            if sentences.len() == NAMED_MAX {
                unnamed += 1;
                continue;
            }
            sentences.push(format!("{}: {}", title(Some(&node_id), class.as_deref()), fault.sentence()));
            blame.get_or_insert_with(|| Blame {
                node_id: Some(node_id.clone()),
                node_type: class.clone(),
                exception_type: fault.extra().exception_type.and_then(python_json::text),
                traceback: Vec::new(),
            });
        }
        blame.get_or_insert_with(|| Blame { node_id: Some(node_id), node_type: class, ..Blame::default() });
    }
    let mut message = sentences.join("; ");
    if unnamed > 0 {
        message.push_str(&format!("; and {unnamed} more"));
    }
    if message.is_empty() {
        message.push_str("the instance refused the graph and named no reason");
    }
    blame.unwrap_or_default().failure(FailureKind::InvalidWorkflow, &message)
}

fn of_prompt(raw: &RawValue) -> Failure {
    let Some(fault) = python_json::object::<Fault<'_>>(raw.get()) else {
        let words = python_json::text(raw).unwrap_or_else(|| "the instance refused the graph".to_owned());
        return Blame::default().failure(FailureKind::InvalidWorkflow, &words);
    };
    let extra = fault.extra();
    let details = fault.details.and_then(python_json::text).unwrap_or_default();
    let message = fault.message.and_then(python_json::text).unwrap_or_default();
    let node_id = extra.node_id.and_then(python_json::text).or_else(|| quoted(&details, "Node ID '#", "'"));
    let node_type =
        extra.class_type.and_then(python_json::text).or_else(|| quoted(&message, "because node ", " does not exist"));
    let is_silent =
        details.is_empty() && fault.kind.and_then(python_json::text).is_some_and(|kind| kind.ends_with("_validation"));
    let sentence = match &node_id {
        // A cycle of links is refused with empty details and empty node_errors (protocol §2).
        None if is_silent => format!("{message}, and no reason was named: links that run in a circle do this"),
        None => fault.sentence(),
        Some(_) => format!("{}: {message}", title(node_id.as_deref(), None)),
    };
    Blame { node_id, node_type, ..Blame::default() }.failure(FailureKind::InvalidWorkflow, &sentence)
}

impl<'a> Fault<'a> {
    fn sentence(&self) -> String {
        let [message, details] =
            [self.message, self.details].map(|raw| raw.and_then(python_json::text).unwrap_or_default());
        match (message.trim(), details.trim()) {
            ("", "") => self.kind.and_then(python_json::text).unwrap_or_else(|| "refused".to_owned()),
            (message, "") => message.to_owned(),
            ("", details) => details.to_owned(),
            (message, details) => format!("{message}: {details}"),
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

/// Sorts `2` before `10` and `1.0.0.2` before `1.0.0.10`.
pub(super) fn natural(node_id: &str) -> Vec<(u64, String)> {
    node_id.split(['.', ':']).map(|part| (part.parse().unwrap_or(u64::MAX), part.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use crate::task::{Failure, FailureKind};
    use proptest::prelude::*;

    fn refused(json: &str) -> Failure {
        let failure = refusal(json).unwrap();
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
    fn newer_versions_say_the_class_in_extra_info() {
        let failure = refused(
            r#"{"error":{"type":"missing_node_type","message":"Node 'X' not found","details":"","extra_info":{"node_id":"7","class_type":"X","node_title":"t"}},"node_errors":{}}"#,
        );
        assert_eq!((failure.node_id.as_deref(), failure.node_type.as_deref()), (Some("7"), Some("X")));
    }

    #[test]
    fn a_cycle_is_guessed() {
        let failure = refused(
            r#"{"error":{"type":"prompt_outputs_failed_validation","message":"Prompt outputs failed validation","details":"","extra_info":{}},"node_errors":{}}"#,
        );
        assert!(failure.message.contains("circle"), "{}", failure.message);
    }

    #[test]
    fn a_traceback_of_the_server_stays_there() {
        let failure = refused(
            r#"{"error":{"type":"prompt_outputs_failed_validation","message":"Prompt outputs failed validation","details":"Exception when validating node: '99'","extra_info":{}},
            "node_errors":{"2":{"errors":[{"type":"exception_during_validation","message":"Exception when validating node","details":"'/srv/ComfyUI/x/y.py'","extra_info":{"exception_type":"KeyError","traceback":["  File \"/srv/ComfyUI/execution.py\", line 1010"]}}],"dependent_outputs":["2"],"class_type":"SaveImage"}}}"#,
        );
        assert_eq!(failure.message, "node 2 (SaveImage): Exception when validating node: '…/ComfyUI/x/y.py'");
        assert_eq!(failure.exception_type.as_deref(), Some("KeyError"));
    }

    #[test]
    fn odd_shapes_are_refusals_too() {
        assert_eq!(refused(r#"{"error":"no","node_errors":[]}"#).message, "no");
        assert_eq!(refused(r#"{"error":[1]}"#).message, "the instance refused the graph");
        assert_eq!(refused(r#"{"node_errors":{"5":7}}"#).node_id.as_deref(), Some("5"));
        assert!(refusal(r#"{"node_errors":{}}"#).is_none());
        assert!(refusal("<html>").is_none());
    }

    proptest! {
        #[test]
        fn nothing_panics(json in "[\\[\\]{}\",:a-z0-9 ]{0,60}") {
            refusal(&format!("{{\"error\":{{\"message\":\"{json}\",\"details\":[{json}]}}}}"));
            refusal(&format!("{{\"node_errors\":{{\"1\":{json}}}}}"));
        }
    }
}
