//! Validation of a submitted graph, with the same errors as `execution.py`.
//!
//! `walk` visits an output and all of its dependencies; `validate_input` checks a single input.

mod walk;

use crate::sim::{
    engine::{process::Instance, validate_input},
    nodes::classes::{self, Declared},
    options::Mode,
    python,
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use walk::Walk;

/// Result of the validation of a graph.
pub(crate) enum Validation {
    /// An exception outside of validation: a plain 500.
    InternalError,
    /// Refused with a 400.
    Refused { error: Value, node_errors: Value },
    /// Accepted. `node_errors` may be non-empty.
    Accepted { prompt: Value, outputs: Vec<String>, node_errors: Value },
}

/// A Python exception: its class and `str()`.
#[derive(Debug, Clone)]
struct Exception {
    class: &'static str,
    text: String,
}

/// Whether a node is valid, and its own errors.
type NodeValidity = (bool, Vec<Value>);

/// A class that newer versions replace by another, with the same inputs (`/node_replacements`).
pub(crate) const REPLACED: (&str, &str) = ("T2IAdapterLoader", "ControlNetLoader");

/// Replaces the classes of nodes as newer versions do before the validation; false for a node without `_meta`, which is a
/// 500 there.
pub(crate) fn replace_classes(prompt: &mut Value) -> bool {
    let Some(nodes) = prompt.as_object_mut() else { return true };
    for node in nodes.values_mut().filter(|node| node["class_type"] == REPLACED.0) {
        if node["_meta"]["title"].is_null() {
            return false;
        }
        node["class_type"] = Value::from(REPLACED.1);
    }
    true
}

/// Checks the classes of all nodes, then every output with its dependencies.
pub(crate) fn prompt(prompt: Value, targets: Option<&Value>, instance: &Instance) -> Validation {
    let mut nodes = match prompt {
        Value::Object(nodes) => nodes,
        // Nothing to iterate in Python: no outputs.
        Value::Array(list) if list.is_empty() => Map::new(),
        Value::String(text) if text.is_empty() => Map::new(),
        _ => return Validation::InternalError,
    };
    let outputs = match outputs(&nodes, targets, instance.options.mode) {
        Ok(outputs) => outputs,
        Err(validity) => return *validity,
    };
    if outputs.is_empty() {
        return refused("prompt_no_outputs", "Prompt has no outputs", String::new(), json!({}), json!({}));
    }
    let mut validated: HashMap<String, NodeValidity> = HashMap::new();
    let mut order: Vec<String> = Vec::new();
    let (mut good, mut details, mut node_errors) = (Vec::new(), Vec::new(), Map::new());
    for output in outputs {
        let mut walk =
            Walk { nodes: &mut nodes, instance, validated: &mut validated, order: &mut order, stack: Vec::new() };
        if let Err(exception) = walk.run(&output) {
            let error =
                exception_error("exception_during_validation", "Exception when validating node", &exception, None);
            record(&mut validated, &mut order, &output, (false, vec![error]));
        }
        let (is_valid, errors) = validated.get(&output).cloned().unwrap_or((false, vec![]));
        if is_valid {
            good.push(output);
            continue;
        }
        details.extend(errors.iter().map(|error| format!("{}: {}", text(&error["message"]), text(&error["details"]))));
        collect(&mut node_errors, &validated, &order, &nodes, &output);
    }
    if good.is_empty() {
        let details = details.join("\n");
        let kind = "prompt_outputs_failed_validation";
        return refused(kind, "Prompt outputs failed validation", details, json!({}), Value::Object(node_errors));
    }
    Validation::Accepted { prompt: Value::Object(nodes), outputs: good, node_errors: Value::Object(node_errors) }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn refused(kind: &str, message: &str, details: String, extra_info: Value, node_errors: Value) -> Validation {
    let error = json!({"type": kind, "message": message, "details": details, "extra_info": extra_info});
    Validation::Refused { error, node_errors }
}

/// Returns the ids of the output nodes to run, in the order of the graph.
fn outputs(nodes: &Map<String, Value>, targets: Option<&Value>, mode: Mode) -> Result<Vec<String>, Box<Validation>> {
    let mut outputs = Vec::new();
    for (id, node) in nodes {
        let class_type = match node {
            Value::Object(node) => node.get("class_type"),
            Value::String(_) | Value::Array(_) => None,
            _ => return Err(Box::new(Validation::InternalError)),
        };
        let details = format!("Node ID '#{id}'");
        let title = || json!(node["_meta"]["title"].as_str().unwrap_or("Node"));
        let Some(class_type) = class_type else {
            let message = "Cannot execute because a node is missing the class_type property.";
            return Err(Box::new(unknown(mode, message.to_owned(), details, id, &Value::Null, title())));
        };
        if class_type.is_array() || class_type.is_object() {
            return Err(Box::new(Validation::InternalError));
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
            Some(_) => return Err(Box::new(Validation::InternalError)),
        };
        if class.is_output && is_wanted {
            outputs.push(id.clone());
        }
    }
    Ok(outputs)
}

fn unknown(mode: Mode, message: String, details: String, id: &str, class_type: &Value, title: Value) -> Validation {
    if mode == Mode::V03 {
        return refused("invalid_prompt", &message, details, json!({}), json!({}));
    }
    let extra_info = json!({"node_id": id, "class_type": class_type, "node_title": title});
    refused("missing_node_type", &message, details, extra_info, json!({}))
}

/// Adds the errors of all nodes seen so far, each with the outputs that depend on the node.
fn collect(
    into: &mut Map<String, Value>,
    validated: &HashMap<String, NodeValidity>,
    order: &[String],
    nodes: &Map<String, Value>,
    output: &str,
) {
    for id in order {
        let Some((false, errors)) = validated.get(id) else { continue };
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

fn record(validated: &mut HashMap<String, NodeValidity>, order: &mut Vec<String>, id: &str, validity: NodeValidity) {
    if validated.insert(id.to_owned(), validity).is_none() {
        order.push(id.to_owned());
    }
}

fn exception_error(
    kind: &str,
    message: &str,
    exception: &Exception,
    inner: Option<(&Declared, &Value, &Instance)>,
) -> Value {
    let traceback = json!(["  File \"execution.py\", line 1, in validate_inputs\n    (stand-in)\n"]);
    let mut extra = Map::new();
    if let Some((input, link, instance)) = inner {
        extra.insert("input_name".to_owned(), json!(input.name));
        extra.insert("input_config".to_owned(), validate_input::config(input, instance));
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
