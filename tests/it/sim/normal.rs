//! Messages in the form the fixtures have: type, node and what else must be equal, without ids, times and file numbers.

use serde_json::Value;
use std::collections::HashMap;
use tokio_tungstenite::tungstenite::Message;

/// Formats a message as a line.
pub fn line(message: &Message) -> String {
    match message {
        Message::Binary(bytes) => binary(bytes),
        Message::Text(text) => {
            // Python's special tokens are not JSON; quoted they are.
            let strict = text.replace("NaN", "\"\\u0000NaN\"").replace("Infinity", "\"\\u0000Infinity\"");
            words(&serde_json::from_str(&strict).unwrap())
        }
        other => format!("{other:?}"),
    }
}

fn binary(bytes: &[u8]) -> String {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let length = number(4) as usize;
    match number(0) {
        1 => format!("binary 1 {}", number(4)),
        4 => {
            let about: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
            assert!(bytes.len() > 8 + length, "no picture behind the metadata");
            format!("binary 4 {} {}", text(&about["node_id"]), text(&about["image_type"]))
        }
        3 => {
            let tail = std::str::from_utf8(&bytes[8..]).unwrap();
            format!("binary 3 {} {}", &tail[..length], &tail[length..])
        }
        event => format!("binary {event}"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("None")
}

fn sorted(list: &Value) -> String {
    let mut ids: Vec<&str> = list.as_array().unwrap().iter().map(text).collect();
    ids.sort_unstable();
    ids.join(",")
}

fn words(message: &Value) -> String {
    let (kind, data) = (text(&message["type"]), &message["data"]);
    match kind {
        "status" => format!("status {}", data["status"]["exec_info"]["queue_remaining"]),
        "execution_cached" => format!("execution_cached {}", sorted(&data["nodes"])),
        "progress_state" => {
            let nodes = data["nodes"].as_object().unwrap().iter().map(|(id, node)| {
                let of = |name: &str| text(&node[name]).to_owned();
                let (display, parent, real) = (of("display_node_id"), of("parent_node_id"), of("real_node_id"));
                format!("{id}({display}/{parent}/{real})={}/{} {}", node["value"], node["max"], of("state"))
            });
            format!("progress_state {}", nodes.collect::<Vec<_>>().join(" "))
        }
        "executing" => format!("executing {}", text(&data["node"])),
        "progress" => format!("progress {} {}/{}", text(&data["node"]), data["value"], data["max"]),
        "executed" => {
            let output =
                if data["output"].to_string().len() < 5_000 { output(&data["output"]) } else { "big".to_owned() };
            format!("executed {} {} {output}", text(&data["node"]), text(&data["display_node"]))
        }
        "execution_error" | "execution_interrupted" => {
            let message = data["exception_message"].as_str();
            let message = match message {
                Some(text) if text.contains("**** ERROR: Saving") => Some("**** ERROR: Saving"),
                Some(text) if text.contains("File name too long") => Some("[Errno 36] File name too long"),
                other => other,
            };
            let message = message.map_or_else(|| "null".to_owned(), |text| Value::from(text).to_string());
            let (node, class) = (text(&data["node_id"]), text(&data["node_type"]));
            let class_of_error = text(&data["exception_type"]);
            format!("{kind} {node} {class} executed={} {class_of_error} {message}", sorted(&data["executed"]))
        }
        other => other.to_owned(),
    }
}

/// Python's `json.dumps(…, sort_keys=True)`.
fn output(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let pairs: Vec<String> = keys.iter().map(|key| format!("\"{key}\": {}", output(&map[*key]))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(output).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// File names by order of appearance: the numbers in a real output folder depend on what lay there before, but *which*
/// prompts share a file does not.
#[derive(Default)]
pub struct Names(HashMap<String, usize>);

impl Names {
    pub fn canonical(&mut self, line: &str) -> String {
        let mark = "\"filename\": \"";
        let mut out = String::new();
        let mut rest = line;
        while let Some(at) = rest.find(mark) {
            let start = at + mark.len();
            let end = start + rest[start..].find('"').unwrap();
            let name = &rest[start..end];
            let next = self.0.len();
            let number = *self.0.entry(name.to_owned()).or_insert(next);
            let extension = name.rsplit('.').next().unwrap();
            out.push_str(&rest[..start]);
            out.push_str(&format!("file {number}.{extension}"));
            rest = &rest[end..];
        }
        out + rest
    }
}

/// Lines as a set order cannot change them: frame messages in order, and per node what was said of it in order.
/// Whole-graph states are left out, for they hold the other nodes too.
pub fn by_node(lines: &[String]) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = vec![];
    for line in lines {
        let mut words = line.split(' ');
        let node = match words.next().unwrap() {
            "progress_state" | "binary" => continue,
            "executing" | "progress" | "executed" => words.next().unwrap(),
            _ => "",
        };
        match groups.iter_mut().find(|(id, _)| id == node) {
            Some((_, group)) => group.push(line.clone()),
            None => groups.push((node.to_owned(), vec![line.clone()])),
        }
    }
    groups.sort();
    groups
}
