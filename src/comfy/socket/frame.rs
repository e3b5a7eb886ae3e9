//! Frames of the WebSocket as signs (protocol §5).

use crate::comfy::{
    Sign, limits, outputs,
    python_json::{self, Pairs},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use uuid::Uuid;

/// `{"type":"…","data":{…}}`
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Every field of every kind that is of use.
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

/// Reads one socket's frames; remembers under which name an expanded node is shown, which `progress` does not say.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    display: HashMap<String, String>,
}

impl Reader {
    /// The sign of a text frame; `None` for what is of no use or no sense.
    pub(crate) fn read(&mut self, frame: &str) -> Option<Sign> {
        // All nodes each time: 162 MB for one prompt of 900 nodes (protocol §5). Not worth a look.
        if frame.starts_with(r#"{"type": "progress_state""#) || frame.starts_with(r#"{"type":"progress_state""#) {
            return None;
        }
        match python_json::object::<Frame<'_>>(frame) {
            Some(frame) => self.sign(&frame),
            None => self.sign(&python_json::object(&python_json::tidy(frame.as_bytes()))?),
        }
    }

    fn sign(&mut self, frame: &Frame<'_>) -> Option<Sign> {
        let data: &Data<'_> = &python_json::object(frame.data.get())?;
        match python_json::text(frame.kind)?.as_str() {
            "status" => remaining(data.status?).map(Sign::QueueRemaining),
            "execution_start" => {
                self.display.clear();
                data.prompt().map(Sign::Started)
            }
            "execution_cached" => Some(Sign::Cached { prompt: data.prompt()?, nodes: ids(data.nodes?) }),
            "executing" => self.executing(data),
            "progress" => self.progress(data),
            "executed" => {
                let (prompt, node) = (data.prompt()?, data.shown()?);
                let made = data.output.map(|ui| outputs::of_node(&node, ui)).unwrap_or_default();
                Some(Sign::Executed { prompt, node, made })
            }
            "execution_success" | "execution_interrupted" => data.prompt().map(Sign::Ended),
            // A blocked node is no end: the prompt goes on and ends well (protocol §5).
            "execution_error"
                if data.exception_type.and_then(python_json::text).as_deref() == Some("ExecutionBlocked") =>
            {
                None
            }
            "execution_error" => data.prompt().map(Sign::Ended),
            _ => None,
        }
    }

    /// Without a node it is the last message of a prompt; without a prompt it is the greeting of a reconnect.
    fn executing(&mut self, data: &Data<'_>) -> Option<Sign> {
        let prompt = data.prompt()?;
        let Some(node) = data.node.and_then(python_json::text) else { return Some(Sign::Ended(prompt)) };
        let shown = data.shown()?;
        if shown != node && self.display.len() < limits::DISPLAY_NAMES_MAX {
            self.display.insert(python_json::cut(node, limits::WORD_BYTES_MAX), shown.clone());
        }
        Some(Sign::Executing { prompt, node: shown })
    }

    fn progress(&self, data: &Data<'_>) -> Option<Sign> {
        let prompt = data.prompt()?;
        let max = data.max.and_then(python_json::number).filter(|max| *max > 0.0)?;
        let value = data.value.and_then(python_json::number)?.clamp(0.0, max);
        let node = data.node.and_then(python_json::text).map(|node| python_json::cut(node, limits::WORD_BYTES_MAX));
        let node = node.map(|node| self.display.get(&node).cloned().unwrap_or(node));
        Some(Sign::Progress { prompt, node, value, max })
    }
}

impl Data<'_> {
    /// Ours are canonical UUIDs; others' prompts are none of our business.
    fn prompt(&self) -> Option<Uuid> {
        let text = python_json::text(self.prompt_id?)?;
        Uuid::try_parse(&text).ok().filter(|uuid| uuid.to_string() == text)
    }

    fn shown(&self) -> Option<String> {
        let shown = self.display_node.and_then(python_json::text).or_else(|| self.node.and_then(python_json::text))?;
        Some(python_json::cut(shown, limits::WORD_BYTES_MAX))
    }
}

fn ids(raw: &RawValue) -> Vec<String> {
    let nodes: Vec<&RawValue> = python_json::read(raw.get()).unwrap_or_default();
    let short = |raw: &RawValue| python_json::text(raw).map(|node| python_json::cut(node, limits::WORD_BYTES_MAX));
    nodes.into_iter().take(limits::CACHED_NODES_MAX).filter_map(short).collect()
}

