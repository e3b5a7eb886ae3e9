//! The rules of the editor's format, each with a small graph and what is sent for it; the declarations have the shape of
//! real ones.

use super::convert::{api, pool_of, read};
use crate::graph::FleetCatalog;
use serde_json::{Value, json};

const INFO: &str = r##"{
 "Resize": {"input": {"required": {"input": ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "t", "allowed_types": "IMAGE,MASK"}}],
   "resize_type": ["COMFY_DYNAMICCOMBO_V3", {"options": [
     {"key": "size", "inputs": {"required": {"width": ["INT", {"default": 512, "max": 4096}], "height": ["INT", {"default": 512}]}}},
     {"key": "factor", "inputs": {"required": {"multiplier": ["FLOAT", {"default": 1.0, "max": 8.0}]}}},
     {"key": "match", "inputs": {"required": {"match": ["IMAGE", {}], "crop": ["COMBO", {"options": ["center", "none"]}]}}}]}],
   "method": ["COMBO", {"options": ["nearest", "area"]}]}}, "output": ["COMFY_MATCHTYPE_V3"]},
 "SaveClip": {"input": {"required": {"clip": ["IMAGE", {}], "prefix": ["STRING", {"default": "v"}],
   "codec": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "auto", "inputs": {}},
     {"key": "h264", "inputs": {"optional": {"encoding": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "copy", "inputs": {}},
       {"key": "re-encode", "inputs": {"required": {"crf": ["FLOAT", {"default": 23.0, "max": 51.0}]}}}]}]}}}]}]}}, "output_node": true},
 "Batch": {"input": {"required": {"images": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1, "max": 50}}],
   "mode": ["COMBO", {"options": ["fit", "fill"]}]}}, "output": ["IMAGE"]},
 "Maths": {"input": {"required": {"expression": ["STRING", {"default": "a"}],
   "values": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"value": ["FLOAT,INT,BOOLEAN", {}]}}, "names": ["a", "b", "c"], "min": 1}}]}}, "output": ["FLOAT", "INT"]},
 "Mixed": {"input": {"required": {"rate": ["FLOAT,INT", {"widgetType": "FLOAT", "default": 25.0, "max": 60.0}], "any": ["INT,FLOAT,STRING", {}]}}, "output": ["*"]},
 "Drawn": {"input": {"required": {"color": ["COLOR", {"default": "#ffffff", "socketless": true}], "curve": ["CURVE", {"socketless": true}], "box": ["BOUNDING_BOX", {"socketless": true}],
   "boxes": ["BOUNDING_BOXES", {"forceInput": true}], "view": ["IMAGECOMPARE", {"socketless": true}], "odd": ["LATER_WIDGET", {"socketless": true}]}}, "output": []},
 "Model3D": {"input": {"required": {"image": ["LOAD_3D", {}]}}, "output": ["IMAGE"]},
 "CustomCombo": {"input": {"required": {"choice": ["COMBO", {"options": []}]}}, "output": ["STRING", "INT"]},
 "Int": {"input": {"required": {"value": ["INT", {"control_after_generate": true}]}}, "output": ["INT"]},
 "Picture": {"input": {"required": {"name": ["STRING", {}]}}, "output": ["IMAGE"]},
 "Blur": {"input": {"required": {"image": ["IMAGE", {}], "radius": ["INT", {"default": 3}]}}, "output": ["IMAGE"]},
 "Text": {"input": {"required": {"text": ["STRING", {"dynamicPrompts": true}]}, "optional": {"extra": ["STRING", {"default": "e"}], "kind": ["COMBO", {"options": ["z", "a"]}]}}, "output": ["STRING"]},
 "Sink": {"input": {"optional": {"source": ["*", {}]}}, "output": [], "output_node": true}}"##;

pub(super) fn fleet() -> FleetCatalog {
    pool_of(&[INFO])
}

