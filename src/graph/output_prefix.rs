//! Output prefix of one attempt, so that two tasks never share a file (protocol §9, §17.9).

use super::Workflow;
use crate::{graph::links, json::raw_value};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Input that sets the file names of save nodes.
const PREFIX: &str = "filename_prefix";
/// Name of an input that no node has: part of the cache key and otherwise ignored (measured for V1 and V3 nodes,
/// protocol §9).
const NONCE: &str = "_nonce";
/// ComfyUI's own default, used if nothing of a prefix is left.
const NAME_DEFAULT: &str = "ComfyUI";

impl Workflow {
    /// Prepares the graph for one attempt: puts `<folder>/` in front of every literal string `filename_prefix`. The
    /// user's own prefix follows without leading slashes and without `.`, `..` and empty segments, so that it stays
    /// inside the folder.
    ///
    /// With a `nonce` (a re-run because the file of a cached result is gone), every node with such a prefix and every
    /// node that no other links to gets `"_nonce": "<nonce>"`: these run again, all nodes before them may come from the
    /// cache.
    pub fn isolate(&mut self, folder: &str, nonce: Option<&str>) {
        let linked = nonce.map(|_| self.linked_nodes());
        for place in 0..self.node_count() {
            let node = self.node(place);
            let prefix = node.input(PREFIX).and_then(raw_value::text);
            let is_end = linked.as_ref().is_some_and(|linked| !linked.contains(&node.id));
            if let Some(prefix) = &prefix {
                self.put(place, PREFIX, inside(folder, prefix));
            }
            if let Some(nonce) = nonce
                && (is_end || prefix.is_some())
            {
                self.put(place, NONCE, raw_value::quote(nonce));
            }
        }
    }

    fn linked_nodes(&self) -> HashSet<String> {
        self.nodes().flat_map(|node| node.inputs.iter().filter_map(|(_, value)| links::link_target(value))).collect()
    }
}

/// Returns `<folder>/<prefix>`, without letters that Windows takes in no name. Backslashes are separators too: the instance may run on Windows.
fn inside(folder: &str, prefix: &str) -> Box<RawValue> {
    let segments = prefix.split(['/', '\\']).filter(|segment| !matches!(segment.trim(), "" | "." | ".."));
    let kept: Vec<&str> = segments.collect();
    let name = if kept.is_empty() { NAME_DEFAULT.to_owned() } else { kept.join("/") };
    let is_unfit = |letter: char| letter.is_ascii_control() || ":*?\"<>|".contains(letter);
    let name = name.replace(is_unfit, "_");
    raw_value::quote(&format!("{folder}/{name}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::Workflow;
    use serde_json::value::RawValue;

    fn isolated(json: &str, nonce: Option<&str>) -> String {
        let mut workflow = Workflow::from_stored(serde_json::from_str::<&RawValue>(json).unwrap()).unwrap();
        workflow.isolate("f0", nonce);
        workflow.to_json().get().to_owned()
    }

    fn prefix(value: &str) -> String {
        isolated(&format!(r#"{{"9":{{"class_type":"S","inputs":{{"filename_prefix":{value}}}}}}}"#), None)
            .replace(r#"{"9":{"class_type":"S","inputs":{"filename_prefix":"#, "")
            .replace("}}}", "")
    }

    #[test]
    fn a_prefix_stays_inside_the_folder_and_keeps_its_own_text() {
        for (given, expected) in [
            (r#""out""#, r#""f0/out""#),
            (r#""a/b c/%date%""#, r#""f0/a/b c/%date%""#),
            (r#""../../etc/x""#, r#""f0/etc/x""#),
            (r#""/abs/x""#, r#""f0/abs/x""#),
            (r#""..\\..\\x""#, r#""f0/x""#),
            (r#""a/../../b""#, r#""f0/a/b""#),
            (r#"".. /x""#, r#""f0/x""#),
            (r#""..a/b..""#, r#""f0/..a/b..""#),
            (r#""""#, r#""f0/ComfyUI""#),
            (r#""../""#, r#""f0/ComfyUI""#),
            (r#""q\"uote\u0000é""#, r#""f0/q_uote_é""#),
            (r#""C:\\out\\a*b?""#, r#""f0/C_/out/a_b_""#),
            ("7", "7"),
            (r#"["3",0]"#, r#"["3",0]"#),
            (r#"{"__value__":["x",0]}"#, r#"{"__value__":["x",0]}"#),
        ] {
            assert_eq!(prefix(given), expected, "{given}");
        }
    }

    #[test]
    fn only_nodes_that_must_run_again_get_the_nonce() {
        let graph = r#"{"1":{"class_type":"E","inputs":{}},"2":{"class_type":"S","inputs":{"images":["1",0],"filename_prefix":"a"}},"3":{"class_type":"P","inputs":{"images":["1",0]}}}"#;
        assert_eq!(
            isolated(graph, Some("n1")),
            r#"{"1":{"class_type":"E","inputs":{}},"2":{"class_type":"S","inputs":{"images":["1",0],"filename_prefix":"f0/a","_nonce":"n1"}},"3":{"class_type":"P","inputs":{"images":["1",0],"_nonce":"n1"}}}"#
        );
        assert!(!isolated(graph, None).contains("_nonce"));
    }
}
