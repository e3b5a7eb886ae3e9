//! Nodes that may send pictures over the WebSocket as their result, instead of saving them.

use super::{Workflow, links};
use std::collections::HashSet;

impl Workflow {
    /// Returns the nodes whose pictures in binary frames are results rather than previews: those whose class says so, and
    /// those that no other node takes anything from. ComfyUI runs such a node only for its result.
    pub fn picture_senders(&self) -> HashSet<String> {
        let targets = self.nodes().flat_map(|node| node.inputs.iter().filter_map(|(_, raw)| links::link_target(raw)));
        let used: HashSet<String> = targets.collect();
        let senders = self.nodes().filter(|node| is_sender(&node.class) || !used.contains(&node.id));
        senders.map(|node| node.id.clone()).collect()
    }

    /// Returns the nodes whose class says that they do nothing but send pictures.
    pub fn declared_picture_senders(&self) -> Vec<&str> {
        self.nodes().filter(|node| is_sender(&node.class)).map(|node| node.id.as_str()).collect()
    }
}

/// `SaveImageWebsocket`, `ETN_SendImageWebSocket`, …; not those that load pictures from there.
fn is_sender(class: &str) -> bool {
    let class = class.to_ascii_lowercase();
    class.contains("websocket") && !class.contains("load") && !class.contains("receive")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::Workflow;
    use serde_json::value::RawValue;

    #[test]
    fn a_node_at_the_end_or_with_the_word_in_its_class_sends_pictures() {
        let graph = r#"{"1":{"class_type":"KSampler","inputs":{}},"2":{"class_type":"ETN_SendImageWebSocket","inputs":{"images":["1",0]}},
            "3":{"class_type":"Any","inputs":{"x":["2",0]}},"4":{"class_type":"LoadImageFromWebsocket","inputs":{}},
            "5":{"class_type":"Any","inputs":{"x":["4",0]}}}"#;
        let workflow = Workflow::from_stored(serde_json::from_str::<&RawValue>(graph).unwrap()).unwrap();
        let mut senders: Vec<String> = workflow.picture_senders().into_iter().collect();
        senders.sort();
        assert_eq!(senders, ["2", "3", "5"]);
        assert_eq!(workflow.declared_picture_senders(), ["2"]);
    }
}
