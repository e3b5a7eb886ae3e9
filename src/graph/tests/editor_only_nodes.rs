//! Nodes that exist in the editor only: named links, primitives, switches and labels, old groups.

use super::{
    convert::{api, read},
    editor_rules::{fleet, graph, node, sent},
};
use serde_json::{Value, json};

/// Bug report 6: a named link, also out of a subgraph; a primitive; nodes that switch, label or group others.
#[test]
fn nodes_of_the_editor_only_are_resolved_or_left_out() {
    let set = json!({"id": 10, "type": "SetNode", "inputs": [{"name": "IMAGE", "type": "IMAGE", "link": 1}], "outputs": [{"type": "*"}], "widgets_values": ["pic"]});
    let get =
        json!({"id": 11, "type": "GetNode", "inputs": [], "outputs": [{"type": "IMAGE"}], "widgets_values": ["pic"]});
    let with = |more: Value| {
        let mut nodes = vec![
            node(1, "Picture", &[], json!(["p"])),
            set.clone(),
            get.clone(),
            node(3, "Blur", &[("image", 2), ("radius!", 3)], json!([1])),
        ];
        nodes.push(json!({"id": 12, "type": "PrimitiveNode", "mode": 4, "outputs": [{"type": "INT"}], "widgets_values": [6, "fixed"]}));
        nodes.extend(more.as_array().unwrap().clone());
        graph(nodes, json!([[1, 1, 0, 10, 0, "IMAGE"], [2, 11, 0, 3, 0, "IMAGE"], [3, 12, 0, 3, 1, "INT"]]))
    };
    assert_eq!(sent(&with(json!([])), "3"), json!({"image": ["1", 0], "radius": 6}));
    let decorated = with(
        json!([{"id": 30, "type": "Fast Groups Bypasser (rgthree)", "outputs": [{"name": "OPT_CONNECTION", "type": "*", "links": null}]},
        {"id": 31, "type": "Label (rgthree)"}, {"id": 32, "type": "Some Later Label"}, {"id": 33, "type": "Note"}]),
    );
    let (workflow, warnings) = read(&decorated, &fleet()).unwrap();
    assert_eq!(workflow.node_ids(), ["1", "3"]);
    let left_out = &warnings.iter().find(|warning| warning.code == "workflow_node_left_out").unwrap().message;
    assert!(
        ["30 (Fast", "31 (Label", "32 (Some Later Label)"].iter().all(|name| left_out.contains(name)),
        "{left_out}"
    );
    assert!(!left_out.contains("33"), "{left_out}");
    for (more, word) in [
        (
            json!([{"id": 40, "type": "GetNode", "outputs": [{"type": "*"}], "widgets_values": ["none"]}, node(41, "Sink", &[("source", 9)], json!([]))]),
            "no SetNode names a link \"none\"",
        ),
        (json!([{"id": 40, "type": "Anything Everywhere"}]), "makes its links when it sends the graph"),
        (
            json!([{"id": 40, "type": "Strange", "outputs": [{"type": "*"}]}, node(41, "Sink", &[("source", 9)], json!([]))]),
            "if Strange is a node of the editor only",
        ),
        (
            json!([{"id": 40, "type": "Strange", "properties": {"Node name for S&R": "Strange"}}]),
            "no instance is known to have the class Strange",
        ),
    ] {
        let mut graph = with(more);
        graph["links"].as_array_mut().unwrap().push(json!([9, 40, 0, 41, 0, "*"]));
        let problems = read(&graph, &fleet()).expect_err(word);
        assert!(problems[0].message.contains(word), "{word}: {}", problems[0].message);
    }
}

/// A primitive gives its value to the widgets it is linked to itself.
#[test]
fn a_primitive_behind_a_reroute_gives_nothing() {
    let turn = json!({"id": 7, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 1}], "outputs": [{"type": "*"}]});
    let primitive = json!({"id": 8, "type": "PrimitiveNode", "outputs": [{"type": "INT"}], "widgets_values": [7]});
    let whole = graph(
        vec![primitive, turn, node(3, "Blur", &[("radius!", 2)], json!([5]))],
        json!([[1, 8, 0, 7, 0, "*"], [2, 7, 0, 3, 0, "*"]]),
    );
    assert_eq!(sent(&whole, "3"), json!({"radius": 5}));
}

