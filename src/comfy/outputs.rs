//! Outputs of a prompt: every object with a file name under any ui key, and texts (protocol §8).
//!
//! Invariant: all of it comes from an instance. File names are data for a query string, never part of a path; unsafe
//! ones are dropped.

use super::{NodeOutput, RemoteFile, limits, python_json, validation_error::natural};
use crate::{
    json::{Members, raw_value},
    text::truncated,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::collections::{HashMap, HashSet};

/// Depth of nested lists that are searched: `{"images":[[{…}]]}`.
const LISTS_MAX: u8 = 2;

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    display_node: Option<&'a RawValue>,
}

/// Collects the outputs in the order of `graph`'s nodes. Outputs of an expanded node are listed under the node that the
/// user wrote. `outputs` is `{node_id:{ui key:value}}`; `meta` is `{node_id:{"display_node":id}}`, or missing.
pub(super) fn collect(outputs: &str, meta: Option<&str>, graph: &[String]) -> Vec<NodeOutput> {
    let positions: HashMap<&str, usize> =
        graph.iter().enumerate().map(|(position, node_id)| (node_id.as_str(), position)).collect();
    let display_ids = display_ids(meta);
    let mut nodes: Vec<(String, String, &RawValue)> = python_json::read::<Members<'_>>(outputs)
        .map(|members| members.0)
        .unwrap_or_default()
        .into_iter()
        .map(|(node_id, ui)| (display_id(&node_id, &display_ids, &positions), node_id.into_owned(), ui))
        .collect();
    nodes.sort_by_cached_key(|(display_id, node_id, _)| {
        let position = positions.get(display_id.as_str()).copied().unwrap_or(usize::MAX);
        (position, natural(display_id), natural(node_id))
    });
    let mut collector = Collector::default();
    for (display_id, _, ui) in nodes {
        collector.add_node(&display_id, ui);
    }
    if collector.dropped > 0 {
        tracing::warn!(
            dropped = collector.dropped,
            kept = collector.outputs.len(),
            "dropped invalid or surplus outputs"
        );
    }
    collector.outputs
}

/// Collects the outputs of one node while the prompt is running, up to `LIVE_BYTES_MAX`. `ui` is `{ui key:value}` or
/// null.
pub(super) fn of_node(display_id: &str, ui: &RawValue) -> Vec<NodeOutput> {
    let mut collector = Collector::default();
    collector.add_node(display_id, ui);
    let mut bytes = 0;
    let fits = |output: &NodeOutput| {
        bytes += match output {
            NodeOutput::File { file, .. } => file.filename.len() + file.subfolder.len(),
            NodeOutput::Text { text, .. } => text.len(),
        };
        bytes <= limits::LIVE_BYTES_MAX
    };
    collector.outputs.into_iter().take_while(fits).collect()
}

