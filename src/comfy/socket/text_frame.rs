//! Parses text frames of the WebSocket into events (protocol §5).

use crate::{
    comfy::{PromptEvent, history, limits, outputs, python_json},
    json::{each_element, member},
    task::{Failure, FailureKind},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::HashMap, ops::ControlFlow};
use uuid::Uuid;

/// `{"type":"…","data":{…}}`
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Fields of all kinds of frames that are used.
#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    prompt_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    node: Option<&'a RawValue>,
    #[serde(borrow, default)]
    display_node: Option<&'a RawValue>,
    #[serde(borrow, default)]
    nodes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    exception_type: Option<&'a RawValue>,
}

/// Parses the frames of one socket. Remembers the display ids of expanded nodes, which `progress` does not contain.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    display_ids: HashMap<String, String>,
    /// The executing node, by its display id, and its prompt.
    executing: Option<(Uuid, String)>,
}

impl Reader {
    /// Parses a text frame; `None` if it is of no use or malformed.
    pub(crate) fn read(&mut self, frame: &str) -> Option<PromptEvent> {
        // Skipped unparsed. It lists all nodes each time: 162 MB for one prompt of 900 nodes (protocol §5).
        if frame.starts_with(r#"{"type": "progress_state""#) || frame.starts_with(r#"{"type":"progress_state""#) {
            return None;
        }
        match python_json::object::<Frame<'_>>(frame) {
            Some(frame) => self.event(&frame),
            None => self.event(&python_json::object(&python_json::tidy(frame.as_bytes()))?),
        }
    }

    fn event(&mut self, frame: &Frame<'_>) -> Option<PromptEvent> {
        let data: &Data<'_> = &python_json::object(frame.data.get())?;
        match word(frame.kind)?.as_str() {
            "status" => remaining(data.status?).map(PromptEvent::QueueRemaining),
            "execution_start" => {
                self.display_ids.clear();
                data.prompt().map(PromptEvent::Started)
            }
            "execution_cached" => Some(PromptEvent::Cached { prompt: data.prompt()?, nodes: ids(data.nodes?) }),
            "executing" => self.begin_node(data),
            "progress" => self.progress(data),
            "executed" => {
                let (prompt, node) = (data.prompt()?, data.display_id()?);
                let outputs = data.output.map(|ui| outputs::of_node(&node, ui)).unwrap_or_default();
                Some(PromptEvent::Executed { prompt, node, outputs })
            }
            "execution_success" => data.prompt().map(PromptEvent::Ended),
            "execution_interrupted" => {
                let failure = Failure::new(FailureKind::Interrupted, "the prompt was interrupted at the instance");
                Some(PromptEvent::Failed { prompt: data.prompt()?, failure: Box::new(failure) })
            }
            // A blocked node does not end the prompt, which goes on and succeeds (protocol §5).
            "execution_error" if data.exception_type.and_then(word).as_deref() == Some("ExecutionBlocked") => None,
            "execution_error" => {
                let failure = Box::new(history::failure(frame.data.get()));
                Some(PromptEvent::Failed { prompt: data.prompt()?, failure })
            }
            _ => None,
        }
    }

    /// Returns the executing node, by its display id, with its prompt.
    pub(crate) fn executing(&self) -> Option<(Uuid, &str)> {
        self.executing.as_ref().map(|(prompt, node)| (*prompt, node.as_str()))
    }

    /// `executing` without a node is the last message of a prompt; without a prompt it is sent on reconnect and
    /// ignored.
    fn begin_node(&mut self, data: &Data<'_>) -> Option<PromptEvent> {
        let prompt = data.prompt()?;
        let Some(node) = data.node.and_then(node_id) else {
            self.executing = None;
            return Some(PromptEvent::Ended(prompt));
        };
        let display_id = data.display_id()?;
        self.executing = Some((prompt, display_id.clone()));
        if display_id != node && self.display_ids.len() < limits::DISPLAY_IDS_MAX {
            self.display_ids.insert(node, display_id.clone());
        }
        Some(PromptEvent::Executing { prompt, node: display_id })
    }

    fn progress(&self, data: &Data<'_>) -> Option<PromptEvent> {
        let prompt = data.prompt()?;
        let max = data.max.and_then(python_json::number).filter(|max| *max > 0.0)?;
        let value = data.value.and_then(python_json::number)?.clamp(0.0, max);
        let node = data.node.and_then(node_id).map(|node| self.display_ids.get(&node).cloned().unwrap_or(node));
        Some(PromptEvent::Progress { prompt, node, value, max })
    }
}

impl Data<'_> {
    /// Returns the prompt id if it is a canonical UUID, as ours are.
    fn prompt(&self) -> Option<Uuid> {
        let text = python_json::text(self.prompt_id?, limits::PROMPT_ID_BYTES_MAX)?;
        Uuid::try_parse(&text).ok().filter(|uuid| uuid.to_string() == text)
    }

    fn display_id(&self) -> Option<String> {
        self.display_node.and_then(node_id).or_else(|| self.node.and_then(node_id))
    }
}