#[test]
fn old_group_nodes_become_subgraphs() {
    let group = json!({"nodes": [{"type": "Blur", "index": 0, "inputs": [{"name": "image", "type": "IMAGE"}], "outputs": [{"type": "IMAGE"}], "widgets_values": [1]},
            {"type": "Blur", "index": 1, "title": "Second", "inputs": [{"name": "image", "type": "IMAGE"}], "outputs": [{"type": "IMAGE"}], "widgets_values": [2]},
            {"type": "Int", "index": 2, "inputs": [], "outputs": [{"type": "INT"}], "widgets_values": [3, "fixed"]}],
        "links": [[0, 0, 1, 0, 4, "IMAGE"]], "external": []});
    let host = json!({"id": 9, "type": "workflow/two", "inputs": [{"name": "image", "type": "IMAGE", "link": 1}],
        "outputs": [{"type": "IMAGE"}, {"type": "INT"}], "widgets_values": [10, 20, 30, "randomize"]});
    let mut whole = graph(
        vec![
            node(1, "Picture", &[], json!(["p"])),
            host,
            node(3, "Sink", &[("source", 2)], json!([])),
            node(4, "Sink", &[("source", 3)], json!([])),
        ],
        json!([[1, 1, 0, 9, 0, "IMAGE"], [2, 9, 0, 3, 0, "IMAGE"], [3, 9, 1, 4, 0, "INT"]]),
    );
    whole["extra"] = json!({"groupNodes": {"two": group}});
    assert_eq!(sent(&whole, "9:0"), json!({"image": ["1", 0], "radius": 10}));
    assert_eq!(sent(&whole, "9:1"), json!({"image": ["9:0", 0], "radius": 20}));
    assert_eq!(sent(&whole, "9:2"), json!({"value": 30}));
    assert_eq!((sent(&whole, "3"), sent(&whole, "4")), (json!({"source": ["9:1", 0]}), json!({"source": ["9:2", 0]})));
    whole["extra"]["groupNodes"]["two"]["nodes"][1]["type"] = json!("workflow>two");
    let problems = read(&whole, &fleet()).unwrap_err();
    assert!(problems[0].message.contains("more than 20 nested subgraphs"), "{problems:?}");
}

/// Returns what is sent for a sink that an extension links, with these links and this change to the rest.
fn broadcast(class: &str, links: Value, change: impl FnOnce(&mut Value)) -> Result<Value, String> {
    let mut graph = graph(
        vec![
            node(1, "Picture", &[], json!(["p"])),
            node(2, class, &[("anything", 1)], json!([])),
            node(3, "Sink", &[("source", 0)], json!([])),
            node(4, "Blur", &[("image", 0), ("radius!", 0)], json!([3])),
        ],
        json!([[1, 1, 0, 2, 0, "IMAGE"]]),
    );
    graph["extra"] = json!({"ue_links": links});
    change(&mut graph);
    let (workflow, _) = read(&graph, &fleet()).map_err(|problems| problems[0].message.clone())?;
    Ok(api(&workflow))
}

/// Finding 15.
#[test]
fn the_links_of_an_extension_are_taken_from_the_file() {
    let to = |down: i64, up: &str| json!({"downstream": down, "downstream_slot": 0, "upstream": up, "upstream_slot": 0, "controller": 2, "type": "IMAGE"});
    for class in ["Anything Everywhere", "Anything Everywhere3", "Prompts Everywhere", "Anything Somewhere"] {
        let sent = broadcast(class, json!([to(3, "1"), to(4, "1"), to(99, "1")]), |_| ()).unwrap();
        assert_eq!(sent["3"]["inputs"], json!({"source": ["1", 0]}), "{class}");
        assert_eq!(sent["4"]["inputs"], json!({"image": ["1", 0], "radius": 3}), "{class}");
        assert!(sent["2"].is_null(), "{class}");
    }
    let numbered = json!([{"downstream": "3", "downstream_slot": 0, "upstream": 1, "upstream_slot": 0}]);
    assert_eq!(broadcast("Anything Everywhere", numbered, |_| ()).unwrap()["3"]["inputs"], json!({"source": ["1", 0]}));
    assert_eq!(broadcast("Anything Everywhere", json!([]), |_| ()).unwrap()["3"]["inputs"], json!({}));
    let own = broadcast("Anything Everywhere", json!([to(3, "1")]), |graph| {
        graph["nodes"][2]["inputs"][0]["link"] = json!(7);
        graph["links"].as_array_mut().unwrap().push(json!([7, 4, 0, 3, 0, "IMAGE"]));
    });
    assert_eq!(own.unwrap()["3"]["inputs"], json!({"source": ["4", 0]}), "a link of the file wins");
    let muted = broadcast("Anything Everywhere", json!([to(3, "1")]), |graph| {
        graph["nodes"][2]["inputs"][0]["link"] = json!(7);
        graph["nodes"][3]["mode"] = json!(2);
        graph["links"].as_array_mut().unwrap().push(json!([7, 4, 0, 3, 0, "IMAGE"]));
    });
    assert_eq!(muted.unwrap()["3"]["inputs"], json!({"source": ["1", 0]}), "but not one from a node that is off");
    let without = broadcast("Anything Everywhere", json!([]), |graph| graph["extra"] = json!({})).unwrap_err();
    assert!(without.contains("extra.ue_links") && without.contains("save it again"), "{without}");
    let wrong = broadcast("Anything Everywhere", json!([{"downstream": 3}]), |_| ()).unwrap_err();
    assert!(wrong.contains("extra.ue_links"), "{wrong}");
}