/// Returns a node; `links` are the ids of its inputs' links, by name.
pub(super) fn node(id: u64, class: &str, links: &[(&str, u64)], values: Value) -> Value {
    let slot = |(name, link): &(&str, u64)| {
        let (name, is_widget) = name.strip_suffix('!').map_or((*name, false), |name| (name, true));
        let mut slot =
            json!({"name": name, "type": "IMAGE", "link": if *link == 0 { Value::Null } else { json!(link) }});
        if is_widget {
            slot["widget"] = json!({"name": name});
        }
        slot
    };
    json!({"id": id, "type": class, "mode": 0, "inputs": links.iter().map(slot).collect::<Vec<_>>(), "outputs": [{"type": "IMAGE"}], "widgets_values": values})
}

pub(super) fn graph(nodes: Vec<Value>, links: Value) -> Value {
    json!({"nodes": nodes, "links": links})
}

/// Returns the inputs that are sent for a node of the graph.
#[track_caller]
pub(super) fn sent(graph: &Value, id: &str) -> Value {
    let (workflow, _) = read(graph, &fleet()).unwrap_or_else(|problems| panic!("{problems:?}"));
    api(&workflow)[id]["inputs"].clone()
}

#[track_caller]
fn sent_alone(class: &str, values: Value) -> Value {
    sent(&graph(vec![node(1, class, &[], values)], json!([])), "1")
}

/// Bug report 3, and rule 1.
#[test]
fn a_dynamic_combo_brings_the_widgets_of_its_choice() {
    for (values, expected) in [
        (
            json!(["factor", 2.5, "area"]),
            json!({"resize_type": "factor", "resize_type.multiplier": 2.5, "method": "area"}),
        ),
        (
            json!(["size", 64, 32, "area"]),
            json!({"resize_type": "size", "resize_type.width": 64, "resize_type.height": 32, "method": "area"}),
        ),
        (json!(["match", "none"]), json!({"resize_type": "match", "resize_type.crop": "none", "method": "nearest"})),
        (
            json!([]),
            json!({"resize_type": "size", "resize_type.width": 512, "resize_type.height": 512, "method": "nearest"}),
        ),
    ] {
        assert_eq!(sent_alone("Resize", values.clone()), expected, "{values}");
    }
    let nested = sent_alone("SaveClip", json!(["v", "h264", "re-encode", 17.5]));
    assert_eq!(
        nested,
        json!({"prefix": "v", "codec": "h264", "codec.encoding": "re-encode", "codec.encoding.crf": 17.5})
    );
    assert_eq!(
        sent_alone("SaveClip", json!(["v", "auto", "auto"])),
        json!({"prefix": "v", "codec": "auto"}),
        "a value too many"
    );
    let named = json!({"prefix": "n", "codec": "h264", "codec.encoding": "copy"});
    assert_eq!(sent_alone("SaveClip", named.clone()), named);
    let linked = graph(
        vec![
            node(1, "Picture", &[], json!(["p"])),
            node(2, "Resize", &[("resize_type.match", 5)], json!(["match", "center", "area"])),
        ],
        json!([[5, 1, 0, 2, 0, "IMAGE"]]),
    );
    let expected =
        json!({"resize_type": "match", "resize_type.match": ["1", 0], "resize_type.crop": "center", "method": "area"});
    assert_eq!(sent(&linked, "2"), expected);
}

/// Rules 2 and 3, and the graph of bug report 3.
#[test]
fn growing_groups_send_their_links_and_mixed_types_their_widget() {
    let sum = graph(
        vec![
            node(1, "Int", &[], json!([3, "fixed"])),
            node(2, "Maths", &[("expression!", 0), ("values.a", 1), ("values.b", 0), ("values.c", 2)], json!(["a*2"])),
        ],
        json!([[1, 1, 0, 2, 1, "INT"], [2, 1, 0, 2, 3, "INT"]]),
    );
    assert_eq!(sent(&sum, "2"), json!({"expression": "a*2", "values.a": ["1", 0], "values.c": ["1", 0]}));
    assert_eq!(sent_alone("Batch", json!(["fill"])), json!({"mode": "fill"}));
    assert_eq!(sent_alone("Mixed", json!([24])), json!({"rate": 24}));
    assert_eq!(sent_alone("Mixed", json!([])), json!({"rate": 25.0}));
}

