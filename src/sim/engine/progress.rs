//! Progress of all nodes of a prompt. The real server sends all of it with every change.

use crate::sim::python;
use serde_json::{Value, json};
use std::collections::HashMap;

#[derive(Debug)]
struct Entry {
    max: Value,
    /// The entry as JSON, key included.
    text: String,
}

/// The ids of a node in messages.
#[derive(Debug, Clone)]
pub(crate) struct NodeIds {
    pub node: String,
    pub display: String,
    pub parent: Option<String>,
}

/// Progress of all nodes that have started.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
}

impl Progress {
    pub(crate) fn start(&mut self, prompt_id: &str, ids: &NodeIds) {
        self.set(prompt_id, ids, json!(0.0), json!(1.0), "running");
    }

    pub(crate) fn update(&mut self, prompt_id: &str, ids: &NodeIds, value: u64, max: u64) {
        self.set(prompt_id, ids, json!(value), json!(max), "running");
    }

    pub(crate) fn finish(&mut self, prompt_id: &str, ids: &NodeIds) {
        let max = self.places.get(&ids.node).map_or(json!(1), |place| self.entries[*place].max.clone());
        self.set(prompt_id, ids, max.clone(), max, "finished");
    }

    fn set(&mut self, prompt_id: &str, ids: &NodeIds, value: Value, max: Value, state: &str) {
        let body = json!({
            "value": value,
            "max": max,
            "state": state,
            "node_id": ids.node,
            "prompt_id": prompt_id,
            "display_node_id": ids.display,
            "parent_node_id": ids.parent,
            "real_node_id": ids.display,
        });
        let mut text = String::new();
        python::write_text(&ids.node, &mut text);
        text.push_str(": ");
        text.push_str(&python::dumps(&body));
        let entry = Entry { max, text };
        match self.places.get(&ids.node) {
            Some(place) => self.entries[*place] = entry,
            None => {
                self.places.insert(ids.node.clone(), self.entries.len());
                self.entries.push(entry);
            }
        }
    }

    /// Returns the data of a `progress_state` message.
    pub(crate) fn json(&self, prompt_id: &str) -> String {
        let mut out = String::from("{\"prompt_id\": ");
        python::write_text(prompt_id, &mut out);
        out.push_str(", \"nodes\": {");
        for (at, entry) in self.entries.iter().enumerate() {
            if at > 0 {
                out.push_str(", ");
            }
            out.push_str(&entry.text);
        }
        out.push_str("}}");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{NodeIds, Progress};
    use serde_json::{Value, json};

    #[test]
    fn a_progress_bar_turns_the_numbers_into_integers() {
        let ids = NodeIds { node: "1.0.0.1".into(), display: "1".into(), parent: Some("1".into()) };
        let mut progress = Progress::default();
        progress.start("p", &ids);
        assert!(progress.json("p").contains("\"value\": 0.0, \"max\": 1.0, \"state\": \"running\""));
        progress.update("p", &ids, 1, 4);
        progress.finish("p", &ids);
        let state: Value = serde_json::from_str(&progress.json("p")).unwrap();
        assert_eq!(
            state["nodes"]["1.0.0.1"],
            json!({"value": 4, "max": 4, "state": "finished", "node_id": "1.0.0.1", "prompt_id": "p",
                   "display_node_id": "1", "parent_node_id": "1", "real_node_id": "1"})
        );
    }
}
