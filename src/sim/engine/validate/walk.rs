//! Visits an output and all of its dependencies with an explicit stack, so that a chain of 100,000 nodes does not
//! overflow ours. Beyond `DEPTH_MAX` nodes it reports the error of Python's recursion limit.

use super::{Exception, NodeValidity, exception_error, record};
use crate::sim::{
    engine::{
        process::Instance,
        validate_input::{self, Checked},
    },
    nodes::classes::{self, Class, Declared},
    python,
};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Longest chain of nodes below Python's recursion limit (900 pass, 1500 do not).
const DEPTH_MAX: usize = 960;

/// A node on the current path.
pub(crate) struct Frame {
    id: String,
    class: &'static Class,
    /// Index of the next input to check.
    at: usize,
    errors: Vec<Value>,
    is_valid: bool,
}

/// Walk from an output to all of its dependencies.
pub(crate) struct Walk<'a> {
    pub(crate) nodes: &'a mut Map<String, Value>,
    pub(crate) instance: &'a Instance,
    pub(crate) validated: &'a mut HashMap<String, NodeValidity>,
    pub(crate) order: &'a mut Vec<String>,
    pub(crate) stack: Vec<Frame>,
}

impl Walk<'_> {
    /// Validates `root` and its dependencies. An exception of the root itself is returned.
    pub(crate) fn run(&mut self, root: &str) -> Result<(), Exception> {
        if self.validated.contains_key(root) {
            return Ok(());
        }
        let mut on_way: HashSet<String> = HashSet::from([root.to_owned()]);
        self.enter(root)?;
        while let Some(mut frame) = self.stack.pop() {
            let Some(input) = frame.class.inputs.get(frame.at) else {
                on_way.remove(&frame.id);
                self.leave(frame)?;
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
                    self.fail_parent(&frame.id, &exception)?;
                }
            }
        }
        Ok(())
    }

    /// Validates a linked node before the current one.
    fn descend(
        &mut self,
        mut frame: Frame,
        input: &Declared,
        child: String,
        on_way: &mut HashSet<String>,
    ) -> Result<(), Exception> {
        if let Some((is_valid, _)) = self.validated.get(&child) {
            frame.is_valid &= is_valid;
            frame.at += 1;
            self.stack.push(frame);
            return Ok(());
        }
        if on_way.contains(&child) {
            // Python recurses until its limit. Every node of the cycle becomes invalid without an error of its own.
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
            // Python finds no input in a list or a text; for other values the lookup raises.
            Some(Value::Object(_) | Value::Array(_) | Value::String(_)) => {}
            Some(inputs) => {
                let text = format!("argument of type '{}' is not iterable", python::type_name(inputs));
                return Err(Exception { class: "TypeError", text });
            }
        }
        let class = node["class_type"].as_str().and_then(classes::find).ok_or_else(|| key_error("class_type"))?;
        self.stack.push(Frame { id: id.to_owned(), class, at: 0, errors: Vec::new(), is_valid: true });
        Ok(())
    }

    /// Checks an input; `Some` is the node it links to.
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
                frame.errors.push(validate_input::bad_link(input, &value, self.instance));
                return Ok(None);
            }
            return self.link(frame, input, link, &value);
        }
        match validate_input::literal(frame.class, input, value, self.instance) {
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
            frame.errors.push(validate_input::type_mismatch(input, received, value, self.instance));
            return Ok(None);
        }
        Ok(Some(from.to_owned()))
    }

    /// Completes a node whose inputs were all checked.
    fn leave(&mut self, mut frame: Frame) -> Result<(), Exception> {
        match validate_input::custom(&frame.id, self.nodes, self.instance) {
            Ok(None) => {}
            Ok(Some(error)) => frame.errors.push(error),
            Err(text) => return self.fail_parent(&frame.id, &Exception { class: "AttributeError", text }),
        }
        let is_valid = frame.is_valid && frame.errors.is_empty();
        record(self.validated, self.order, &frame.id, (is_valid, frame.errors));
        // The parent will read the result: it is still at the same input.
        Ok(())
    }

    /// Attributes an exception in a node to the node that links to it, or returns it to the caller.
    fn fail_parent(&mut self, id: &str, exception: &Exception) -> Result<(), Exception> {
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
        let error = exception_error(kind, message, exception, Some((input, &link, self.instance)));
        record(self.validated, self.order, id, (false, vec![error]));
    }
}
