//! Values of another type than the declared one, and what a program left in place of values: each is converted with a
//! warning, or refused with its cure. The declarations are those of real classes.

use crate::graph::{
    resolve,
    tests::{LIMITS, Options, Problem, Resolved, Workflow, convert::pool_of, raw},
};
use serde_json::{Value, json};

const INFO: &str = r#"{
 "Scale": {"input": {"required": {"image": ["IMAGE"], "scale_factor": [[0.25, 0.5, 1.0, 2.0]], "mode": ["COMBO", {"options": ["10", "20", "auto"]}],
   "enabled": ["BOOLEAN", {"default": true}], "text": ["STRING", {"multiline": true}], "width": ["INT", {"min": 16, "max": 4096}],
   "cfg": ["FLOAT", {"min": 0, "max": 30}], "seed": ["INT", {"min": 0, "max": 1000, "control_after_generate": true}]},
   "optional": {"duration": ["COMBO", {"options": [5, 10, 15]}], "note": ["STRING"]}}, "output": ["IMAGE"]},
 "Save": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}}, "output": [], "output_node": true},
 "Batch": {"input": {"required": {"images": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 2, "max": 4}}]}}, "output": ["IMAGE"]},
 "SaveAs": {"input": {"required": {"images": ["IMAGE"], "format": ["COMFY_DYNAMICCOMBO_V3", {"options": [
   {"key": "png", "inputs": {"required": {"bit_depth": ["COMBO", {"options": ["8-bit", "16-bit"]}]}}},
   {"key": "exr", "inputs": {"required": {"bit_depth": ["COMBO", {"options": ["32-bit float"]}], "space": ["COMBO", {"options": ["linear", "sRGB"]}]}}}]}]}},
   "output": [], "output_node": true},
 "Load": {"input": {"required": {"image": [["a.png"], {"image_upload": true}]}}, "output": ["IMAGE"]},
 "Picture": {"input": {"required": {"name": ["STRING", {}]}}, "output": ["IMAGE"]}}"#;

/// Returns a graph with these changes to the inputs of node 2.
fn graph(changes: &Value) -> Value {
    let mut graph = json!({"1": {"class_type": "Picture", "inputs": {"name": "p"}},
        "2": {"class_type": "Scale", "inputs": {"image": ["1", 0], "scale_factor": 0.5, "mode": "auto", "enabled": true, "text": "a cat",
            "width": 64, "cfg": 7.5, "seed": 1}},
        "3": {"class_type": "Save", "inputs": {"images": ["2", 0], "filename_prefix": "x"}}});
    graph["2"]["inputs"].as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    graph
}

fn judged(graph: &Value, params: &Value) -> Result<Resolved, Vec<Problem>> {
    let (pool, graph, params) = (pool_of(&[INFO]), graph.to_string(), params.to_string());
    let (workflow, _) = Workflow::read(raw(&graph), LIMITS, &pool)?;
    resolve(&workflow, raw(&params), &Options { pool: Some(&pool), ..Options::default() })
}

fn inputs(resolved: &Resolved) -> Value {
    serde_json::from_str::<Value>(resolved.workflow.to_json().get()).unwrap()["2"]["inputs"].clone()
}

#[track_caller]
fn refusals(graph: &Value) -> Vec<(String, String, String)> {
    let problems = judged(graph, &json!({})).map(|resolved| inputs(&resolved)).unwrap_err();
    problems.into_iter().map(|problem| (problem.pointer, problem.code, problem.message)).collect()
}

/// Findings 5 and 6.
#[test]
fn a_value_of_another_type_is_written_as_what_it_means_with_a_warning() {
    for (input, given, written) in [
        ("enabled", json!("false"), "false"),
        ("enabled", json!("False"), "false"),
        ("enabled", json!("0"), "false"),
        ("enabled", json!("no"), "false"),
        ("enabled", json!("true"), "true"),
        ("width", json!(64.7), "64"),
        ("width", json!("64.0"), "64"),
        ("seed", json!(true), "1"),
        ("cfg", json!(true), "1"),
        ("text", json!(false), "\"false\""),
        ("scale_factor", json!("1"), "1.0"),
        ("scale_factor", json!("0.5"), "0.5"),
        ("mode", json!(10), "\"10\""),
        ("duration", json!("15"), "15"),
    ] {
        let resolved =
            judged(&graph(&json!({input: given})), &json!({})).unwrap_or_else(|why| panic!("{input}: {why:?}"));
        let sent = resolved.workflow.to_json().get().to_owned();
        assert!(sent.contains(&format!("\"{input}\":{written}")), "{input} {given}: {sent}");
        let warned: Vec<_> =
            resolved.warnings.iter().map(|warning| (warning.code.as_str(), warning.param.as_deref())).collect();
        assert_eq!(warned, [("value_converted", Some(format!("2.{input}").as_str()))], "{given}");
        assert!(resolved.warnings[0].message.contains(&given.to_string()), "{:?}", resolved.warnings);
    }
}

