//! Graphs that are accepted and refused.

use super::{GRAPH, GraphLimits, LIMITS, Workflow, graph, raw};

#[track_caller]
fn refused(json: &str, limits: GraphLimits) -> Vec<(String, String, bool)> {
    let problems = Workflow::parse(raw(json), limits).map(|workflow| workflow.to_json()).expect_err(json);
    problems.into_iter().map(|problem| (problem.pointer, problem.code, problem.is_shape)).collect()
}

#[track_caller]
fn assert_one(json: &str, pointer: &str, code: &str, is_shape: bool) {
    assert_eq!(refused(json, LIMITS), [(pointer.to_owned(), code.to_owned(), is_shape)], "{json}");
}

fn chain(length: usize) -> String {
    let node = |id: usize| format!(r#""{id}":{{"class_type":"A","inputs":{{"x":["{}",0]}}}}"#, id + 1);
    format!("{{{}}}", (1..=length).map(node).collect::<Vec<_>>().join(","))
}

#[test]
fn a_graph_round_trips_byte_for_byte() {
    assert_eq!(graph().to_json().get(), GRAPH);
    let again = Workflow::from_stored(&graph().to_json()).unwrap();
    assert_eq!(again.to_json().get(), GRAPH);
    assert_eq!(again.node_ids(), ["3", "4", "6", "7", "57", "57:8"]);
    assert_eq!((again.node_count(), again.class_of("57:8"), again.class_of("58")), (6, Some("LoadImage"), None));
}

#[test]
fn every_number_of_safety_2_2_keeps_its_bytes() {
    for number in
        ["18446744073709551615", "18446744073709551616", "123456789012345678901234567890", "0.1", "1.0", "1e2", "1E+2"]
            .into_iter()
            .chain(["1e-7", "-0.0", "1.10", "3.141592653589793238"])
    {
        let json = format!(r#"{{"1":{{"class_type":"A","inputs":{{"x":{number},"y":[{number}]}}}}}}"#);
        assert_eq!(Workflow::parse(raw(&json), LIMITS).unwrap().to_json().get(), json);
    }
}

#[test]
fn json_that_is_no_graph_is_refused() {
    for json in ["null", "5", r#""x""#, "[]", "true", r#"[{"class_type":"A","inputs":{}}]"#] {
        assert_one(json, "/workflow", "workflow_not_object", true);
    }
    assert_one("{}", "/workflow", "workflow_empty", true);
    let ui = r#"{"last_node_id":1,"nodes":[{"id":1,"type":"SaveImage"}],"links":[],"version":0.4}"#;
    assert_one(ui, "/workflow", "workflow_format_ui", false);
    let problems = Workflow::parse(raw(ui), LIMITS).unwrap_err();
    assert!(problems[0].message.contains("Export (API)"));
}

#[test]
fn nodes_that_would_kill_a_worker_thread_are_refused() {
    for (node, pointer, code) in [
        ("null", "/workflow/1", "workflow_node_not_object"),
        ("[]", "/workflow/1", "workflow_node_not_object"),
        (r#"{"inputs":{}}"#, "/workflow/1/class_type", "workflow_class_type_missing"),
        (
            r#"{"inputs":{"UNKNOWN":1},"_meta":{"title":"Get Size"}}"#,
            "/workflow/1/class_type",
            "workflow_class_type_missing",
        ),
        (r#"{"class_type":5,"inputs":{}}"#, "/workflow/1/class_type", "workflow_class_type_missing"),
        (r#"{"class_type":"","inputs":{}}"#, "/workflow/1/class_type", "workflow_class_type_missing"),
        (r#"{"class_type":"A"}"#, "/workflow/1/inputs", "workflow_inputs_missing"),
        (r#"{"class_type":"A","inputs":null}"#, "/workflow/1/inputs", "workflow_inputs_missing"),
        (r#"{"class_type":"A","inputs":[]}"#, "/workflow/1/inputs", "workflow_inputs_missing"),
        (r#"{"class_type":"A","inputs":{},"_meta":5}"#, "/workflow/1/_meta", "workflow_meta_not_object"),
        (r#"{"class_type":"A","inputs":{},"inputs":{}}"#, "/workflow/1/inputs", "json_duplicate_key"),
        (r#"{"class_type":"A","inputs":{"a":"\ud800"}}"#, "/workflow/1/inputs/a", "json_lone_surrogate"),
        (r#"{"class_type":"A","inputs":{"a":1e999999}}"#, "/workflow/1/inputs/a", "json_number_out_of_range"),
    ] {
        assert_one(&format!(r#"{{"1":{node}}}"#), pointer, code, true);
    }
    let id = "9".repeat(201);
    let found = refused(&format!(r#"{{"{id}":{{"class_type":"A","inputs":{{}}}}}}"#), LIMITS);
    assert_eq!(found[0].1, "workflow_node_id_too_long");
    let inputs: Vec<String> = (0..1_001).map(|number| format!(r#""{number}":0"#)).collect();
    let wide = format!(r#"{{"1":{{"class_type":"A","inputs":{{{}}}}}}}"#, inputs.join(","));
    assert_one(&wide, "/workflow/1/inputs", "workflow_too_many_inputs", true);
}

#[test]
fn up_to_a_hundred_problems_are_reported_at_once() {
    let found = refused(r#"{"1":5,"2":{"class_type":1},"3":{"class_type":"A","inputs":{}}}"#, LIMITS);
    let pointers: Vec<_> = found.iter().map(|(pointer, ..)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/workflow/1", "/workflow/2/class_type", "/workflow/2/inputs"]);
    let many: Vec<String> = (0..1_000).map(|id| format!(r#""{id}":5"#)).collect();
    assert_eq!(refused(&format!("{{{}}}", many.join(",")), LIMITS).len(), 100);
}

#[test]
fn a_cycle_is_refused_anywhere() {
    let self_link = r#"{"1":{"class_type":"A","inputs":{"x":["1",0]}}}"#;
    assert_one(self_link, "/workflow/1", "workflow_cycle", false);
    let unneeded = r#"{"0":{"class_type":"A","inputs":{"x":["2",0]}},"1":{"class_type":"A","inputs":{"x":["2",0]}},"2":{"class_type":"A","inputs":{"y":["9",0],"x":["1",0]}}}"#;
    let problems = Workflow::parse(raw(unneeded), LIMITS).unwrap_err();
    assert_eq!(problems[0].code, "workflow_cycle");
    assert_eq!(problems[0].message, "links form a cycle: 2 ← 1 ← 2");
    let dangling = r#"{"1":{"class_type":"A","inputs":{"x":["9",0]}}}"#;
    assert!(Workflow::parse(raw(dangling), LIMITS).is_ok());
    let wrapped = r#"{"1":{"class_type":"A","inputs":{"x":{"__value__":["1",0]}}}}"#;
    assert!(Workflow::parse(raw(wrapped), LIMITS).is_ok());
}

#[test]
fn node_count_and_chain_length_are_limited_without_recursion() {
    assert!(Workflow::parse(raw(&chain(500)), LIMITS).is_ok());
    assert_eq!(refused(&chain(501), LIMITS)[0].1, "workflow_too_deep");
    assert_eq!(refused(&chain(2_001), LIMITS)[0].1, "workflow_too_many_nodes");
    let wide = GraphLimits { nodes_max: 200_000, depth_max: 500 };
    assert_eq!(refused(&chain(100_000), wide)[0].1, "workflow_too_deep");
    let deep = format!(r#"{{"1":{{"class_type":"A","inputs":{{"x":{}1{}}}}}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    assert_one(&deep, "/workflow", "json_too_deep", true);
}

#[test]
fn from_stored_reads_nothing_else() {
    for json in ["null", "[]", r#"{"1":5}"#, r#"{"1":{"class_type":"A"}}"#] {
        assert!(Workflow::from_stored(raw(json)).is_none(), "{json}");
    }
}

#[test]
fn set_text_sets_a_value_never_json() {
    let mut workflow = Workflow::parse(raw(r#"{"1":{"class_type":"A","inputs":{"a":null,"b":2}}}"#), LIMITS).unwrap();
    assert!(workflow.set_text("1", "a", r#"","class_type":"Evil"#));
    assert!(workflow.set_text("1", "c", "sub/é.png"));
    assert!(!workflow.set_text("2", "a", "x"));
    assert_eq!(
        workflow.to_json().get(),
        r#"{"1":{"class_type":"A","inputs":{"a":"\",\"class_type\":\"Evil","b":2,"c":"sub/é.png"}}}"#
    );
}
