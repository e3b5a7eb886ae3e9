//! Validation of a submitted graph, error for error as `execution.py` reports it.
//!
//! `walk` goes from an output to all it needs; `validate_input` checks one input.

mod walk;

use super::{incarnation::Shared, validate_input};
use crate::sim::{
    Mode,
    nodes::classes::{self, Declared},
    python,
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use walk::Walk;

/// What became of a graph.
pub(crate) enum Verdict {
    /// An exception outside validation: a plain 500.
    Trouble,
    /// 400.
    Refused { error: Value, node_errors: Value },
    /// To be queued; `node_errors` may be non-empty.
    Accepted { prompt: Value, outputs: Vec<String>, node_errors: Value },
}

/// An exception of Python: its class and `str()`.
#[derive(Debug, Clone)]
struct Exception {
    class: &'static str,
    text: String,
}

/// Whether a node is valid, and its own errors.
type Judged = (bool, Vec<Value>);

/// Checks all nodes' classes, then every output and what it needs.
pub(crate) fn prompt(prompt: Value, targets: Option<&Value>, shared: &Shared) -> Verdict {
    let mut nodes = match prompt {
        Value::Object(nodes) => nodes,
        // Nothing to iterate: no outputs.
        Value::Array(list) if list.is_empty() => Map::new(),
        Value::String(text) if text.is_empty() => Map::new(),
        _ => return Verdict::Trouble,
    };
    let outputs = match outputs(&nodes, targets, shared.options.mode) {
        Ok(outputs) => outputs,
        Err(verdict) => return *verdict,
    };
    if outputs.is_empty() {
        return refused("prompt_no_outputs", "Prompt has no outputs", String::new(), json!({}), json!({}));
    }
    let mut judged: HashMap<String, Judged> = HashMap::new();
    let mut order: Vec<String> = Vec::new();
    let (mut good, mut details, mut node_errors) = (Vec::new(), Vec::new(), Map::new());
    for output in outputs {
        let mut walk = Walk { nodes: &mut nodes, shared, judged: &mut judged, order: &mut order, stack: Vec::new() };
        if let Err(exception) = walk.run(&output) {
            let error =
                exception_error("exception_during_validation", "Exception when validating node", &exception, None);
            judge(&mut judged, &mut order, &output, (false, vec![error]));
        }
        let (is_valid, errors) = judged.get(&output).cloned().unwrap_or((false, vec![]));
        if is_valid {
            good.push(output);
            continue;
        }
        details.extend(errors.iter().map(|error| format!("{}: {}", text(&error["message"]), text(&error["details"]))));
        collect(&mut node_errors, &judged, &order, &nodes, &output);
    }
    if good.is_empty() {
        let details = details.join("\n");
        let kind = "prompt_outputs_failed_validation";
        return refused(kind, "Prompt outputs failed validation", details, json!({}), Value::Object(node_errors));
    }
    Verdict::Accepted { prompt: Value::Object(nodes), outputs: good, node_errors: Value::Object(node_errors) }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn refused(kind: &str, message: &str, details: String, extra_info: Value, node_errors: Value) -> Verdict {
    let error = json!({"type": kind, "message": message, "details": details, "extra_info": extra_info});
    Verdict::Refused { error, node_errors }
}

/// Ids of the output nodes to run, in the order of the graph.
fn outputs(nodes: &Map<String, Value>, targets: Option<&Value>, mode: Mode) -> Result<Vec<String>, Box<Verdict>> {
    let mut outputs = Vec::new();
    for (id, node) in nodes {
        let class_type = match node {
            Value::Object(node) => node.get("class_type"),
            Value::String(_) | Value::Array(_) => None,
            _ => return Err(Box::new(Verdict::Trouble)),
        };
        let details = format!("Node ID '#{id}'");
        let title = || json!(node["_meta"]["title"].as_str().unwrap_or("Node"));
        let Some(class_type) = class_type else {
            let message = "Cannot execute because a node is missing the class_type property.";
            return Err(Box::new(unknown(mode, message.to_owned(), details, id, &Value::Null, title())));
        };
        if class_type.is_array() || class_type.is_object() {
            return Err(Box::new(Verdict::Trouble));
        }
        let Some(class) = class_type.as_str().and_then(classes::find) else {
            let message = format!("Cannot execute because node {} does not exist.", python::str_of(class_type));
            return Err(Box::new(unknown(mode, message, details, id, class_type, title())));
        };
        let is_wanted = match targets {
            None => true,
            Some(Value::Array(targets)) => targets.iter().any(|target| target == id.as_str()),
            Some(Value::String(text)) => text.contains(id.as_str()),
            Some(Value::Object(map)) => map.contains_key(id),
            Some(_) if !class.is_output => false,
            Some(_) => return Err(Box::new(Verdict::Trouble)),
        };
        if class.is_output && is_wanted {
            outputs.push(id.clone());
        }
    }
    Ok(outputs)
}

fn unknown(mode: Mode, message: String, details: String, id: &str, class_type: &Value, title: Value) -> Verdict {
    if mode == Mode::V03 {
        return refused("invalid_prompt", &message, details, json!({}), json!({}));
    }
    let extra_info = json!({"node_id": id, "class_type": class_type, "node_title": title});
    refused("missing_node_type", &message, details, extra_info, json!({}))
}

/// The errors of all nodes seen so far, each with the outputs that depend on it.
fn collect(
    into: &mut Map<String, Value>,
    judged: &HashMap<String, Judged>,
    order: &[String],
    nodes: &Map<String, Value>,
    output: &str,
) {
    for id in order {
        let Some((false, errors)) = judged.get(id) else { continue };
        if errors.is_empty() {
            continue;
        }
        let entry = into.entry(id.clone()).or_insert_with(
            || json!({"errors": errors, "dependent_outputs": [], "class_type": nodes.get(id).map(|node| &node["class_type"])}),
        );
        if let Some(dependent) = entry["dependent_outputs"].as_array_mut() {
            dependent.push(output.into());
        }
    }
}

fn judge(judged: &mut HashMap<String, Judged>, order: &mut Vec<String>, id: &str, verdict: Judged) {
    if judged.insert(id.to_owned(), verdict).is_none() {
        order.push(id.to_owned());
    }
}

fn exception_error(
    kind: &str,
    message: &str,
    exception: &Exception,
    inner: Option<(&Declared, &Value, &Shared)>,
) -> Value {
    let traceback = json!(["  File \"execution.py\", line 1, in validate_inputs\n    (stand-in)\n"]);
    let mut extra = Map::new();
    if let Some((input, link, shared)) = inner {
        extra.insert("input_name".to_owned(), json!(input.name));
        extra.insert("input_config".to_owned(), validate_input::config(input, shared));
        extra.insert("exception_message".to_owned(), json!(exception.text));
        extra.insert("exception_type".to_owned(), json!(exception.class));
        extra.insert("traceback".to_owned(), traceback);
        extra.insert("linked_node".to_owned(), link.clone());
    } else {
        extra.insert("exception_type".to_owned(), json!(exception.class));
        extra.insert("traceback".to_owned(), traceback);
    }
    json!({"type": kind, "message": message, "details": exception.text, "extra_info": extra})
}
