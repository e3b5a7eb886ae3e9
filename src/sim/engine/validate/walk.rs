//! From an output to all it needs, with a stack of its own: a chain of 100,000 nodes must not end the process. Beyond
//! `DEPTH_MAX` nodes it reports what Python's recursion limit makes of it.

use super::{Exception, Judged, exception_error, judge};
use crate::sim::{
    engine::{
        incarnation::Shared,
        validate_input::{self, Checked},
    },
    nodes::classes::{self, Class, Declared},
    python,
};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Nodes in a chain before Python's recursion limit strikes (900 pass, 1500 do not).
const DEPTH_MAX: usize = 960;

/// One node on the way.
pub(super) struct Frame {
    id: String,
    class: &'static Class,
    /// The next input to look at.
    at: usize,
    errors: Vec<Value>,
    is_valid: bool,
}

/// The way from an output to all it needs.
pub(super) struct Walk<'a> {
    pub(super) nodes: &'a mut Map<String, Value>,
    pub(super) shared: &'a Shared,
    pub(super) judged: &'a mut HashMap<String, Judged>,
    pub(super) order: &'a mut Vec<String>,
    pub(super) stack: Vec<Frame>,
}

impl Walk<'_> {
    /// Judges `root` and all it needs. An exception of the root itself is the caller's.
    pub(super) fn run(&mut self, root: &str) -> Result<(), Exception> {
        if self.judged.contains_key(root) {
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
            // In a list or a text Python finds no input's name; in other values it cannot look.
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
    fn leave(&mut self, mut frame: Frame) -> Result<(), Exception> {
        match validate_input::custom(&frame.id, self.nodes, self.shared) {
            Ok(None) => {}
            Ok(Some(error)) => frame.errors.push(error),
            Err(text) => return self.blame(&frame.id, &Exception { class: "AttributeError", text }),
        }
        let is_valid = frame.is_valid && frame.errors.is_empty();
        judge(self.judged, self.order, &frame.id, (is_valid, frame.errors));
        // The parent looks the verdict up: it stands at the same input still.
        Ok(())
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
