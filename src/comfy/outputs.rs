//! What a prompt made: every object with a file name under any ui key, and texts (protocol §8).
//!
//! Invariant: every byte here comes from an instance. Names are data for a query string, never part of a path; odd ones go.

use super::{
    Made, RemoteFile, limits,
    python_json::{self, Pairs},
    validation_error::natural,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::collections::{HashMap, HashSet};

/// Lists within lists that are looked into: `{"images":[[{…}]]}`.
const LISTS_MAX: u8 = 2;

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    display_node: Option<&'a RawValue>,
}

/// Collects in the order of `graph`'s nodes; nodes of an expanded one stand under the node the user wrote.
/// `outputs` is `{node_id:{ui key:value}}`, `meta` `{node_id:{"display_node":id}}` or missing.
pub(super) fn collect(outputs: &str, meta: Option<&str>, graph: &[String]) -> Vec<Made> {
    let places: HashMap<&str, usize> =
        graph.iter().enumerate().map(|(place, node_id)| (node_id.as_str(), place)).collect();
    let display = display_names(meta);
    let mut nodes: Vec<(String, String, &RawValue)> = python_json::read::<Pairs<'_>>(outputs)
        .map(|pairs| pairs.0)
        .unwrap_or_default()
        .into_iter()
        .map(|(node_id, ui)| (shown_as(&node_id, &display, &places), node_id, ui))
        .collect();
    nodes.sort_by_cached_key(|(shown, node_id, _)| {
        (places.get(shown.as_str()).copied().unwrap_or(usize::MAX), natural(shown), natural(node_id))
    });
    let mut collection = Collection::default();
    for (shown, _, ui) in nodes {
        collection.add_node(&shown, ui);
    }
    if collection.dropped > 0 {
        tracing::warn!(dropped = collection.dropped, kept = collection.made.len(), "odd or too many outputs left out");
    }
    collection.made
}

/// What one node says that it made, while the prompt goes on; `ui` is `{ui key:value}` or null.
pub(super) fn of_node(shown: &str, ui: &RawValue) -> Vec<Made> {
    let mut collection = Collection::default();
    collection.add_node(shown, ui);
    let mut bytes = 0;
    let fits = |made: &Made| {
        bytes += match made {
            Made::File { file, .. } => file.filename.len() + file.subfolder.len(),
            Made::Text { text, .. } => text.len(),
        };
        bytes <= limits::LIVE_BYTES_MAX
    };
    collection.made.into_iter().take_while(fits).collect()
}

fn display_names(meta: Option<&str>) -> HashMap<String, String> {
    let pairs = meta.and_then(python_json::read::<Pairs<'_>>).map(|pairs| pairs.0).unwrap_or_default();
    let name = |raw: &RawValue| python_json::object::<Meta<'_>>(raw.get())?.display_node.and_then(python_json::text);
    pairs.into_iter().filter_map(|(node_id, raw)| Some((node_id, name(raw)?))).collect()
}

fn shown_as(node_id: &str, display: &HashMap<String, String>, places: &HashMap<&str, usize>) -> String {
    if places.contains_key(node_id) {
        return node_id.to_owned();
    }
    let named = display.get(node_id).map(String::as_str).filter(|name| places.contains_key(name));
    let shown = named.or_else(|| ancestor(node_id, |name| places.contains_key(name))).unwrap_or(node_id);
    python_json::cut(shown.to_owned(), limits::WORD_BYTES_MAX)
}

/// The node of the graph that was expanded into `node_id`: `1` for `1.0.0.1` (protocol §5).
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
struct Collection {
    made: Vec<Made>,
    seen: HashSet<(String, String, String)>,
    text_bytes: usize,
    dropped: usize,
}

impl Collection {
    fn add_node(&mut self, node_id: &str, ui: &RawValue) {
        let keys = python_json::read::<Pairs<'_>>(ui.get()).map(|pairs| pairs.0).unwrap_or_default();
        let animated: Option<Value> =
            keys.iter().find(|(key, _)| key == "animated").and_then(|(_, raw)| python_json::owned(raw.get()));
        for (key, raw) in keys {
            // A value nested too deep for the parser is nobody's file.
            let Some(value) = python_json::owned::<Value>(raw.get()) else { continue };
            let is_text = is_text_key(&key);
            let mut place = 0;
            let node = Node { node_id, key: &key, is_text, animated: animated.as_ref() };
            self.add_value(&node, &value, 0, &mut place);
        }
    }

    fn add_value(&mut self, node: &Node<'_>, value: &Value, lists: u8, place: &mut usize) {
        match value {
            Value::Array(items) if lists < LISTS_MAX => {
                for item in items {
                    self.add_value(node, item, lists + 1, place);
                }
            }
            Value::Object(item) if item.contains_key("filename") => {
                let animated = node.is_animated(*place);
                *place += 1;
                match RemoteFile::from_ui(item) {
                    Some(file) => self.add_file(node, file, animated),
                    None => self.dropped += 1,
                }
            }
            Value::String(text) if node.is_text => self.add_text(node.node_id, text),
            Value::Number(number) if node.is_text => self.add_text(node.node_id, &number.to_string()),
            _ => {}
        }
    }

    fn add_file(&mut self, node: &Node<'_>, file: RemoteFile, animated: bool) {
        if self.made.len() == limits::OUTPUTS_MAX {
            self.dropped += 1;
        } else if self.seen.insert((file.folder_type.clone(), file.subfolder.clone(), file.filename.clone())) {
            let key = python_json::cut(node.key.to_owned(), limits::WORD_BYTES_MAX);
            self.made.push(Made::File { node_id: node.node_id.to_owned(), key, file, animated });
        }
    }

    fn add_text(&mut self, node_id: &str, text: &str) {
        let text = python_json::cut(text.to_owned(), limits::TEXT_BYTES_MAX);
        self.text_bytes += text.len();
        if self.made.len() == limits::OUTPUTS_MAX || self.text_bytes > limits::TEXTS_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        self.made.push(Made::Text { node_id: node_id.to_owned(), text });
    }
}

struct Node<'a> {
    node_id: &'a str,
    key: &'a str,
    is_text: bool,
    animated: Option<&'a Value>,
}