/// `{"exec_info":{"queue_remaining":n}}`
fn remaining(status: &RawValue) -> Option<u32> {
    let info = field(status, "exec_info")?;
    let remaining = field(info, "queue_remaining")?;
    python_json::count(remaining).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

fn field<'a>(raw: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let pairs: Pairs<'a> = python_json::read(raw.get())?;
    pairs.0.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::{Reader, Sign};
    use crate::comfy::{Made, limits};
    use proptest::prelude::*;
    use uuid::Uuid;

    const PROMPT: Uuid = Uuid::from_u128(0xd466_044b_7ef4_4274_b83c_5994_a394_464b);

    fn read(frames: &[&str]) -> Vec<Sign> {
        let mut reader = Reader::default();
        let id = PROMPT.to_string();
        frames.iter().filter_map(|frame| reader.read(&frame.replace("ID", &id))).collect()
    }

    /// Captured from 0.3.64 (a node that expands, cut short); `progress` has no display id.
    #[test]
    fn a_life_as_it_was_recorded() {
        let executing = |node: &str| Sign::Executing { prompt: PROMPT, node: node.to_owned() };
        let signs = read(&[
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
            signs,
            [
                Sign::QueueRemaining(1),
                Sign::Started(PROMPT),
                Sign::Cached { prompt: PROMPT, nodes: vec!["7".to_owned(), "8".to_owned()] },
                executing("1"),
                executing("1"),
                Sign::Progress { prompt: PROMPT, node: Some("1".to_owned()), value: 1.0, max: 2.0 },
                Sign::Executed {
                    prompt: PROMPT,
                    node: "2".to_owned(),
                    made: vec![Made::Text { node_id: "2".to_owned(), text: "a".to_owned() }],
                },
                Sign::Ended(PROMPT),
                Sign::QueueRemaining(0),
                Sign::Ended(PROMPT),
            ]
        );
    }

    #[test]
    fn a_blocked_node_is_no_end_and_an_error_is_one() {
        let error = |name: &str| {
            format!(
                r#"{{"type":"execution_error","data":{{"prompt_id":"ID","exception_type":"{name}","traceback":[]}}}}"#
            )
        };
        assert_eq!(read(&[&error("ExecutionBlocked")]), []);
        assert_eq!(read(&[&error("RuntimeError")]), [Sign::Ended(PROMPT)]);
        assert_eq!(read(&[r#"{"type":"execution_interrupted","data":{"prompt_id":"ID"}}"#]), [Sign::Ended(PROMPT)]);
    }

    #[test]
    fn what_makes_no_sense_is_no_sign() {
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
    fn numbers_may_be_floats_or_beyond_the_bar() {
        let step = |value: f64, max: f64| Sign::Progress { prompt: PROMPT, node: None, value, max };
        assert_eq!(read(&[r#"{"type":"progress","data":{"value":7,"max":2.5,"prompt_id":"ID"}}"#]), [step(2.5, 2.5)]);
        assert_eq!(
            read(&[r#"{"type":"progress","data":{"value":-1,"max":2,"prompt_id":"ID","node":null}}"#]),
            [step(0.0, 2.0)]
        );
    }

    #[test]
    fn what_a_node_made_is_told_as_far_as_it_fits() {
        let images: Vec<String> = (0..3).map(|n| format!(r#"{{"filename":"{n}.png","type":"temp"}}"#)).collect();
        let long = format!(r#"{{"filename":"a.png","subfolder":"{}"}}"#, "x/".repeat(400));
        let count = limits::LIVE_BYTES_MAX / 805;
        let many = (0..count + 9).map(|n| long.replace("a.png", &format!("{n:05}"))).collect::<Vec<_>>();
        for (images, expected) in [(images, 3), (many, count)] {
            let output = format!(r#"{{"images":[{}],"animated":[false]}}"#, images.join(","));
            let frame = format!(
                r#"{{"type":"executed","data":{{"node":"2.0","display_node":"2","output":{output},"prompt_id":"ID"}}}}"#
            );
            let [Sign::Executed { node, made, .. }] = &read(&[&frame])[..] else { panic!() };
            assert_eq!((node.as_str(), made.len()), ("2", expected));
            assert!(made.iter().all(|made| matches!(made, Made::File { node_id, .. } if node_id == "2")));
        }
        let nothing = r#"{"type":"executed","data":{"node":"2","display_node":"2","output":null,"prompt_id":"ID"}}"#;
        assert!(matches!(&read(&[nothing])[..], [Sign::Executed { made, .. }] if made.is_empty()));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,100}", data in "[\\[\\]{}\",:a-z0-9 ]{0,60}", kind in "status|progress|executing|execution_cached") {
            let mut reader = Reader::default();
            reader.read(&text);
            reader.read(&format!("{{\"type\":\"{kind}\",\"data\":{data}}}"));
        }
    }
}