/// Rule 4.
#[test]
fn newer_widgets_keep_their_values() {
    let points = json!([[0, 0], [1, 1]]);
    let expected = json!({"color": "#ff0000", "curve": {"__type__": "CURVE", "__value__": points}, "box": {"x": 1},
        "view": {"__value__": ["", ""]}, "odd": {"__value__": [7]}});
    assert_eq!(sent_alone("Drawn", json!(["#ff0000", points, {"x": 1}, [7]])), expected);
    let problems = read(&graph(vec![node(1, "Model3D", &[], json!(["x"]))], json!([])), &fleet()).unwrap_err();
    assert!(problems[0].message.contains("`image` is a LOAD_3D, which the editor's page makes itself"), "{problems:?}");
}

/// Rules 5 and 6.
#[test]
fn surplus_values_are_left_out_and_missing_ones_are_those_of_a_new_node() {
    let (workflow, warnings) =
        read(&graph(vec![node(7, "Sink", &[], json!([null, "width: 64", {"a": 1}]))], json!([])), &fleet()).unwrap();
    assert_eq!(api(&workflow)["7"]["inputs"], json!({}));
    let codes: Vec<&str> = warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["workflow_converted", "workflow_values_left_out"]);
    let combo = sent_alone("CustomCombo", json!(["b", 1, "a", "b", ""]));
    assert_eq!(combo, json!({"choice": "b", "index": 1, "option1": "a", "option2": "b", "option3": ""}));
    assert_eq!(
        sent_alone("Text", json!([])),
        json!({"text": "", "extra": "e", "kind": "z"}),
        "the first of a combo, as declared"
    );
}

/// Returns a graph whose node 9 stands for a subgraph: input 0 is a picture, input 1 the radius of the blur inside, which
/// also hangs on a socket that is no widget.
fn with_subgraph(host: Value) -> Value {
    let inner = json!({"id": "g", "inputs": [{"name": "picture", "type": "IMAGE", "linkIds": [1]}, {"name": "radius", "type": "INT", "linkIds": [2, 3]}],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [4]}],
        "nodes": [node(5, "Blur", &[("image", 1), ("radius!", 2)], json!([4])), node(6, "Maths", &[("values.a", 3)], json!(["a"]))],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 5, "target_slot": 0},
            {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 5, "target_slot": 1},
            {"id": 3, "origin_id": -10, "origin_slot": 1, "target_id": 6, "target_slot": 0},
            {"id": 4, "origin_id": 5, "origin_slot": 0, "target_id": -20, "target_slot": 0}]});
    let mut whole = node(9, "g", &[("picture", 1)], json!([]));
    whole.as_object_mut().unwrap().extend(host.as_object().unwrap().clone());
    json!({"nodes": [node(1, "Picture", &[], json!(["p"])), whole, node(3, "Sink", &[("source", 2)], json!([]))],
        "links": [[1, 1, 0, 9, 0, "IMAGE"], [2, 9, 0, 3, 0, "IMAGE"]], "definitions": {"subgraphs": [inner]}})
}

