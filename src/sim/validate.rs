//! Validation of a submitted graph, error for error as `execution.py` reports it.
//!
//! Walks with its own stack: a chain of 100,000 nodes must not end the process. Beyond `DEPTH_MAX` nodes it reports what
//! Python's recursion limit makes of it.

use super::{
    Mode, classes,
    classes::{Class, Declared},
    life::Shared,
    python,
    validate_input::{self, Checked},
};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Nodes in a chain before Python's recursion limit strikes (900 pass, 1500 do not).
const DEPTH_MAX: usize = 960;

/// What became of a graph.
pub(super) enum Verdict {
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
pub(super) fn prompt(prompt: Value, targets: Option<&Value>, shared: &Shared) -> Verdict {
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

/// One node on the way.
struct Frame {
    id: String,
    class: &'static Class,
    /// The next input to look at.
    at: usize,
    errors: Vec<Value>,
    is_valid: bool,
}

struct Walk<'a> {
    nodes: &'a mut Map<String, Value>,
    shared: &'a Shared,
    judged: &'a mut HashMap<String, Judged>,
    order: &'a mut Vec<String>,
    stack: Vec<Frame>,
}

impl Walk<'_> {
    /// Judges `root` and all it needs. An exception of the root itself is the caller's.
    fn run(&mut self, root: &str) -> Result<(), Exception> {
        if self.judged.contains_key(root) {
            return Ok(());
        }
        let mut on_way: HashSet<String> = HashSet::from([root.to_owned()]);
        self.enter(root)?;
        while let Some(mut frame) = self.stack.pop() {
            let Some(input) = frame.class.inputs.get(frame.at) else {
                on_way.remove(&frame.id);
                self.leave(frame);
                continue;
            };
            match self.step(&mut frame, input) {
                Ok(None) => {
                    frame.at += 1;
                    self.stack.push(frame);
                }
                Ok(Some(child)) => self.descend(frame, input, child, &mut on_way)?,
                Err(exception) => {
                    on_way.remove(&frame.id);
                    self.blame(&frame.id, &exception)?;
                }
            }
        }
        Ok(())
    }

    /// A linked node must be judged first.
    fn descend(
        &mut self,
        mut frame: Frame,
        input: &Declared,
        child: String,
        on_way: &mut HashSet<String>,
    ) -> Result<(), Exception> {
        if let Some((is_valid, _)) = self.judged.get(&child) {
            frame.is_valid &= is_valid;
            frame.at += 1;
            self.stack.push(frame);
            return Ok(());
        }
        if on_way.contains(&child) {
            // Python recurses until its limit; every node of the cycle ends invalid and without an error of its own.
            frame.is_valid = false;
            frame.at += 1;
            self.stack.push(frame);
            return Ok(());
        }
        let entered = if self.stack.len() + 1 >= DEPTH_MAX {
            let text = "maximum recursion depth exceeded while calling a Python object".to_owned();
            Err(Exception { class: "RecursionError", text })
        } else {
            self.stack.push(frame);
            let entered = self.enter(&child);
            if entered.is_ok() {
                on_way.insert(child);
                return Ok(());
            }
            frame = self.stack.pop().unwrap_or_else(|| unreachable!("pushed above"));
            entered
        };
        if let Err(exception) = entered {
            self.inner_exception(&frame.id, input, &child, &exception);
            frame.is_valid = false;
            frame.at += 1;
        }
        self.stack.push(frame);
        Ok(())
    }

    fn enter(&mut self, id: &str) -> Result<(), Exception> {
        let key_error = |key: &str| Exception { class: "KeyError", text: python::repr_text(key) };
        let node = self.nodes.get(id).ok_or_else(|| key_error(id))?;
        match node.get("inputs") {
            None => return Err(key_error("inputs")),
            Some(inputs) if !inputs.is_object() => {
                let text = format!("argument of type '{}' is not iterable", python::type_name(inputs));
                return Err(Exception { class: "TypeError", text });
            }
            Some(_) => {}
        }
        let class = node["class_type"].as_str().and_then(classes::find).ok_or_else(|| key_error("class_type"))?;
        self.stack.push(Frame { id: id.to_owned(), class, at: 0, errors: Vec::new(), is_valid: true });
        Ok(())
    }