#[test]
fn a_value_that_an_instance_takes_as_it_is_meant_stays() {
    let kept = json!({"scale_factor": 1, "enabled": 0, "width": "64", "cfg": "7.50", "text": 5, "seed": 2e1});
    let resolved = judged(&graph(&kept), &json!({})).unwrap();
    assert!(resolved.warnings.is_empty(), "{:?}", resolved.warnings);
    assert_eq!(inputs(&resolved)["cfg"], json!("7.50"));
}

/// Finding 6: the same in params.
#[test]
fn a_param_of_another_type_is_the_equal_choice() {
    for (input, given, written) in [
        ("scale_factor", json!("1"), "1.0"),
        ("mode", json!(20), "\"20\""),
        ("enabled", json!("False"), "false"),
        ("width", json!("64.0"), "64"),
    ] {
        let resolved = judged(&graph(&json!({})), &json!({format!("2.{input}"): given})).unwrap();
        assert!(resolved.workflow.to_json().get().contains(&format!("\"{input}\":{written}")), "{input}");
    }
    let problems = judged(&graph(&json!({})), &json!({"2.scale_factor": "3"})).map(|_| ()).unwrap_err();
    assert_eq!(problems[0].code, "param_not_an_option");
}

/// Finding 5: `str(None)` is a prompt, too.
#[test]
fn what_python_would_make_a_text_of_is_refused() {
    for (input, given) in [
        ("text", json!(null)),
        ("text", json!({"value": "a cat"})),
        ("note", json!(null)),
        ("enabled", json!(null)),
        ("enabled", json!("maybe")),
        ("enabled", json!("")),
    ] {
        let found = refusals(&graph(&json!({input: given})));
        assert_eq!((found.len(), found[0].1.as_str()), (1, "value_wrong_type"), "{input} {given}: {found:?}");
    }
    assert!(refusals(&graph(&json!({"text": null})))[0].2.contains("leave the input out"));
    let forced = judged(&graph(&json!({})), &json!({"2.text": {"$force": null}})).unwrap();
    assert_eq!(inputs(&forced)["text"], json!(null));
}

/// Finding 12.
#[test]
fn a_leftover_of_a_template_is_named_with_its_cure() {
    for (input, given, cure) in [
        ("width", json!("%width%"), "placeholder"),
        ("width", json!("{{ $json.width }}"), "placeholder"),
        ("width", json!("${width}"), "placeholder"),
        ("width", json!("undefined"), "had no value"),
        ("width", json!(""), "empty"),
        ("width", json!(null), "had no value"),
        ("mode", json!("${mode}"), "placeholder"),
        ("seed", json!("randomize"), "write -1"),
        ("seed", json!(""), "write -1"),
        ("enabled", json!("%enabled%"), "placeholder"),
    ] {
        let found = refusals(&graph(&json!({input: given})));
        assert!(found[0].0.ends_with(input) && found[0].2.contains(cure), "{given}: {found:?}");
    }
    let problems = judged(&graph(&json!({})), &json!({"2.width": "${width}"})).map(|_| ()).unwrap_err();
    assert!(problems[0].message.contains("placeholder"), "{problems:?}");
}