/// Rule 7.
#[test]
fn a_subgraphs_values_reach_every_socket_behind_its_inputs() {
    for (host, radius) in [
        (json!({"widgets_values": [8]}), 8),
        (json!({"widgets_values": [null]}), 4),
        (json!({}), 4),
        (json!({"widgets_values": {"radius": 8}}), 8),
        (
            json!({"widgets_values": ["x", 8], "properties": {"proxyWidgets": [["6", "expression"], ["5", "radius"]]}}),
            8,
        ),
        (
            json!({"widgets_values": ["x", 8], "properties": {"proxyWidgets": [["6", "expression"], ["-1", "radius"]]}}),
            8,
        ),
        // Finding 8: some versions of the editor write the list as a text.
        (
            json!({"widgets_values": ["x", 8], "properties": {"proxyWidgets": "[[\"6\",\"expression\"],[\"5\",\"radius\"]]"}}),
            8,
        ),
        (
            json!({"widgets_values": ["x", 8], "properties": {"proxyWidgets": "[[\"6\",\"expression\"], [\"-1\",\"radius\"]]"}}),
            8,
        ),
    ] {
        let graph = with_subgraph(host.clone());
        assert_eq!(sent(&graph, "9:5"), json!({"image": ["1", 0], "radius": radius}), "{host}");
        assert_eq!(sent(&graph, "9:6")["values.a"], json!(radius), "{host}");
        assert_eq!(sent(&graph, "3"), json!({"source": ["9:5", 0]}));
        let expression = if host["properties"].is_null() { "a" } else { "x" };
        assert_eq!(sent(&graph, "9:6")["expression"], json!(expression), "{host}");
    }
}

/// Rule 8, bug report 28.
#[test]
fn a_subgraph_that_is_off_sends_nothing() {
    let (bypassed, _) = read(&with_subgraph(json!({"mode": 4})), &fleet()).unwrap();
    assert_eq!(bypassed.node_ids(), ["1", "3"]);
    assert_eq!(api(&bypassed)["3"]["inputs"], json!({"source": ["1", 0]}), "handed on by type");
    let (muted, _) = read(&with_subgraph(json!({"mode": 2})), &fleet()).unwrap();
    assert_eq!(api(&muted)["3"]["inputs"], json!({}));
    // Inside another subgraph the inner nodes are sent all the same.
    let mut nested = with_subgraph(json!({}));
    let inner = json!({"id": "outer", "nodes": [node(2, "g", &[], json!([]))], "links": []});
    nested["definitions"]["subgraphs"].as_array_mut().unwrap().push(inner);
    nested["definitions"]["subgraphs"][1]["nodes"][0]["mode"] = json!(4);
    nested["nodes"].as_array_mut().unwrap().push(node(20, "outer", &[], json!([])));
    assert_eq!(sent(&nested, "20:2:5"), json!({"radius": 4}));
}

/// The editor has sockets before widgets, in any order of the file.
#[test]
fn a_bypassed_node_hands_on_the_input_that_the_editor_would() {
    let mut blur = node(2, "Blur", &[("radius!", 4), ("image", 1)], json!([3]));
    blur["mode"] = json!(4);
    let mut sink = node(3, "Sink", &[("source", 2)], json!([]));
    sink["inputs"][0]["type"] = json!("*");
    let nodes = vec![node(1, "Picture", &[], json!(["p"])), node(5, "Int", &[], json!([1])), blur, sink];
    let links = json!([[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"], [4, 5, 0, 2, 1, "INT"]]);
    assert_eq!(sent(&graph(nodes, links), "3"), json!({"source": ["1", 0]}));
}

/// Rule 9.
#[test]
fn what_a_linked_widget_holds_is_not_looked_at() {
    let linked = |values: Value| {
        let nodes = vec![node(1, "Text", &[], json!(["t"])), node(2, "Text", &[("text!", 1)], values)];
        sent(&graph(nodes, json!([[1, 1, 0, 2, 0, "STRING"]])), "2")
    };
    assert_eq!(linked(json!(["a {red|blue} cat"]))["text"], json!(["1", 0]));
    assert_eq!(linked(json!([{"odd": 1}]))["text"], json!(["1", 0]));
    assert_eq!(sent_alone("Text", json!(["{\"a\": 1}"]))["text"], json!("\"a\": 1"));
}