    /// Looks at one input; `Some` is the node it links to.
    fn step(&mut self, frame: &mut Frame, input: &Declared) -> Result<Option<String>, Exception> {
        let Some(value) = self.nodes[&frame.id]["inputs"].get(&input.name).cloned() else {
            if input.is_required {
                frame.errors.push(json!({
                    "type": "required_input_missing",
                    "message": "Required input is missing",
                    "details": input.name,
                    "extra_info": {"input_name": input.name},
                }));
            }
            return Ok(None);
        };
        if let Value::Array(link) = &value {
            if link.len() != 2 {
                frame.errors.push(validate_input::bad_link(input, &value, self.shared));
                return Ok(None);
            }
            return self.link(frame, input, link, &value);
        }
        match validate_input::literal(frame.class, input, value, self.shared) {
            Checked::Good(value) => {
                self.nodes[&frame.id]["inputs"][&input.name] = value;
            }
            Checked::Bad(error) => frame.errors.push(error),
        }
        Ok(None)
    }

    fn link(
        &self,
        frame: &mut Frame,
        input: &Declared,
        link: &[Value],
        value: &Value,
    ) -> Result<Option<String>, Exception> {
        let key_error = || Exception { class: "KeyError", text: python::repr(&link[0]) };
        let from = link[0].as_str().ok_or_else(key_error)?;
        let node = self.nodes.get(from).ok_or_else(key_error)?;
        let class = node["class_type"].as_str().and_then(classes::find).ok_or_else(key_error)?;
        let slot = link[1].as_i64().ok_or_else(|| Exception {
            class: "TypeError",
            text: format!("tuple indices must be integers or slices, not {}", python::type_name(&link[1])),
        })?;
        let count = i64::try_from(class.outputs.len()).unwrap_or(i64::MAX);
        let at = if slot < 0 { slot + count } else { slot };
        let received = usize::try_from(at).ok().and_then(|at| class.outputs.get(at));
        let received =
            received.ok_or_else(|| Exception { class: "IndexError", text: "tuple index out of range".to_owned() })?;
        if validate_input::types_differ(received, &input.kind) {
            frame.errors.push(validate_input::type_mismatch(input, received, value, self.shared));
            return Ok(None);
        }
        Ok(Some(from.to_owned()))
    }

    /// All inputs were looked at.
    fn leave(&mut self, mut frame: Frame) {
        if let Some(error) = validate_input::custom(&frame.id, self.nodes, self.shared) {
            frame.errors.push(error);
        }
        let is_valid = frame.is_valid && frame.errors.is_empty();
        judge(self.judged, self.order, &frame.id, (is_valid, frame.errors));
        // The parent looks the verdict up: it stands at the same input still.
    }

    /// An exception in a node goes to the node that links to it, or to the caller.
    fn blame(&mut self, id: &str, exception: &Exception) -> Result<(), Exception> {
        let Some(mut parent) = self.stack.pop() else { return Err(exception.clone()) };
        if let Some(input) = parent.class.inputs.get(parent.at) {
            self.inner_exception(&parent.id, input, id, exception);
        }
        parent.is_valid = false;
        parent.at += 1;
        self.stack.push(parent);
        Ok(())
    }

    fn inner_exception(&mut self, parent: &str, input: &Declared, id: &str, exception: &Exception) {
        let link = self.nodes[parent]["inputs"][&input.name].clone();
        let message = "Exception when validating inner node";
        let kind = "exception_during_inner_validation";
        let error = exception_error(kind, message, exception, Some((input, &link, self.shared)));
        judge(self.judged, self.order, id, (false, vec![error]));
    }
}
