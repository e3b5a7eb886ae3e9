//! The editor's format: real pairs of editor graph and sent graph (of ComfyUI 0.3.64 with its page 1.27.10; links,
//! modes and subgraphs of each kind), and the graphs that are refused.

use super::{LIMITS, raw};
use crate::{
    graph::{Catalog, FleetCatalog, Member, Workflow},
    problem::Problem,
    task::{InstanceId, Warning},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const PAIRS: &str = include_str!("ui_pairs.json");

pub(super) fn pool_of(object_info: &[&str]) -> FleetCatalog {
    FleetCatalog::new(object_info.iter().enumerate().map(|(at, json)| Member {
        instance: InstanceId::new(format!("a:{at}")),
        is_alive: true,
        catalog: Some(Arc::new(Catalog::parse(json).unwrap())),
    }))
}

pub(super) fn pool() -> FleetCatalog {
    pool_of(&[include_str!("../../sim/nodes/classes.json")])
}

pub(super) fn read(ui: &Value, pool: &FleetCatalog) -> Result<(Workflow, Vec<Warning>), Vec<Problem>> {
    Workflow::read(raw(&ui.to_string()), LIMITS, pool)
}

pub(super) fn api(workflow: &Workflow) -> Value {
    serde_json::from_str(workflow.to_json().get()).unwrap()
}

/// Turns whole floats into integers: JavaScript does not distinguish them.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().unwrap().into(),
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

#[track_caller]
fn refused(ui: &Value, pool: &FleetCatalog, word: &str) {
    let problems = read(ui, pool).expect_err(word);
    assert_eq!((problems[0].code.as_str(), problems[0].is_shape), ("workflow_format_ui", false), "{word}");
    assert!(problems[0].message.contains(word), "{word}: {}", problems[0].message);
    assert!(problems[0].message.contains("Export (API)"), "{}", problems[0].message);
}

/// Converts a node of a class with these widgets, `{"input": spec}`, and these values.
fn one(inputs: &str, node: &Value) -> Result<Value, Vec<Problem>> {
    let pool = pool_of(&[&format!(r#"{{"A":{{"input":{{"required":{inputs}}},"display_name":"An A"}}}}"#)]);
    let mut whole = json!({"id": 1, "type": "A", "mode": 0, "inputs": []});
    whole.as_object_mut().unwrap().extend(node.as_object().unwrap().clone());
    let ui = json!({"nodes": [whole], "links": []});
    read(&ui, &pool).map(|(workflow, _)| api(&workflow)["1"]["inputs"].clone())
}

#[test]
fn the_conversion_equals_what_the_editor_sends() {
    let pairs: Vec<BTreeMap<String, Value>> = serde_json::from_str(PAIRS).unwrap();
    assert!(pairs.len() > 10);
    for pair in pairs {
        let (workflow, warnings) =
            read(&pair["ui"], &pool()).unwrap_or_else(|problems| panic!("{}: {problems:?}", pair["name"]));
        assert_eq!(plain(&api(&workflow)), plain(&pair["api"]), "{}", pair["name"]);
        assert_eq!(warnings[0].code, "workflow_converted");
    }
}

#[test]
fn each_widget_gets_its_own_value() {
    const SPEC: &str = r#"{"seed":["INT",{"max":18446744073709551615}],"mode":[["a","b"],{}],"cfg":["FLOAT",{}],"text":["STRING",{"default":"x"}],"on":["BOOLEAN",{"default":true}],"link":["IMAGE"],"n":["INT",{"forceInput":true}]}"#;
    let slots = json!([{"name": "link", "type": "IMAGE", "link": null}]);
    let filled = |values: Value| one(SPEC, &json!({"inputs": slots, "widgets_values": values}));
    let whole = json!({"seed": 5, "mode": "b", "cfg": 1.5, "text": "t", "on": false});
    for values in [
        json!([5, "randomize", "b", 1.5, "t", false]),
        json!([5, "b", 1.5, "t", false]),
        json!([5, "fixed", "b", 1.5, "t", false, 7]),
        json!([5, false, "b", 1.5, "t", false]),
        json!([5, "fixed", "b", 1.5, "t", false, "", null]),
        json!({"on": false, "seed": 5, "text": "t", "mode": "b", "cfg": 1.5, "videopreview": {"hidden": true}}),
    ] {
        assert_eq!(filled(values.clone()).unwrap(), whole, "{values}");
    }
    let short = filled(json!([5, "fixed", "c", 2])).unwrap();
    assert_eq!(
        short,
        json!({"seed": 5, "mode": "c", "cfg": 2, "text": "x", "on": true}),
        "a value that is not offered may be on another instance"
    );
    // Bug report 30: values of the right sort in another form, and values of an extension behind them.
    for values in [
        json!(["5", "randomize", "b", "1.5", "t", "false"]),
        json!([" 5 ", "b", 1.5, "t", 0]),
        json!([5, "fixed", "b", 1.5, "t", false, 7, 8]),
        json!([5, "fixed", "b", 1.5, "t", false, "", {"lora": "x"}]),
    ] {
        assert_eq!(filled(values.clone()).unwrap(), whole, "{values}");
    }
    let missing = json!({"seed": 0, "mode": "a", "cfg": 0, "text": "x", "on": true});
    for values in [json!([]), json!([null, "fixed", null, null, null, null])] {
        assert_eq!(filled(values.clone()).unwrap(), missing, "{values}");
    }
    let extra = filled(json!({"seed": 5, "mode": "b", "cfg": 1, "crf": 19, "list": ["1", 0]})).unwrap();
    assert_eq!((&extra["crf"], &extra["list"]), (&json!(19), &json!({"__value__": ["1", 0]})));
    for (values, word) in [
        (json!([5, "fixed", "b", "t", false]), "`cfg`"),
        (json!(["b", 5]), "`seed`"),
        (json!([5, "fixed", "randomize", 1.5]), "`mode`"),
        (json!([5, "fixed", "b", 1.5, "t", "off"]), "`on`"),
        (json!([5, "fixed", "b", 1.5, {}]), "`text`"),
    ] {
        let problems = filled(values).expect_err(word);
        assert!(problems[0].message.contains(word), "{word}: {}", problems[0].message);
    }
}

#[test]
fn numbers_keep_their_bytes() {
    let ui = r#"{"nodes":[{"id":1,"type":"A","title":"my \u0041","widgets_values":[18446744073709551615,"fixed",1.10,1e-7,[1.0,2.50]]}],"links":[]}"#;
    let info = r#"{"A":{"input":{"required":{"seed":["INT"],"a":["FLOAT"],"b":["FLOAT"],"c":["COMBO",{"options":[1],"multiselect":true}]}}}}"#;
    let (workflow, _) = Workflow::read(raw(ui), LIMITS, &pool_of(&[info])).unwrap();
    let expected = r#"{"1":{"inputs":{"seed":18446744073709551615,"a":1.10,"b":1e-7,"c":{"__value__":[1.0,2.50]}},"class_type":"A","_meta":{"title":"my A"}}}"#;
    assert_eq!(workflow.to_json().get(), expected);
}

#[test]
fn a_graph_that_only_the_editor_can_convert_is_refused() {
    let node = |extra: Value| {
        let mut node = json!({"id": 3, "type": "KSampler", "widgets_values": []});
        node.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        node
    };
    let graph = |nodes: Vec<Value>, links: Value| json!({"nodes": nodes, "links": links});
    refused(
        &graph(vec![node(json!({"type": "KSamplr"}))], json!([])),
        &pool(),
        "node 3: no instance is known to have the class KSamplr",
    );
    refused(
        &graph(vec![node(json!({}))], json!([])),
        &FleetCatalog::default(),
        "not known yet what the instances declare",
    );
    let open = |name: &str| json!({"name": name, "type": "*", "link": null});
    let linked = json!([{"name": "model", "type": "MODEL", "link": 1}, open("positive"), open("negative"), open("latent_image")]);
    let sampler = node(json!({"inputs": linked, "widgets_values": [1, "fixed", 20, 8, "euler", "normal", 1]}));
    refused(&graph(vec![sampler.clone()], json!([])), &pool(), "the link 1 to node 3 is missing from the links");
    refused(
        &graph(vec![sampler.clone()], json!([[1, 9, 0, 3, 0, "MODEL"]])),
        &pool(),
        "comes from node 9, which is missing",
    );
    refused(&graph(vec![sampler.clone(), sampler.clone()], json!([])), &pool(), "two nodes have the id 3");
    refused(&graph(vec![sampler.clone()], json!([[1, 9]])), &pool(), "invalid link");
    refused(&graph(vec![json!({"type": "Note"})], json!([])), &pool(), "a node has no id");
    refused(&graph(vec![json!({"id": 1})], json!([])), &pool(), "it has no type");
    let turn = |id: u32, link: u32| json!({"id": id, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": link}], "outputs": [{"type": "*"}]});
    let circle = json!([[1, 5, 0, 3, 0, "*"], [2, 6, 0, 5, 0, "*"], [3, 5, 0, 6, 0, "*"]]);
    refused(&graph(vec![sampler.clone(), turn(5, 2), turn(6, 3)], circle), &pool(), "form a cycle");
    let text = json!({"id": 6, "type": "CLIPTextEncode", "inputs": [{"name": "clip", "type": "CLIP", "link": null}], "widgets_values": ["a {red|blue} cat"]});
    refused(&graph(vec![text], json!([])), &pool(), "`text` has a choice");
    let custom = pool_of(&[r#"{"A":{"input":{"required":{"sound":["AUDIO_RECORD"]}}}}"#]);
    refused(
        &graph(vec![json!({"id": 1, "type": "A"})], json!([])),
        &custom,
        "`sound` is a AUDIO_RECORD, which the editor's page makes itself",
    );
    let detour = json!({"id": 8, "type": "PrimitiveNode", "outputs": [{"type": "INT"}], "widgets_values": [7]});
    let sized = json!({"id": 5, "type": "EmptyLatentImage", "inputs": [{"name": "width", "type": "INT", "link": 2, "widget": {"name": "width"}}], "widgets_values": [1, 2, 3]});
    let links = json!([[1, 8, 0, 7, 0, "*"], [2, 7, 0, 5, 0, "*"]]);
    let (workflow, _) = read(&graph(vec![detour, turn(7, 1), sized], links), &pool()).unwrap();
    assert_eq!(api(&workflow)["5"]["inputs"], json!({"width": 1, "height": 2, "batch_size": 3}), "as the editor");
    // Of two versions of a class, the one that fits is used.
    let versions =
        pool_of(&[r#"{"A":{"input":{"required":{"a":["INT"]}}}}"#, r#"{"A":{"input":{"required":{"a":["STRING"]}}}}"#]);
    let (workflow, _) =
        read(&graph(vec![json!({"id": 1, "type": "A", "widgets_values": ["x"]})], json!([])), &versions).unwrap();
    assert_eq!(api(&workflow)["1"]["inputs"], json!({"a": "x"}));
}

/// Nested subgraphs with several instances on each level would otherwise fill any memory.
#[test]
fn a_small_file_cannot_become_a_huge_graph() {
    let level = |id: usize, fans: usize| {
        let nodes: Vec<Value> = (0..fans).map(|at| json!({"id": at, "type": format!("g{}", id + 1)})).collect();
        json!({"id": format!("g{id}"), "nodes": nodes, "links": []})
    };
    let mut levels: Vec<Value> = (0..10).map(|id| level(id, 50)).collect();
    let ui = json!({"nodes": [{"id": 1, "type": "g0"}], "links": [], "definitions": {"subgraphs": levels}});
    refused(&ui, &pool(), "more than 2000 nodes");
    levels[9] = json!({"id": "g9", "nodes": [{"id": 1, "type": "g0"}], "links": []});
    let ui = json!({"nodes": [{"id": 1, "type": "g0"}], "links": [], "definitions": {"subgraphs": levels.iter().map(|level| { let mut level = level.clone(); level["nodes"].as_array_mut().unwrap().truncate(1); level }).collect::<Vec<_>>()}});
    refused(&ui, &pool(), "more than 20 nested subgraphs");
    let long = json!({"id": 1, "type": "CLIPTextEncode", "inputs": [{"name": "clip", "type": "CLIP", "link": null}], "widgets_values": ["x".repeat(100_000)]});
    let many: Vec<Value> = (0..1_000).map(|at| json!({"id": at, "type": "g"})).collect();
    let ui =
        json!({"nodes": many, "links": [], "definitions": {"subgraphs": [{"id": "g", "nodes": [long], "links": []}]}});
    refused(&ui, &pool(), "larger than 16777216 bytes");
}

#[test]
fn a_widget_linked_to_a_muted_or_bypassed_node_has_its_own_value() {
    let with = |mode: u8| {
        let ui = json!({"nodes": [
            {"id": 1, "type": "PrimitiveInt", "mode": mode, "outputs": [{"type": "INT"}], "widgets_values": [640, "fixed"]},
            {"id": 5, "type": "EmptyLatentImage", "widgets_values": [512, 768, 1],
             "inputs": [{"name": "width", "type": "INT", "link": 1, "widget": {"name": "width"}}]}
        ], "links": [[1, 1, 0, 5, 0, "INT"]]});
        api(&read(&ui, &pool()).unwrap().0)["5"]["inputs"].clone()
    };
    assert_eq!(with(0), json!({"width": ["1", 0], "height": 768, "batch_size": 1}));
    assert_eq!(with(2), json!({"width": 512, "height": 768, "batch_size": 1}));
    assert_eq!(with(4), json!({"width": 512, "height": 768, "batch_size": 1}));
}

#[test]
fn widget_values_must_be_a_list_or_an_object() {
    let inputs = r#"{"steps":["INT",{"default":3}]}"#;
    for none in [json!({}), json!({"widgets_values": null}), json!({"widgets_values": []})] {
        assert_eq!(one(inputs, &none).unwrap(), json!({"steps": 3}), "the declared default: {none}");
    }
    for wrong in [json!(7), json!("7"), json!(true)] {
        let problems = one(inputs, &json!({"widgets_values": wrong})).expect_err("invalid widgets_values");
        assert!(
            problems[0].message.contains("node 1: its widgets_values are neither a list"),
            "{}",
            problems[0].message
        );
    }
}