fn node_id(raw: &RawValue) -> Option<String> {
    python_json::text(raw, limits::NODE_ID_BYTES_MAX)
}

fn word(raw: &RawValue) -> Option<String> {
    python_json::text(raw, limits::WORD_BYTES_MAX)
}

fn ids(raw: &RawValue) -> Vec<String> {
    let mut ids = Vec::new();
    // Without the list no node is known to be cached.
    let _read = each_element(raw.get(), |raw| {
        ids.extend(node_id(raw));
        if ids.len() < limits::CACHED_NODES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    ids
}

/// `{"exec_info":{"queue_remaining":n}}`
fn remaining(status: &RawValue) -> Option<u32> {
    let remaining = member(member(status.get(), "exec_info")?.get(), "queue_remaining")?;
    python_json::count(remaining).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{PromptEvent, Reader};
    use crate::{
        comfy::{NodeOutput, limits},
        task::{FailureKind, OutputKind},
    };
    use proptest::prelude::*;
    use uuid::Uuid;

    const PROMPT: Uuid = Uuid::from_u128(0xd466_044b_7ef4_4274_b83c_5994_a394_464b);

    fn read(frames: &[&str]) -> Vec<PromptEvent> {
        let mut reader = Reader::default();
        let id = PROMPT.to_string();
        frames.iter().filter_map(|frame| reader.read(&frame.replace("ID", &id))).collect()
    }

    /// Captured from 0.3.64: a node that expands, abridged. `progress` has no display id.
    #[test]
    fn a_recorded_run_is_parsed() {
        let executing = |node: &str| PromptEvent::Executing { prompt: PROMPT, node: node.to_owned() };
        let value = |key: &str, text: &str| NodeOutput::Value {
            node_id: "2".to_owned(),
            key: key.to_owned(),
            kind: OutputKind::Text,
            text: text.to_owned(),
            is_short: true,
        };
        let events = read(&[
            r#"{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}, "sid": "41be"}}"#,
            r#"{"type": "feature_flags", "data": {"supports_preview_metadata": true, "max_upload_size": 104857600}}"#,
            r#"{"type": "execution_start", "data": {"prompt_id": "ID", "timestamp": 1795461412694}}"#,
            r#"{"type": "execution_cached", "data": {"nodes": ["7", 8], "prompt_id": "ID", "timestamp": 1795461412694}}"#,
            r#"{"type": "progress_state", "data": {"prompt_id": "ID", "nodes": {}}}"#,
            r#"{"type": "executing", "data": {"node": "1", "display_node": "1", "prompt_id": "ID"}}"#,
            r#"{"type": "executing", "data": {"node": "1.0.0.1", "display_node": "1", "prompt_id": "ID"}}"#,
            r#"{"type": "progress", "data": {"value": 1, "max": 2, "prompt_id": "ID", "node": "1.0.0.1"}}"#,
            r#"{"type": "executed", "data": {"node": "2", "display_node": "2", "output": {"value": [NaN], "text": ["a"]}, "prompt_id": "ID"}}"#,
            r#"{"type": "execution_success", "data": {"prompt_id": "ID", "timestamp": 1795461412797}}"#,
            r#"{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}}}"#,
            r#"{"type": "executing", "data": {"node": null, "prompt_id": "ID"}}"#,
        ]);
        assert_eq!(
            events,
            [
                PromptEvent::QueueRemaining(1),
                PromptEvent::Started(PROMPT),
                PromptEvent::Cached { prompt: PROMPT, nodes: vec!["7".to_owned(), "8".to_owned()] },
                executing("1"),
                executing("1"),
                PromptEvent::Progress { prompt: PROMPT, node: Some("1".to_owned()), value: 1.0, max: 2.0 },
                PromptEvent::Executed {
                    prompt: PROMPT,
                    node: "2".to_owned(),
                    outputs: vec![value("value", "NaN"), value("text", "a")],
                },
                PromptEvent::Ended(PROMPT),
                PromptEvent::QueueRemaining(0),
                PromptEvent::Ended(PROMPT),
            ]
        );
    }

    #[test]
    fn an_error_ends_the_prompt_but_a_blocked_node_does_not() {
        let error = |name: &str| {
            format!(
                r#"{{"type":"execution_error","data":{{"prompt_id":"ID","exception_type":"{name}","traceback":[]}}}}"#
            )
        };
        assert_eq!(read(&[&error("ExecutionBlocked")]), []);
        let kind = |frame: &str| match &read(&[frame])[..] {
            [PromptEvent::Failed { prompt: PROMPT, failure }] => Some((failure.kind, failure.exception_type.clone())),
            _ => None,
        };
        assert_eq!(kind(&error("RuntimeError")), Some((FailureKind::NodeError, Some("RuntimeError".to_owned()))));
        let interrupted = r#"{"type":"execution_interrupted","data":{"prompt_id":"ID"}}"#;
        assert_eq!(kind(interrupted), Some((FailureKind::Interrupted, None)));
    }

    #[test]
    fn malformed_frames_are_ignored() {
        let odd = [
            "",
            "[]",
            "7",
            "{}",
            "<html>",
            r#"{"type":"executing"}"#,
            r#"{"type":"executing","data":null}"#,
            r#"{"type":"executing","data":{"node":"2"}}"#,
            r#"{"type":"executing","data":{"node":"2","prompt_id":"not ours"}}"#,
            r#"{"type":"executing","data":{"node":"2","prompt_id":"{ID}"}}"#,
            r#"{"type":"executed","data":{"prompt_id":"ID"}}"#,
            r#"{"type":"progress","data":{"value":1,"max":0,"prompt_id":"ID"}}"#,
            r#"{"type":"progress","data":{"value":NaN,"max":2,"prompt_id":"ID"}}"#,
            r#"{"type":"progress","data":{"value":1,"max":Infinity,"prompt_id":"ID"}}"#,
            r#"{"type":"status","data":{"status":{"exec_info":[]}}}"#,
            r#"{"type":["executing"],"data":{}}"#,
            r#"{"type":"unheard_of","data":{}}"#,
        ];
        for frame in odd {
            assert_eq!(read(&[frame]), [], "{frame}");
        }
    }

    #[test]
    fn progress_numbers_may_be_floats_or_exceed_the_maximum() {
        let step = |value: f64, max: f64| PromptEvent::Progress { prompt: PROMPT, node: None, value, max };
        assert_eq!(read(&[r#"{"type":"progress","data":{"value":7,"max":2.5,"prompt_id":"ID"}}"#]), [step(2.5, 2.5)]);
        assert_eq!(
            read(&[r#"{"type":"progress","data":{"value":-1,"max":2,"prompt_id":"ID","node":null}}"#]),
            [step(0.0, 2.0)]
        );
    }

    #[test]
    fn outputs_of_a_node_are_reported_up_to_the_limit() {
        let images: Vec<String> = (0..3).map(|n| format!(r#"{{"filename":"{n}.png","type":"temp"}}"#)).collect();
        let long = format!(r#"{{"filename":"a.png","subfolder":"{}"}}"#, "x/".repeat(400));
        // Two names, node id, key and type, and the memory of a value.
        let count = limits::LIVE_BYTES_MAX / (805 + 1 + 6 + 6 + 256);
        let many = (0..count + 9).map(|n| long.replace("a.png", &format!("{n:05}"))).collect::<Vec<_>>();
        for (images, expected) in [(images, 3), (many, count)] {
            let output = format!(r#"{{"images":[{}],"animated":[false]}}"#, images.join(","));
            let frame = format!(
                r#"{{"type":"executed","data":{{"node":"2.0","display_node":"2","output":{output},"prompt_id":"ID"}}}}"#
            );
            let [PromptEvent::Executed { node, outputs, .. }] = &read(&[&frame])[..] else { panic!() };
            assert_eq!((node.as_str(), outputs.len()), ("2", expected));
            assert!(outputs.iter().all(|output| matches!(output, NodeOutput::File { node_id, .. } if node_id == "2")));
        }
        let nothing = r#"{"type":"executed","data":{"node":"2","display_node":"2","output":null,"prompt_id":"ID"}}"#;
        assert!(matches!(&read(&[nothing])[..], [PromptEvent::Executed { outputs, .. }] if outputs.is_empty()));
    }

    #[test]
    fn long_ids_and_lists_are_cut() {
        let long = "x.".repeat(100_000);
        let [PromptEvent::Executing { node, .. }] =
            &read(&[&format!(r#"{{"type":"executing","data":{{"node":"{long}","prompt_id":"ID"}}}}"#)])[..]
        else {
            panic!()
        };
        assert_eq!(node.len(), limits::NODE_ID_BYTES_MAX);
        let nodes = vec![format!("\"{long}\""); limits::CACHED_NODES_MAX / 100].join(",");
        let many = vec!["7"; limits::CACHED_NODES_MAX].join(",");
        let frame = format!(r#"{{"type":"execution_cached","data":{{"nodes":[{nodes},{many}],"prompt_id":"ID"}}}}"#);
        let [PromptEvent::Cached { nodes, .. }] = &read(&[&frame])[..] else { panic!() };
        assert_eq!(nodes.len(), limits::CACHED_NODES_MAX);
        assert!(nodes.iter().all(|node| node.len() <= limits::NODE_ID_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn no_frame_panics(text in ".{0,100}", data in "[\\[\\]{}\",:a-z0-9 ]{0,60}", kind in "status|progress|executing|execution_cached") {
            let mut reader = Reader::default();
            reader.read(&text);
            reader.read(&format!("{{\"type\":\"{kind}\",\"data\":{data}}}"));
        }
    }
}
