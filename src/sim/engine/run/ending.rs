//! How a prompt ends otherwise than well, and what the history gets of it.

use super::{Ended, Run, Stop, tell};
use crate::sim::{Caching, Mode, nodes::Failed};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

impl Run<'_> {
    /// The faults that strike a whole prompt.
    pub(super) fn ordered_to_fail(&self) -> Option<Box<Stop>> {
        let first = self.item.outputs.first().cloned().unwrap_or_default();
        let error = |class: &str, message: &str, is_oom| Failed::Error {
            class: class.to_owned(),
            message: message.to_owned(),
            is_oom,
        };
        let stop = |failed| Some(Box::new(Stop { node: first.clone(), failed, inputs: json!({}) }));
        if self.life.shared.strikes(|faults| &mut faults.execution_oom) {
            return stop(error("torch.OutOfMemoryError", "Allocation on device (ordered)", true));
        }
        if self.life.shared.strikes(|faults| &mut faults.execution_error) {
            return stop(error("RuntimeError", "told to fail by a fault", false));
        }
        if self.life.shared.strikes(|faults| &mut faults.execution_blocked) {
            self.blocked(&first, "told to block by a fault");
        }
        None
    }

    pub(super) fn cycle(&self) -> Box<Stop> {
        let failed = Failed::Error {
            class: "graph.DependencyCycleError".to_owned(),
            message: "Dependency cycle detected".to_owned(),
            is_oom: false,
        };
        let node = self.item.outputs.first().cloned().unwrap_or_default();
        Box::new(Stop { node, failed, inputs: json!([]) })
    }

    /// Not the end: the prompt goes on, and the history does not mention it.
    pub(super) fn blocked(&self, id: &str, message: &str) {
        let class = self.graph.get(id).map(|node| node.class_name.clone());
        self.context.tell_or_all(
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

    pub(super) fn report(&mut self, stop: &Stop) -> Ended {
        let node = self.graph.shown_as(&stop.node).to_owned();
        let class = self.graph.get(&node).map(|node| node.class_name.clone());
        let mut data = json!({
            "prompt_id": self.item.id, "node_id": node, "node_type": class, "executed": self.executed,
        });
        let (class, message, is_oom) = match &stop.failed {
            Failed::Error { class, message, is_oom } => (class, message, *is_oom),
            Failed::Interrupted => {
                tell(&self.context, &mut self.messages, "execution_interrupted", data, true);
                return Ended::Interrupted;
            }
            Failed::WorkerDied => return Ended::WorkerDied,
            Failed::ProcessDied => return Ended::ProcessDied,
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
        tell(&self.context, &mut self.messages, "execution_error", data, false);
        Ended::Failed
    }

    /// `(outputs, meta)` of the history: all that the cache knows of this prompt's nodes; in newer versions what was told.
    pub(super) fn results(&self) -> (Value, Value) {
        let (mut outputs, mut meta) = (Map::new(), Map::new());
        let is_new = self.life.shared.options.mode == Mode::V038;
        let nodes = self.graph.ids.iter().filter_map(|id| self.graph.get(id));
        let fed: HashSet<&str> = nodes.flat_map(|node| node.links().map(|(from, _)| from)).collect();
        for id in &self.graph.ids {
            let Some(ui) = self.cache.ui(id) else { continue };
            // Without a cache a node is forgotten as soon as all that need it have run, its ui too.
            let is_forgotten = self.life.shared.options.caching == Caching::None && fed.contains(id.as_str());
            if is_forgotten || (is_new && !self.told.contains(id)) {
                continue;
            }
            outputs.insert(id.clone(), (*ui.output).clone());
            meta.insert(id.clone(), ui.meta.clone());
        }
        (Value::Object(outputs), Value::Object(meta))
    }
}