fn display_ids(meta: Option<&str>) -> HashMap<String, String> {
    let members = meta.and_then(python_json::read::<Members<'_>>).map(|members| members.0).unwrap_or_default();
    let id = |raw: &RawValue| python_json::object::<Meta<'_>>(raw.get())?.display_node.and_then(python_json::text);
    members.into_iter().filter_map(|(node_id, raw)| Some((node_id.into_owned(), id(raw)?))).collect()
}

fn display_id(node_id: &str, display_ids: &HashMap<String, String>, positions: &HashMap<&str, usize>) -> String {
    if positions.contains_key(node_id) {
        return node_id.to_owned();
    }
    let from_meta = display_ids.get(node_id).map(String::as_str).filter(|id| positions.contains_key(id));
    let found = from_meta.or_else(|| ancestor(node_id, |id| positions.contains_key(id))).unwrap_or(node_id);
    truncated(found.to_owned(), limits::WORD_BYTES_MAX)
}

/// Returns the node of the graph that was expanded into `node_id`: `1` for `1.0.0.1` (protocol §5).
pub(super) fn ancestor(node_id: &str, is_of_graph: impl Fn(&str) -> bool) -> Option<&str> {
    let mut name = node_id;
    loop {
        if is_of_graph(name) {
            return Some(name);
        }
        name = &name[..name.rfind('.')?];
    }
}

#[derive(Default)]
struct Collector {
    outputs: Vec<NodeOutput>,
    seen: HashSet<(String, String, String)>,
    text_bytes: usize,
    dropped: usize,
}

impl Collector {
    fn add_node(&mut self, node_id: &str, ui: &RawValue) {
        let keys = raw_value::members(ui).unwrap_or_default();
        let animated: Option<Value> =
            keys.iter().find(|(key, _)| key == "animated").and_then(|(_, raw)| python_json::owned(raw.get()));
        for (key, raw) in keys {
            // A value nested too deep for the parser is skipped.
            let Some(value) = python_json::owned::<Value>(raw.get()) else { continue };
            let is_text = is_text_key(&key);
            let mut index = 0;
            let entry = UiEntry { node_id, key: &key, is_text, animated: animated.as_ref() };
            self.add_value(&entry, &value, 0, &mut index);
        }
    }

    /// `lists` counts the enclosing lists, `index` the files found so far.
    fn add_value(&mut self, entry: &UiEntry<'_>, value: &Value, lists: u8, index: &mut usize) {
        match value {
            Value::Array(items) if lists < LISTS_MAX => {
                for item in items {
                    self.add_value(entry, item, lists + 1, index);
                }
            }
            Value::Object(item) if item.contains_key("filename") => {
                let animated = entry.is_animated(*index);
                *index += 1;
                match RemoteFile::from_ui(item) {
                    Some(file) => self.add_file(entry, file, animated),
                    None => self.dropped += 1,
                }
            }
            Value::String(text) if entry.is_text => self.add_text(entry.node_id, text),
            Value::Number(number) if entry.is_text => self.add_text(entry.node_id, &number.to_string()),
            _ => {}
        }
    }

    fn add_file(&mut self, entry: &UiEntry<'_>, file: RemoteFile, animated: bool) {
        if self.outputs.len() == limits::OUTPUTS_MAX {
            self.dropped += 1;
        } else if self.seen.insert((file.folder_type.clone(), file.subfolder.clone(), file.filename.clone())) {
            let key = truncated(entry.key.to_owned(), limits::WORD_BYTES_MAX);
            self.outputs.push(NodeOutput::File { node_id: entry.node_id.to_owned(), key, file, animated });
        }
    }

    fn add_text(&mut self, node_id: &str, text: &str) {
        let text = truncated(text.to_owned(), limits::TEXT_BYTES_MAX);
        self.text_bytes += text.len();
        if self.outputs.len() == limits::OUTPUTS_MAX || self.text_bytes > limits::TEXTS_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        self.outputs.push(NodeOutput::Text { node_id: node_id.to_owned(), text });
    }
}

/// Value of a single ui key of a node.
struct UiEntry<'a> {
    node_id: &'a str,
    key: &'a str,
    is_text: bool,
    animated: Option<&'a Value>,
}

impl UiEntry<'_> {
    /// Whether the file at `index` is animated. `"animated":[true]` is one flag for all files, or one for each.
    fn is_animated(&self, index: usize) -> bool {
        match self.animated {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Array(flags)) => {
                flags.get(index).or_else(|| flags.first()).and_then(Value::as_bool).unwrap_or(false)
            }
            _ => false,
        }
    }
}

fn is_text_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.contains("text") || key.contains("string")
}

#[cfg(test)]
mod tests {
    use super::collect;
    use crate::comfy::{NodeOutput, RemoteFile, limits};
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
    fn hostile_entries_are_dropped_and_the_rest_kept() {
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
            json!({"filename": null}),
            json!({"filename": long}),
            json!({"filename": "ok", "subfolder": "../.."}),
            json!({"filename": "ok", "subfolder": "/etc"}),
            json!({"filename": "ok", "subfolder": "a/../../b"}),
            json!({"filename": "ok", "subfolder": "C:\\x"}),
            json!({"filename": "ok", "subfolder": {"a": 1}}),
            json!({"filename": "ok", "type": "secret"}),
            json!({"filename": "ok", "type": 1}),
        ];
        let mut images = hostile.to_vec();
        images.push(json!({"filename": "fine ü.png", "subfolder": "win\\dows"}));
        let outputs = json!({"1": {"images": images}}).to_string();
        assert_eq!(collect(&outputs, None, &[]), [file("1", "images", "fine ü.png", "win\\dows", "output", false)]);
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
        assert_eq!(collect(&outputs, None, &[]).len(), limits::OUTPUTS_MAX);
        let texts = json!({"2": {"text": vec!["x".repeat(100_000); 40]}}).to_string();
        let outputs_found = collect(&texts, None, &[]);
        assert_eq!(outputs_found.len(), limits::TEXTS_BYTES_MAX / limits::TEXT_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_outputs_panic(outputs in "[\\[\\]{}\",:a-z0-9 .]{0,80}") {
            collect(&outputs, Some(&outputs), &[]);
            collect(&format!("{{\"1\":{{\"images\":{outputs}}}}}"), None, &[]);
        }
    }
}
