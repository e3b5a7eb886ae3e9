//! Graphs in the editor's format that are made to be expensive.

use super::{
    LIMITS,
    editor_rules::{fleet, graph, node},
    raw,
};
use crate::graph::{Budget, BudgetLimits, Workflow};
use serde_json::{Value, json};
use std::time::Duration;

/// Graphs that lead in circles or repeat themselves end in a clear refusal, after work in proportion to their size.
#[test]
fn a_hostile_graph_is_refused_after_little_work() {
    let set = |id: u64, name: &str, link: u64| json!({"id": id, "type": "SetNode", "inputs": [{"name": "*", "type": "*", "link": link}], "widgets_values": [name]});
    let get = |id: u64, name: &str| json!({"id": id, "type": "GetNode", "outputs": [{"type": "*"}], "widgets_values": [name]});
    let circle = graph(
        vec![set(1, "a", 1), get(2, "a"), set(3, "b", 2), get(4, "b"), node(5, "Sink", &[("source", 3)], json!([]))],
        json!([[1, 4, 0, 1, 0, "*"], [2, 2, 0, 3, 0, "*"], [3, 2, 0, 5, 0, "*"]]),
    );
    let own = json!({"nodes": [{"id": 1, "type": "g"}], "links": [], "definitions": {"subgraphs": [{"id": "g", "nodes": [{"id": 1, "type": "g"}], "links": []}]}});
    let wide = graph(vec![json!({"id": 1, "type": "Text", "widgets_values": vec!["x"; 100_000]})], json!([]));
    let inputs: Vec<Value> = (0..900).map(|at| json!({"name": format!("n{at}"), "type": "IMAGE"})).collect();
    let hosts: Vec<Value> = (0..900).map(|id| json!({"id": id, "type": "g", "properties": {"proxyWidgets": (0..20).map(|at| json!(["-1", format!("n{at}")])).collect::<Vec<_>>()}, "widgets_values": vec![1; 900]})).collect();
    let many = json!({"nodes": hosts, "links": [], "definitions": {"subgraphs": [{"id": "g", "inputs": inputs, "nodes": [node(1, "Sink", &[], json!([]))], "links": []}]}});
    for (name, graph, word) in [
        ("named links in a circle", circle, Some("form a cycle")),
        ("a subgraph in itself", own, Some("more than 20 nested subgraphs")),
        ("100,000 values", wide, None),
        ("many hosts of many inputs", many, None),
    ] {
        let limits = BudgetLimits { steps: u64::MAX, cpu: Duration::from_secs(3_600), bytes: 64 << 20, searches: 5 };
        let (budget, text) = (Budget::new(limits, None), graph.to_string());
        let result = Workflow::read_within(raw(&text), LIMITS, &fleet(), &budget);
        match (result, word) {
            (Ok(_), None) => {}
            (Err(problems), Some(word)) => {
                assert!(problems[0].message.contains(word), "{name}: {}", problems[0].message)
            }
            (result, word) => panic!("{name}: {word:?}: {:?}", result.err()),
        }
        assert!(
            budget.steps() < 20_000 + text.len() as u64,
            "{name}: {} steps for {} bytes",
            budget.steps(),
            text.len()
        );
    }
}
