//! Work grows with the length of a body, not faster: counted in steps of the budget, not in time.

use super::{LIMITS, convert::pool, large_bodies::SHAPES};
use crate::graph::{Budget, BudgetLimits, Declared, FleetCatalog, Options, OwnFiles, Workflow, publish, resolve};
use proptest::prelude::{Strategy, prop, prop_assert, proptest};
use serde_json::{Value, json, value::RawValue};
use std::time::Duration;

/// Steps that do not depend on the size: searches for similar names, small lists.
const CONSTANT: u64 = 110_000;

/// Returns a budget that only counts.
fn counter() -> Budget {
    let limits = BudgetLimits { steps: u64::MAX, cpu: Duration::from_secs(3_600), bytes: 64 << 20, searches: 5 };
    Budget::new(limits, None)
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

/// Returns the steps of reading and resolving a body.
fn steps(body: &Value, pool: &FleetCatalog) -> u64 {
    let budget = counter();
    let params = raw(body.get("params").unwrap_or(&json!({})));
    if let Ok((workflow, _)) = Workflow::read_within(&raw(&body["workflow"]), LIMITS, pool, &budget) {
        let options = Options { pool: Some(pool), randomizes_seeds: true, budget: &budget, ..Options::default() };
        drop(resolve(&workflow, &params, &options));
    }
    budget.steps()
}

#[test]
fn work_grows_with_the_body_for_every_shape() {
    let pool = pool();
    // A value that is written to many places has a limit of its own.
    for (name, body) in SHAPES.iter().filter(|(name, _)| !name.starts_with("a long value")) {
        let sizes = [16 << 10, 32 << 10, 64 << 10, 128 << 10];
        let counted: Vec<u64> = sizes.iter().map(|&bytes| steps(&body(bytes), &pool)).collect();
        let is_linear = counted.windows(2).all(|pair| pair[1] <= pair[0] * 5 / 2 + CONSTANT);
        assert!(is_linear, "{name}: {counted:?}");
    }
}

/// A body of a few KiB cannot make a result of many MiB.
#[test]
fn a_value_in_many_places_is_refused_before_it_fills_the_memory() {
    let pool = pool();
    for (name, body) in SHAPES.iter().filter(|(name, _)| name.starts_with("a long value")) {
        let body = body(1 << 20);
        let budget = Budget::new(
            BudgetLimits { steps: u64::MAX, cpu: Duration::from_secs(3_600), bytes: 32 << 20, searches: 5 },
            None,
        );
        let (workflow, _) = Workflow::read_within(&raw(&body["workflow"]), LIMITS, &pool, &budget).unwrap();
        let options = Options { pool: Some(&pool), budget: &budget, ..Options::default() };
        drop(resolve(&workflow, &raw(&body["params"]), &options));
        assert_eq!(budget.check(), Err(crate::graph::Exhausted::Bytes), "{name}");
        assert!(budget.steps() < 2 * (32 << 20) / 64, "{name}: {}", budget.steps());
    }
}

/// A published graph may name one parameter very often; its submits are as short as a name.
#[test]
fn a_name_that_is_declared_in_many_places_is_filed_once() {
    let pool = pool();
    let declarations: Vec<String> = (0..50).map(|name| format!(r#""a{name}":{{"type":"string"}}"#)).collect();
    let params = RawValue::from_string(format!("{{{}}}", declarations.join(","))).unwrap();
    let declared = Declared::read(&params).unwrap();
    let counted = [1, 2, 4, 8].map(|times| {
        let text = (0..50).map(|name| format!("{{{{a{name}:}}}}")).collect::<String>().repeat(times * 20);
        let graph = json!({"1": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": text}},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}});
        let budget = counter();
        let (workflow, _) = Workflow::read_within(&raw(&graph), LIMITS, &pool, &budget).unwrap();
        publish(&workflow, &declared, (&pool, &OwnFiles::default()), &budget).unwrap();
        let options = Options { declared: Some(&declared), pool: Some(&pool), budget: &budget, ..Options::default() };
        resolve(&workflow, &raw(&json!({})), &options).unwrap();
        budget.steps()
    });
    assert!(counted.windows(2).all(|pair| pair[1] <= pair[0] * 5 / 2), "{counted:?}");
    // Some passes over the text, however many names it has.
    let text_steps = 8 * 20 * 50 * 8 / 8;
    assert!(counted[3] < text_steps * 20, "{counted:?}");
}

/// Strategy of fragments of texts, keys and types that mean something to a scan.
fn fragment() -> impl Strategy<Value = String> {
    let parts = ["{{", "}}", "a", ":", "\\", "/*", "*/", "//", " ", ".", "@", "[*]", "$", ",", "\"", "-1", "é", "|"];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 1..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn work_grows_with_the_number_of_repetitions_of_anything(
        text in fragment(), key in fragment(), kind in fragment(), value in fragment(),
    ) {
        let pool = pool();
        let api = |times: usize| json!({
            "workflow": {"1": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": text.repeat(times)}},
                "2": {"class_type": "PreviewAny", "_meta": {"title": key.repeat(times)}, "inputs":
                    (0..times.min(900)).map(|at| (format!("{key}{at}"), json!(value))).collect::<serde_json::Map<_, _>>()}},
            "params": (0..times).map(|at| (format!("2.{key}{at}"), json!(value.repeat(2)))).chain([("a".to_owned(), json!(value.repeat(times)))])
                .collect::<serde_json::Map<_, _>>()});
        let slot = |at: usize| json!({"name": format!("{key}{at}"), "type": kind.repeat(10), "link": at, "widget": {}});
        let editor = |times: usize| json!({"workflow": {
            "nodes": [{"id": 1, "type": "g", "widgets_values": [text.repeat(times)]},
                {"id": 2, "type": "CLIPTextEncode", "widgets_values": [text.repeat(times)], "inputs": [{"name": "clip", "type": "CLIP", "link": 3}]},
                {"id": 4, "type": "B", "mode": 4, "inputs": (0..times).map(slot).collect::<Vec<_>>(), "outputs": [{"type": kind}]}],
            "links": (0..times).map(|at| json!([at, 4, 0, 2, 0, kind])).collect::<Vec<_>>(),
            "definitions": {"subgraphs": [{"id": "g", "inputs": (0..times).map(|at| json!({"name": format!("{key}{at}")})).collect::<Vec<_>>(),
                "nodes": [{"id": 5, "type": "CLIPTextEncode", "inputs": (0..times).map(slot).collect::<Vec<_>>()}],
                "links": (0..times).map(|at| json!([at, -10, at, 5, at, kind])).collect::<Vec<_>>()}]}}});
        for body in [&api as &dyn Fn(usize) -> Value, &editor] {
            let (one, four) = (steps(&body(200), &pool), steps(&body(800), &pool));
            prop_assert!(four <= one * 5 + CONSTANT, "{one} {four} {}", body(2));
        }
    }
}
