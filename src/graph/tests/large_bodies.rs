//! Bodies of `POST /api/tasks` of about a given size, of the shapes that once took a time that grows faster than the body.

use serde_json::{Map, Value, json};

/// Name of a shape, and the body of that shape with about as many bytes.
pub type Shape = (&'static str, fn(usize) -> Value);

/// Shapes of a single task.
pub const SHAPES: &[Shape] = &[
    ("placeholders without an end", |bytes| with_text(&"{{a:".repeat(bytes / 4), &json!({"other": 1}))),
    ("placeholders", |bytes| with_text(&"{{a:}} ".repeat(bytes / 7), &json!({"a": "x"}))),
    ("a long value in many placeholders", |bytes| {
        with_text(&"{{a}}".repeat(bytes / 10), &json!({"a": "x".repeat(bytes / 2)}))
    }),
    ("a long value in many nodes", |bytes| {
        let node = json!({"class_type": "PrimitiveStringMultiline", "inputs": {"value": ""}, "_meta": {"title": "T"}});
        let nodes = numbered((bytes / 200).min(2_000), |_| node.clone());
        json!({"workflow": nodes, "params": {"@T[*].value": "x".repeat(bytes / 2)}})
    }),
    ("keys that may be titles", |bytes| {
        let keys = (0..bytes / 500).map(|key| (format!("@{}{key}", "a.".repeat(240)), json!(1))).collect::<Map<_, _>>();
        json!({"workflow": text_node(""), "params": keys})
    }),
    ("keys that may be node ids", |bytes| {
        let keys = (0..bytes / 220).map(|key| (format!("1{}{key}", ".".repeat(198)), json!(1))).collect::<Map<_, _>>();
        json!({"workflow": text_node(""), "params": keys})
    }),
    ("long names of inputs", |bytes| {
        let name = |at: usize| format!("{}{at:04}", "n".repeat(bytes / 2_000));
        let inputs = || (0..900).map(|at| (name(at), json!(1))).collect::<Map<_, _>>();
        json!({"workflow": {"1": {"class_type": "PreviewAny", "inputs": inputs()}}, "params": {"1": inputs()}})
    }),
    ("inputs that are removed", |bytes| {
        let count = (bytes / 50).min(900);
        let inputs: Map<_, _> = (0..count).map(|at| (format!("i{at}"), json!(1))).collect();
        let params: Map<_, _> = (0..count).map(|at| (format!("1.i{at}"), json!({"$unset": true}))).collect();
        json!({"workflow": {"1": {"class_type": "PreviewAny", "inputs": inputs}}, "params": params})
    }),
    ("values that no instance offers", |bytes| json!({"workflow": samplers(bytes, "eulr")})),
    ("params that no instance offers", |bytes| {
        let workflow = samplers(bytes * 3 / 4, "euler");
        let keys = (0..bytes / 140).map(|node| (format!("{node}.sampler_name"), json!(format!("eulr{node}"))));
        json!({"workflow": workflow, "params": keys.collect::<Map<_, _>>()})
    }),
    ("objects and lists as values", |bytes| {
        let inputs = |_| (0..200).map(|at| (format!("i{at}"), json!({"a": [1, {"b": 2}]}))).collect::<Map<_, _>>();
        let node = |at| json!({"class_type": "PreviewAny", "inputs": inputs(at)});
        json!({"workflow": numbered((bytes / 5_000).max(1), node), "params": {"0.i0": [1, 2, 3]}})
    }),
    ("comments without an end", |bytes| editor(&json!([prompt(1, &"/* ".repeat(bytes / 3))]), &json!([]), &json!([]))),
    ("types of slots", |bytes| {
        let list = |letter: &str| (0..bytes / 30).map(|at| format!("{letter}{at}")).collect::<Vec<_>>().join(",");
        bypassed(&[list("a")], &list("b"), 1, &list("c"))
    }),
    ("inputs of a bypassed node", |bytes| {
        let kinds: Vec<String> = (0..(bytes / 150).min(900)).map(|at| format!("T{at}")).collect();
        bypassed(&kinds, "U", (bytes / 400).min(1_500), "V")
    }),
    ("widgets of a subgraph", |bytes| {
        let count = bytes / 260;
        let inner = |at: usize| {
            json!({"id": at, "type": "CLIPTextEncode", "mode": 2,
                "inputs": [{"name": "text", "type": "STRING", "link": at, "widget": {"name": "text"}}]})
        };
        promoted(count, (0..count).map(inner).collect())
    }),
    ("sockets of one node of a subgraph", |bytes| {
        let count = bytes / 180;
        let slot = |at: usize| json!({"name": "text", "type": "STRING", "link": at, "widget": {"name": "text"}});
        let slots: Vec<Value> = (0..count).map(slot).collect();
        promoted(count, vec![json!({"id": 1, "type": "CLIPTextEncode", "inputs": slots})])
    }),
    ("linked slots of one node", |bytes| {
        let count = bytes / 80;
        let slots: Vec<Value> =
            (0..count).map(|at| json!({"name": format!("s{at}"), "type": "*", "link": at})).collect();
        let links: Vec<Value> = (0..count).map(|at| json!([at, 2, 0, 1, at, "*"])).collect();
        let nodes = json!([{"id": 1, "type": "PreviewAny", "inputs": slots}, prompt(2, "")]);
        editor(&nodes, &json!(links), &json!([]))
    }),
    ("notes in many subgraphs", |bytes| {
        let note = |at: usize| json!({"id": at, "type": "Note"});
        let notes: Vec<Value> = (0..bytes / 60).map(note).collect();
        let nodes: Vec<Value> = (0..(bytes / 60).min(1_900)).map(|at| json!({"id": at, "type": "g"})).collect();
        editor(&json!(nodes), &json!([]), &json!([{"id": "g", "nodes": notes}]))
    }),
    ("a chain of reroutes", |bytes| {
        let reroute = |at: usize| {
            json!({"id": at, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": at}],
                "outputs": [{"type": "*"}]})
        };
        let length = 400.min(bytes / 200);
        let slots = |node: usize| {
            (0..5).map(move |at| json!({"name": format!("s{at}"), "type": "*", "link": length, "x": node}))
        };
        let user =
            |node: usize| json!({"id": node + 1_000, "type": "PreviewAny", "inputs": slots(node).collect::<Vec<_>>()});
        let nodes: Vec<Value> =
            (1..=length).map(reroute).chain((0..(bytes / 500).min(900)).map(user)).chain([prompt(9_999, "")]).collect();
        let links: Vec<Value> =
            (1..=length).map(|at| json!([at, if at == 1 { 9_999 } else { at - 1 }, 0, at, 0, "*"])).collect();
        editor(&json!(nodes), &json!(links), &json!([]))
    }),
];

/// Shapes of a thousand tasks.
#[allow(dead_code, reason = "only the bench sends them")]
pub const SWEEPS: &[Shape] = &[
    (
        "sweep of placeholders",
        |bytes| json!({"workflow": text_node(&"{{a:}} ".repeat(bytes / 7)), "sweep": {"a": (0..1_000).collect::<Vec<_>>()}}),
    ),
    (
        "sweep of values that no instance offers",
        |bytes| json!({"workflow": samplers(bytes, "eulr"), "sweep": {"0.seed": (0..1_000).collect::<Vec<_>>()}}),
    ),
    ("sweep of a file in the request", |bytes| {
        let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": ""}}});
        json!({"workflow": graph, "params": {"1.image": {"$base64": "iVBORw0K".repeat(bytes / 8)}},
            "sweep": {"2.filename_prefix": (0..1_000).map(|at| at.to_string()).collect::<Vec<_>>()}})
    }),
];

fn text_node(text: &str) -> Value {
    json!({"1": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": text}},
           "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}})
}

fn with_text(text: &str, params: &Value) -> Value {
    json!({"workflow": text_node(text), "params": params})
}

fn numbered(count: usize, node: impl Fn(usize) -> Value) -> Map<String, Value> {
    (0..count).map(|id| (id.to_string(), node(id))).collect()
}

/// Returns samplers that one node needs.
fn samplers(bytes: usize, sampler: &str) -> Value {
    let count = (bytes / 140).clamp(1, 900);
    let node = |id| {
        json!({"class_type": "KSampler", "inputs": {"seed": id, "steps": 20, "cfg": 8, "sampler_name": sampler,
            "scheduler": "normal", "denoise": 1}})
    };
    let mut nodes = numbered(count, node);
    let links: Map<_, _> = (0..count).map(|id| (format!("i{id}"), json!([id.to_string(), 0]))).collect();
    nodes.insert("out".to_owned(), json!({"class_type": "PreviewAny", "inputs": links}));
    nodes.into()
}

fn editor(nodes: &Value, links: &Value, subgraphs: &Value) -> Value {
    json!({"workflow": {"nodes": nodes, "links": links, "definitions": {"subgraphs": subgraphs}}})
}

fn prompt(id: usize, text: &str) -> Value {
    json!({"id": id, "type": "CLIPTextEncode", "widgets_values": [text], "outputs": [{"type": "*"}],
        "inputs": [{"name": "clip", "type": "CLIP", "link": null}]})
}

/// Returns `users` nodes that want `wanted` from a bypassed node with inputs of these types.
fn bypassed(kinds: &[String], output: &str, users: usize, wanted: &str) -> Value {
    let slots: Vec<Value> = kinds.iter().map(|kind| json!({"name": "x", "type": kind, "link": null})).collect();
    let mut nodes = vec![json!({"id": 1, "type": "A", "mode": 4, "inputs": slots, "outputs": [{"type": output}]})];
    nodes.extend(
        (2..users + 2).map(
            |id| json!({"id": id, "type": "PreviewAny", "inputs": [{"name": "source", "type": wanted, "link": id}]}),
        ),
    );
    let links: Vec<Value> = (2..users + 2).map(|id| json!([id, 1, 0, id, 0, "*"])).collect();
    editor(&json!(nodes), &json!(links), &json!([]))
}

/// Returns a node that stands for a subgraph with `count` inputs, each of which is a widget of an inner node.
fn promoted(count: usize, mut inner: Vec<Value>) -> Value {
    inner.push(json!({"id": 999_999, "type": "PreviewAny", "inputs": [{"name": "source", "type": "*", "link": 0}]}));
    let links: Vec<Value> = (0..count).map(|at| json!([at, -10, at, 1, at, "STRING"])).collect();
    let inputs: Vec<Value> = (0..count).map(|at| json!({"name": format!("w{at}")})).collect();
    let values: Vec<Value> = (0..count).map(|at| json!(at.to_string())).collect();
    let subgraph = json!({"id": "g", "inputs": inputs, "nodes": inner, "links": links});
    editor(&json!([{"id": 1, "type": "g", "widgets_values": values}]), &json!([]), &json!([subgraph]))
}