impl Node<'_> {
    /// `"animated":[true]` is one flag for all files or one for each.
    fn is_animated(&self, place: usize) -> bool {
        match self.animated {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Array(flags)) => {
                flags.get(place).or_else(|| flags.first()).and_then(Value::as_bool).unwrap_or(false)
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
    use crate::comfy::{Made, RemoteFile, limits};
    use proptest::prelude::*;
    use serde_json::json;

    fn file(node_id: &str, key: &str, filename: &str, subfolder: &str, folder_type: &str, animated: bool) -> Made {
        let file = RemoteFile {
            filename: filename.to_owned(),
            subfolder: subfolder.to_owned(),
            folder_type: folder_type.to_owned(),
        };
        Made::File { node_id: node_id.to_owned(), key: key.to_owned(), file, animated }
    }

    fn text(node_id: &str, text: &str) -> Made {
        Made::Text { node_id: node_id.to_owned(), text: text.to_owned() }
    }

    fn graph(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    #[test]
    fn every_shape_of_ui_is_found_in_the_order_of_the_graph() {
        let outputs = json!({
            "9": {"images": [{"filename": "a.webp", "subfolder": "", "type": "output"}], "animated": [true]},
            "10": {"gifs": [[{"filename": "b.mp4", "subfolder": "v", "type": "temp", "format": "video/h264"}]]},
            "2": {"text": ["t", ["u"], 7], "value": ["not a text"], "string": "s"},
            "3": {"audio": {"filename": "c.flac"}, "result": null, "a": 1},
            "1.0.0.1": {"images": [{"filename": "d.png", "subfolder": "", "type": "temp"}]},
        })
        .to_string();
        let made = collect(&outputs, None, &graph(&["10", "9", "1", "2", "3"]));
        assert_eq!(
            made,
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
    fn without_a_graph_the_order_is_that_of_numbers() {
        let outputs = r#"{"10":{"text":["b"]},"9":{"text":["a"]},"x":{"text":["c"]}}"#;
        assert_eq!(collect(outputs, None, &[]), [text("9", "a"), text("10", "b"), text("x", "c")]);
    }

    #[test]
    fn meta_names_the_node_of_an_expanded_one() {
        let made = collect(
            r#"{"x-7":{"text":["a"]}}"#,
            Some(r#"{"x-7":{"node_id":"x-7","display_node":"4","parent_node":"4"}}"#),
            &graph(&["4"]),
        );
        assert_eq!(made, [text("4", "a")]);
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
    fn the_same_file_is_fetched_once() {
        let outputs = r#"{"1":{"images":[{"filename":"a"},{"filename":"a"}],"gifs":[{"filename":"a"}]}}"#;
        assert_eq!(collect(outputs, None, &[]).len(), 1);
    }

    #[test]
    fn a_flood_is_bounded() {
        let images: Vec<_> = (0..limits::OUTPUTS_MAX + 10).map(|n| json!({"filename": format!("{n}.png")})).collect();
        let outputs = json!({"1": {"images": images}, "2": {"text": ["x".repeat(8_000_000)]}}).to_string();
        assert_eq!(collect(&outputs, None, &[]).len(), limits::OUTPUTS_MAX);
        let texts = json!({"2": {"text": vec!["x".repeat(100_000); 40]}}).to_string();
        let made = collect(&texts, None, &[]);
        assert_eq!(made.len(), limits::TEXTS_BYTES_MAX / limits::TEXT_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn nothing_panics(outputs in "[\\[\\]{}\",:a-z0-9 .]{0,80}") {
            collect(&outputs, Some(&outputs), &[]);
            collect(&format!("{{\"1\":{{\"images\":{outputs}}}}}"), None, &[]);
        }
    }
}
