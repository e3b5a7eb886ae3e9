//! Failures and interrupts of a prompt, and its results for the history.

use super::{Run, RunEnd, Stop};
use crate::sim::{
    nodes::value::NodeFailure,
    options::{Caching, Mode},
};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

impl Run<'_> {
    /// Returns the failure injected by a fault, if one strikes.
    pub(crate) fn injected_failure(&self) -> Option<Box<Stop>> {
        let first = self.item.outputs.first().cloned().unwrap_or_default();
        let error = |class: &str, message: &str, is_oom| NodeFailure::Error {
            class: class.to_owned(),
            message: message.to_owned(),
            is_oom,
        };
        let stop = |failed| Some(Box::new(Stop { node: first.clone(), failed, inputs: json!({}) }));
        if self.process.instance.strikes(|faults| &mut faults.execution_oom) {
            return stop(error("torch.OutOfMemoryError", "Allocation on device (requested by a fault)", true));
        }
        if self.process.instance.strikes(|faults| &mut faults.execution_error) {
            return stop(error("RuntimeError", "failure requested by a fault", false));
        }
        if self.process.instance.strikes(|faults| &mut faults.execution_blocked) {
            self.blocked(&first, "block requested by a fault");
        }
        None
    }

    pub(crate) fn cycle(&self) -> Box<Stop> {
        let failed = NodeFailure::Error {
            class: "graph.DependencyCycleError".to_owned(),
            message: "Dependency cycle detected".to_owned(),
            is_oom: false,
        };
        let node = self.item.outputs.first().cloned().unwrap_or_default();
        Box::new(Stop { node, failed, inputs: json!([]) })
    }

    /// Reports a blocked node. The prompt goes on, and the history does not mention it.
    pub(crate) fn blocked(&self, id: &str, message: &str) {
        let class = self.graph.get(id).map(|node| node.class_name.clone());
        self.context.send_or_broadcast(
            "execution_error",
            &json!({
                "prompt_id": self.item.id,
                "node_id": id,
                "node_type": class,
                "executed": self.executed,
                "exception_message": format!("Execution Blocked: {message}"),
                "exception_type": "ExecutionBlocked",
                "traceback": [],
                "current_inputs": [],
                "current_outputs": [],
            }),
        );
    }

    pub(crate) fn report(&mut self, stop: &Stop) -> RunEnd {
        let node = self.graph.shown_as(&stop.node).to_owned();
        let class = self.graph.get(&node).map(|node| node.class_name.clone());
        let mut data = json!({
            "prompt_id": self.item.id, "node_id": node, "node_type": class, "executed": self.executed,
        });
        let (class, message, is_oom) = match &stop.failed {
            NodeFailure::Error { class, message, is_oom } => (class, message, *is_oom),
            NodeFailure::Interrupted => {
                self.context.emit(&mut self.messages, "execution_interrupted", data, true);
                return RunEnd::Interrupted;
            }
            NodeFailure::WorkerDied => return RunEnd::WorkerDied,
            NodeFailure::ProcessDied => return RunEnd::ProcessDied,
        };
        let tips = if is_oom {
            "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might have \
             accidentally set the batch_size to a large number."
        } else {
            ""
        };
        data["exception_message"] = json!(format!("{message}\n{tips}"));
        data["exception_type"] = json!(class);
        data["traceback"] = json!(["  File \"execution.py\", line 1, in execute\n    (stand-in)\n"]);
        data["current_inputs"] = stop.inputs.clone();
        data["current_outputs"] = json!(self.graph.ids);
        self.context.emit(&mut self.messages, "execution_error", data, false);
        RunEnd::Failed
    }

    /// Returns `(outputs, meta)` for the history: everything cached about the prompt's nodes; in newer versions what
    /// was sent.
    pub(crate) fn results(&self) -> (Value, Value) {
        let (mut outputs, mut meta) = (Map::new(), Map::new());
        let is_new = self.process.instance.options.mode == Mode::V038;
        let nodes = self.graph.ids.iter().filter_map(|id| self.graph.get(id));
        let fed: HashSet<&str> = nodes.flat_map(|node| node.links().map(|(from, _)| from)).collect();
        for id in &self.graph.ids {
            let Some(ui) = self.cache.ui(id) else { continue };
            // Without a cache, a node's ui is discarded with its result once all dependents have run.
            let is_forgotten = self.process.instance.options.caching == Caching::None && fed.contains(id.as_str());
            if is_forgotten || (is_new && !self.reported.contains(id)) {
                continue;
            }
            outputs.insert(id.clone(), (*ui.output).clone());
            meta.insert(id.clone(), ui.meta.clone());
        }
        (Value::Object(outputs), Value::Object(meta))
    }
}