/// Finding 10.
#[test]
fn an_input_for_a_file_takes_no_null() {
    let graph = json!({"1": {"class_type": "Load", "inputs": {"image": null}},
        "3": {"class_type": "Save", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}});
    let found = refusals(&graph);
    assert_eq!(
        (found[0].0.as_str(), found[0].1.as_str()),
        ("/workflow/1/inputs/image", "value_wrong_type"),
        "{found:?}"
    );
    assert!(found[0].2.contains("takes a file"), "{found:?}");
    let id = "0b6d2f6e-0000-4000-8000-000000000001";
    let file = judged(&graph, &json!({"1.image": {"$file": id}}));
    assert!(
        file.is_ok_and(|resolved| resolved.files.len() == 1),
        "the place of a file is null until it is on the instance"
    );
}

fn batch(inputs: &Value) -> Value {
    json!({"1": {"class_type": "Picture", "inputs": {"name": "p"}}, "2": {"class_type": "Batch", "inputs": inputs},
        "3": {"class_type": "Save", "inputs": {"images": ["2", 0], "filename_prefix": "x"}}})
}

/// Finding 7.
#[test]
fn a_growing_group_needs_its_first_sockets_and_takes_no_more_than_declared() {
    let link = json!(["1", 0]);
    let good = json!({"images.image0": link, "images.image1": link, "images.image3": link});
    assert!(judged(&batch(&good), &json!({})).is_ok(), "a hole is one");
    for (inputs, expected) in [
        (json!({}), vec!["images.image0", "images.image1"]),
        (json!({"images.image1": link, "images.image2": link}), vec!["images.image0"]),
        (json!({"image0": link, "images.image1": link}), vec!["images.image0"]),
        (json!({"images.image0": link}), vec!["images.image1"]),
        (json!({"images.image0": link, "images.image1": link, "images.image4": link}), vec!["images.image4"]),
        (json!({"images.image0": link, "images.image1": link, "images.a": 1}), vec!["images.a"]),
    ] {
        let found = refusals(&batch(&inputs));
        let places: Vec<&str> =
            found.iter().map(|(pointer, ..)| pointer.trim_start_matches("/workflow/2/inputs/")).collect();
        assert_eq!(places, expected, "{found:?}");
    }
    let undotted = refusals(&batch(&json!({"image0": link, "images.image1": link})));
    assert!(undotted[0].2.contains("it has `image0`: write `images.image0`"), "{undotted:?}");
    let many = refusals(&batch(&json!({"images.image0": link, "images.image1": link, "images.image9": link})));
    assert!(many[0].2.contains("takes 4 at most"), "{many:?}");
    let nested = refusals(&batch(&json!({"images": {"image0": link, "image1": link}})));
    assert_eq!((nested.len(), nested[0].1.as_str()), (1, "input_not_flat"), "{nested:?}");
}

fn save_as(inputs: &Value) -> Value {
    let mut graph = json!({"1": {"class_type": "Picture", "inputs": {"name": "p"}},
        "2": {"class_type": "SaveAs", "inputs": {"images": ["1", 0]}}});
    graph["2"]["inputs"].as_object_mut().unwrap().extend(inputs.as_object().unwrap().clone());
    graph
}

/// Finding 7.
#[test]
fn a_dynamic_combo_is_judged_with_its_choice() {
    let absent = refusals(&save_as(&json!({})));
    assert_eq!((absent[0].0.as_str(), absent[0].1.as_str()), ("/workflow/2/inputs/format", "input_missing"));
    for nested in [json!({"format": "png", "bit_depth": "8-bit"}), json!({"bit_depth": "8-bit"}), json!({})] {
        let found = refusals(&save_as(&json!({"format": nested})));
        assert_eq!((found.len(), found[0].1.as_str()), (1, "input_not_flat"), "{found:?}");
        assert!(
            found[0].2.contains("`format.bit_depth`") && found[0].2.contains("`format` with the choice"),
            "{found:?}"
        );
    }
    let other = save_as(&json!({"format": "exr", "format.bit_depth": "32-bit flot", "format.space": "linear"}));
    let problems = judged(&other, &json!({})).map(|_| ()).unwrap_err();
    assert_eq!(
        (problems.len(), problems[0].candidates.as_slice()),
        (1, &["32-bit float".to_owned()][..]),
        "{problems:?}"
    );
    let problems = judged(
        &save_as(&json!({"format": "png", "format.bit_depth": "8-bit"})),
        &json!({"2.format": {"format": "exr"}}),
    )
    .map(|_| ())
    .unwrap_err();
    assert!(problems[0].message.contains("inputs of their own"), "{problems:?}");
}
