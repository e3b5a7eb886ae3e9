//! Params on dynamic inputs, and their listing for forms.

use super::{LIMITS, convert::pool_of, raw};
use crate::{
    graph::{FleetCatalog, Options, Resolved, Workflow, resolve},
    problem::Problem,
};
use serde_json::{Value, json};

const INFO: &str = r#"{"Save": {"input": {"optional": {"image": ["IMAGE", {}]}, "required": {
   "codec": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "auto", "inputs": {}},
     {"key": "h264", "inputs": {"required": {"crf": ["INT", {"default": 23, "min": 0, "max": 51}], "preset": ["COMBO", {"options": ["fast", "slow"]}]}}},
     {"key": "vp9", "inputs": {"required": {"crf": ["INT", {"default": 30, "min": 0, "max": 63}]}}}]}],
   "values": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"value": ["FLOAT,INT", {}]}}, "names": ["a", "b"], "min": 1}}],
   "rate": ["FLOAT,INT", {"widgetType": "FLOAT", "default": 25.0, "max": 60.0}]}}, "output_node": true}}"#;
const GRAPH: &str = r#"{"1":{"class_type":"Save","inputs":{"codec":"auto","rate":24,"values.a":1}}}"#;

fn with(params: &Value) -> Result<Resolved, Vec<Problem>> {
    in_graph(GRAPH, params)
}

fn in_graph(graph: &str, params: &Value) -> Result<Resolved, Vec<Problem>> {
    let pool = pool_of(&[INFO]);
    let workflow = Workflow::parse(raw(graph), LIMITS).unwrap();
    resolve(&workflow, raw(&params.to_string()), &Options { pool: Some(&pool), ..Options::default() })
}

fn inputs(resolved: &Resolved) -> Value {
    let graph: Value = serde_json::from_str(resolved.workflow.to_json().get()).unwrap();
    graph["1"]["inputs"].clone()
}

#[test]
fn a_choice_and_what_it_brings_are_set_together_in_any_order() {
    for params in [
        json!({"1.codec": "h264", "1.codec.crf": "18", "1.codec.preset": "slow"}),
        json!({"1.codec.preset": "slow", "1.codec.crf": 18, "1.codec": "h264"}),
    ] {
        let set = inputs(&with(&params).unwrap());
        assert_eq!(
            (&set["codec"], &set["codec.crf"], &set["codec.preset"]),
            (&json!("h264"), &json!(18), &json!("slow")),
            "{params}"
        );
    }
    assert_eq!(inputs(&with(&json!({"1.codec": "vp9", "1.codec.crf": 60})).unwrap())["codec.crf"], json!(60));
}

#[test]
fn values_of_dynamic_inputs_are_checked_like_any_other() {
    for (params, code, word) in [
        (json!({"1.codec": "h264", "1.codec.crf": 60}), "param_out_of_range", "codec.crf"),
        (json!({"1.codec": "h264", "1.codec.crf": "x"}), "param_type", "codec.crf"),
        (json!({"1.codec": "h264", "1.codec.preset": "fasd"}), "param_not_an_option", "codec.preset"),
        (json!({"1.codec": "h26"}), "param_not_an_option", "codec"),
        (json!({"1.codec.crf": 18}), "param_no_such_input", "comes with another choice only"),
        (json!({"1.codec": "vp9", "1.codec.preset": "slow"}), "param_no_such_input", "comes with another choice only"),
        (json!({"1.codec.bitrate": 18}), "param_no_such_input", "codec.bitrate"),
        (json!({"1.values": 5}), "param_type", "values"),
        (json!({"1.values.c": 5}), "param_no_such_input", "values.c"),
        (json!({"1.rate": 61}), "param_out_of_range", "rate"),
        (json!({"1.rate": "fast"}), "param_type", "rate"),
    ] {
        let problems = with(&params).expect_err(code);
        assert_eq!(problems[0].code, code, "{params}: {}", problems[0].message);
        assert!(problems[0].message.contains(word), "{params}: {}", problems[0].message);
    }
    assert_eq!(
        inputs(&with(&json!({"1.values.b": 2})).unwrap())["values.b"],
        json!(2),
        "a socket takes a value as well"
    );
}

/// Bug report 24.
#[test]
fn an_object_in_place_of_a_growing_groups_sockets_is_refused() {
    let nested = r#"{"1":{"class_type":"Save","inputs":{"codec":"auto","rate":24,"values":{"a":["2",0]}}},"2":{"class_type":"Save","inputs":{"codec":"auto","values.a":1}}}"#;
    let problems = in_graph(nested, &json!({})).unwrap_err();
    let problem = problems.iter().find(|problem| problem.code == "input_not_flat").unwrap();
    assert_eq!(problem.pointer, "/workflow/1/inputs/values");
    assert!(problem.message.contains("`values.a`"), "{}", problem.message);
}

#[test]
fn the_listing_describes_dynamic_inputs() {
    let listing = |pool: &FleetCatalog| serde_json::from_str::<Value>(&pool.listing(None)).unwrap();
    let inputs = listing(&pool_of(&[INFO]))["classes"]["Save"]["inputs"].clone();
    let of = |name: &str| inputs.as_array().unwrap().iter().find(|input| input["name"] == name).unwrap().clone();
    assert_eq!(of("codec")["options"], json!(["auto", "h264", "vp9"]));
    assert_eq!(
        of("codec")["variants"]["h264"],
        json!([{"name": "codec.crf", "type": "INT", "required": true, "min": 0, "max": 51, "default": 23},
            {"name": "codec.preset", "type": "COMBO", "required": true, "options": ["fast", "slow"]}])
    );
    assert_eq!(of("codec")["variants"]["auto"], json!([]));
    assert_eq!(of("values")["sockets"], json!({"names": ["values.a", "values.b"], "min": 1, "type": "FLOAT,INT"}));
    assert_eq!(
        (&of("values")["link"], &of("rate")["max"], &of("rate")["link"]),
        (&json!(true), &json!(60.0), &Value::Null)
    );
}
