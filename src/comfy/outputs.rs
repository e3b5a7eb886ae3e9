//! Outputs of a prompt: every object with a file name under any ui key, and texts (protocol §8).
//!
//! Invariant: all of it comes from an instance, and is read item by item. File names are data for a query string, never
//! part of a path; a name that no request can be made from is a fault of the prompt.

mod collector;

use super::{NodeOutput, limits, python_json, validation_error::natural_order};
use crate::{
    json::{each_member, member},
    task::Failure,
};
use collector::Collector;
use serde_json::value::RawValue;
use std::{collections::HashMap, ops::ControlFlow};

/// The outputs of a prompt.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Files and texts, in the order of the graph's nodes.
    pub(super) outputs: Vec<NodeOutput>,
    /// The reason for which not all files can be fetched: an unusable name, or too many.
    pub(super) fault: Option<Failure>,
}

/// Collects the outputs in the order of `graph`'s nodes. Outputs of an expanded node are listed under the node that the
/// user wrote. `outputs` is `{node_id:{ui key:value}}`; `meta` is `{node_id:{"display_node":id}}`, or missing.
pub(super) fn collect(outputs: &str, meta: Option<&str>, graph: &[String]) -> Collected {
    let positions: HashMap<&str, usize> =
        graph.iter().enumerate().map(|(position, node_id)| (node_id.as_str(), position)).collect();
    let display_ids = display_ids(meta, &positions);
    let mut nodes: Vec<(String, String, &RawValue)> = Vec::new();
    // `null` stands for no outputs.
    let _read = each_member(outputs, |node_id, ui| {
        let node_id = short_id(&node_id);
        nodes.push((display_id(node_id, &display_ids, &positions), node_id.to_owned(), ui));
        if nodes.len() < limits::NODES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let position = |display_id: &str| positions.get(display_id).copied().unwrap_or(usize::MAX);
    nodes.sort_by(|(display, node_id, _), (other_display, other_id, _)| {
        let by_position = position(display).cmp(&position(other_display));
        by_position.then_with(|| natural_order(display, other_display)).then_with(|| natural_order(node_id, other_id))
    });
    let mut collector = Collector::new(usize::MAX);
    for (display_id, _, ui) in nodes {
        collector.add_node(&display_id, ui);
    }
    if collector.dropped_texts > 0 {
        tracing::warn!(
            dropped = collector.dropped_texts,
            kept = collector.outputs.len(),
            "dropped surplus text outputs"
        );
    }
    Collected { outputs: collector.outputs, fault: collector.fault }
}

/// Collects the outputs of one node while the prompt is running, up to `LIVE_BYTES_MAX`. `ui` is `{ui key:value}` or
/// null.
pub(super) fn of_node(display_id: &str, ui: &RawValue) -> Vec<NodeOutput> {
    let mut collector = Collector::new(limits::LIVE_BYTES_MAX);
    collector.add_node(display_id, ui);
    collector.outputs
}

/// The display ids of nodes that are not of the graph, where they are.
fn display_ids(meta: Option<&str>, positions: &HashMap<&str, usize>) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let _read = meta.map(|meta| {
        each_member(meta, |node_id, raw| {
            let id =
                member(raw.get(), "display_node").and_then(|raw| python_json::text(raw, limits::NODE_ID_BYTES_MAX));
            if let Some(id) = id.filter(|id| positions.contains_key(id.as_str())) {
                found.insert(short_id(&node_id).to_owned(), id);
            }
            if found.len() < limits::NODES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    });
    found
}

fn display_id(node_id: &str, display_ids: &HashMap<String, String>, positions: &HashMap<&str, usize>) -> String {
    let from_meta = || display_ids.get(node_id).map(String::as_str);
    let of_graph = |id: &str| positions.contains_key(id);
    let own = Some(node_id).filter(|id| of_graph(id));
    own.or_else(from_meta).or_else(|| ancestor(node_id, of_graph)).unwrap_or(node_id).to_owned()
}

/// Returns the node of the graph that was expanded into `node_id`: `1` for `1.0.0.1` (protocol §5). Each prefix is
/// looked up, so only the start of a long id is.
pub(super) fn ancestor(node_id: &str, is_of_graph: impl Fn(&str) -> bool) -> Option<&str> {
    let mut name = short_id(node_id);
    loop {
        if is_of_graph(name) {
            return Some(name);
        }
        name = &name[..name.rfind('.')?];
    }
}

/// The part of a node id that is looked at.
pub(super) fn short_id(node_id: &str) -> &str {
    &node_id[..node_id.floor_char_boundary(limits::NODE_ID_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::{Collected, ancestor};
    use crate::{
        comfy::{NodeOutput, RemoteFile, limits},
        task::FailureKind,
    };
    use proptest::prelude::*;
    use serde_json::json;

    fn file(
        node_id: &str,
        key: &str,
        filename: &str,
        subfolder: &str,
        folder_type: &str,
        animated: bool,
    ) -> NodeOutput {
        let file = RemoteFile {
            filename: filename.to_owned(),
            subfolder: subfolder.to_owned(),
            folder_type: folder_type.to_owned(),
        };
        NodeOutput::File { node_id: node_id.to_owned(), key: key.to_owned(), file, animated }
    }

    fn text(node_id: &str, text: &str) -> NodeOutput {
        NodeOutput::Text { node_id: node_id.to_owned(), text: text.to_owned() }
    }

    fn graph(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    /// Collects outputs that can all be fetched.
    fn collect(outputs: &str, meta: Option<&str>, graph: &[String]) -> Vec<NodeOutput> {
        let Collected { outputs, fault } = super::collect(outputs, meta, graph);
        assert!(fault.is_none(), "{fault:?}");
        outputs
    }

    #[test]
    fn outputs_in_any_ui_shape_are_collected_in_graph_order() {
        let outputs = json!({
            "9": {"images": [{"filename": "a.webp", "subfolder": "", "type": "output"}], "animated": [true]},
            "10": {"gifs": [[{"filename": "b.mp4", "subfolder": "v", "type": "temp", "format": "video/h264"}]]},
            "2": {"text": ["t", ["u"], 7], "value": ["not a text"], "string": "s"},
            "3": {"audio": {"filename": "c.flac"}, "result": null, "a": 1},
            "1.0.0.1": {"images": [{"filename": "d.png", "subfolder": "", "type": "temp"}]},
        })
        .to_string();
        let outputs_found = collect(&outputs, None, &graph(&["10", "9", "1", "2", "3"]));
        assert_eq!(
            outputs_found,
            [
                file("10", "gifs", "b.mp4", "v", "temp", false),
                file("9", "images", "a.webp", "", "output", true),
                file("1", "images", "d.png", "", "temp", false),
                text("2", "t"),
                text("2", "u"),
                text("2", "7"),
                text("2", "s"),
                file("3", "audio", "c.flac", "", "output", false),
            ]
        );
    }

    #[test]
    fn without_a_graph_nodes_are_sorted_by_number() {
        let outputs = r#"{"10":{"text":["b"]},"9":{"text":["a"]},"x":{"text":["c"]}}"#;
        assert_eq!(collect(outputs, None, &[]), [text("9", "a"), text("10", "b"), text("x", "c")]);
    }

    #[test]
    fn meta_gives_the_display_id_of_an_expanded_node() {
        let outputs_found = collect(
            r#"{"x-7":{"text":["a"]}}"#,
            Some(r#"{"x-7":{"node_id":"x-7","display_node":"4","parent_node":"4"}}"#),
            &graph(&["4"]),
        );
        assert_eq!(outputs_found, [text("4", "a")]);
    }

    #[test]
    fn a_hostile_name_is_a_fault_and_the_rest_is_kept() {
        let long = "x".repeat(2_000);
        let hostile = [
            json!({"filename": "../../etc/passwd"}),
            json!({"filename": "/etc/passwd"}),
            json!({"filename": "..\\x"}),
            json!({"filename": ".."}),
            json!({"filename": ""}),
            json!({"filename": "a\r\nX: y"}),
            json!({"filename": "a\u{0}"}),
            json!({"filename": 5}),
            json!({"filename": long}),
            json!({"filename": "ok", "subfolder": "../.."}),
            json!({"filename": "ok", "subfolder": "/etc"}),
            json!({"filename": "ok", "subfolder": "a/../../b"}),
            json!({"filename": "ok", "subfolder": "C:\\x"}),
            json!({"filename": "ok", "subfolder": {"a": 1}}),
            json!({"filename": "ok", "type": "secret"}),
            json!({"filename": "ok", "type": 1}),
        ];
        let fine = json!({"filename": "fine ü.png", "subfolder": "win\\dows", "type": null});
        for name in hostile {
            let outputs = json!({"1": {"images": [name, fine, {"filename": null}]}}).to_string();
            let Collected { outputs, fault } = super::collect(&outputs, None, &[]);
            assert_eq!(outputs, [file("1", "images", "fine ü.png", "win\\dows", "output", false)], "{name}");
            let fault = fault.unwrap();
            assert_eq!((fault.kind, fault.node_id.as_deref()), (FailureKind::OutputUnavailable, Some("1")), "{name}");
            assert!(fault.message.contains("name") && fault.message.len() < 300, "{name}: {}", fault.message);
        }
    }

    #[test]
    fn a_file_listed_twice_is_collected_once() {
        let outputs = r#"{"1":{"images":[{"filename":"a"},{"filename":"a"}],"gifs":[{"filename":"a"}]}}"#;
        assert_eq!(collect(outputs, None, &[]).len(), 1);
    }

    #[test]
    fn outputs_are_bounded() {
        let images: Vec<_> = (0..limits::OUTPUTS_MAX + 10).map(|n| json!({"filename": format!("{n}.png")})).collect();
        let outputs = json!({"1": {"images": images}, "2": {"text": ["x".repeat(8_000_000)]}}).to_string();
        let Collected { outputs, fault } = super::collect(&outputs, None, &[]);
        assert_eq!((outputs.len(), fault.unwrap().kind), (limits::OUTPUTS_MAX, FailureKind::OutputTooLarge));
        let texts = json!({"2": {"text": vec!["x".repeat(100_000); 40]}}).to_string();
        let outputs_found = collect(&texts, None, &[]);
        assert_eq!(outputs_found.len(), limits::TEXTS_BYTES_MAX / limits::TEXT_BYTES_MAX);
    }

    /// Each prefix of the id was hashed: minutes for megabytes.
    #[test]
    fn a_long_node_id_is_cut_before_it_is_looked_at() {
        let long = "a.".repeat(2 << 20);
        let outputs = format!(r#"{{"{long}":{{"text":["t"]}}}}"#);
        let found = collect(&outputs, Some(&format!(r#"{{"{long}":{{"display_node":"{long}"}}}}"#)), &graph(&["a"]));
        assert_eq!(found, [text("a", "t")]);
        let lookups = std::cell::Cell::new(0);
        let count = |_: &str| {
            lookups.set(lookups.get() + 1);
            false
        };
        assert_eq!(ancestor(&long, count), None);
        assert!(lookups.get() <= limits::NODE_ID_BYTES_MAX, "{}", lookups.get());
    }

    #[test]
    fn a_flag_for_each_file_says_whether_it_is_animated() {
        let outputs =
            r#"{"1":{"images":[{"filename":"a"},{"filename":"b"},{"filename":"c"}],"animated":[false,true]}}"#;
        let flags: Vec<bool> = collect(outputs, None, &[])
            .iter()
            .map(|output| matches!(output, NodeOutput::File { animated: true, .. }))
            .collect();
        assert_eq!(flags, [false, true, false]);
    }

    proptest! {
        #[test]
        fn no_outputs_panic(outputs in "[\\[\\]{}\",:a-z0-9 .]{0,80}") {
            super::collect(&outputs, Some(&outputs), &[]);
            super::collect(&format!("{{\"1\":{{\"images\":{outputs}}}}}"), None, &[]);
        }
    }
}
