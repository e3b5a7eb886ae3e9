//! params.md, Addressing.

use super::{assert_changes, assert_refused, graph, raw, resolve, with};

#[test]
fn no_params_change_nothing() {
    assert_changes("{}", &[]);
    assert_changes("[]", &[]);
}

#[test]
fn every_form_reaches_its_input() {
    for params in [
        r#"{"6.text":"a dog"}"#,
        r#"{"6.inputs.text":"a dog"}"#,
        r#"{"6:CLIPTextEncode.text":"a dog"}"#,
        r#"{"6:CLIPTextEncode.inputs.text":"a dog"}"#,
        r#"{"6":{"text":"a dog"}}"#,
        r#"{"6":{"class_type":"CLIPTextEncode","inputs":{"text":"a dog"},"_meta":{"title":"y"}}}"#,
        r#"[{"nodeId":"6","fieldName":"text","fieldValue":"a dog"}]"#,
        r#"[{"nodeId":6,"fieldName":"text","fieldValue":"a dog","description":"x"}]"#,
    ] {
        assert_changes(params, &[(r#""a cat""#, r#""a dog""#)]);
    }
}

#[test]
fn the_longest_existing_id_counts() {
    assert_changes(r#"{"57:8.image":"y.png"}"#, &[(r#""x.png""#, r#""y.png""#)]);
    assert_changes(r#"{"57:KSampler.seed":7}"#, &[(r#""seed":5"#, r#""seed":7"#)]);
    assert_changes(r#"{"57.seed":7}"#, &[(r#""seed":5"#, r#""seed":7"#)]);
    let problems = assert_refused(
        r#"{"57:KSamplerAdvanced.seed":7}"#,
        &[("/params/57:KSamplerAdvanced.seed", "param_class_mismatch")],
    );
    assert_eq!(problems[0].candidates, ["KSampler"]);
    assert_refused(r#"{"57:9.image":7}"#, &[("/params/57:9.image", "param_class_mismatch")]);
    assert_refused(
        r#"{"6":{"class_type":"KSampler","text":"x"}}"#,
        &[("/params/6/class_type", "param_class_mismatch")],
    );
    assert_refused(r#"{"6":{"class_type":6}}"#, &[("/params/6/class_type", "param_class_mismatch")]);
}

#[test]
fn an_input_name_may_contain_dots() {
    assert_changes(r#"{"6.opts.mode":"y"}"#, &[(r#""opts.mode":"x""#, r#""opts.mode":"y""#)]);
    assert_changes(r#"{"6.inputs.opts.mode":"y"}"#, &[(r#""opts.mode":"x""#, r#""opts.mode":"y""#)]);
}

#[test]
fn titles_match_exactly_and_may_contain_dots() {
    assert_changes(r#"{"@Load v1.5.ckpt_name":"b"}"#, &[("a.safetensors", "b")]);
    assert_changes(r#"{"@Load v1.5":{"ckpt_name":"b"}}"#, &[("a.safetensors", "b")]);
    let both = [(r#""text":"a cat""#, r#""text":"b""#), (r#""text":"""#, r#""text":"b""#)];
    assert_changes(r#"{"@Prompt[*].text":"b"}"#, &both);
    assert_changes(r#"{"@Prompt[*]":{"text":"b"}}"#, &both);
    let problems = assert_refused(r#"{"@Prompt.text":"b"}"#, &[("/params/@Prompt.text", "param_ambiguous")]);
    assert_eq!(problems[0].candidates, ["6", "7"]);
    assert_refused(r#"{"@Prompt":{"text":"b"}}"#, &[("/params/@Prompt", "param_ambiguous")]);
    let problems = assert_refused(r#"{"@Prompz.text":"b"}"#, &[("/params/@Prompz.text", "param_no_such_node")]);
    assert_eq!(problems[0].candidates, ["@Prompt"]);
    assert_refused(r#"{"@Prompt":5}"#, &[("/params/@Prompt", "param_no_such_node")]);
}

#[test]
fn an_unknown_address_is_refused_with_candidates() {
    let problems = assert_refused(r#"{"6.txt":"x"}"#, &[("/params/6.txt", "param_no_such_input")]);
    assert_eq!(problems[0].candidates, ["6.text"]);
    assert_eq!((problems[0].param.as_deref(), problems[0].node_id.as_deref()), (Some("6.txt"), Some("6")));
    assert!(!problems[0].is_shape);
    let problems = assert_refused(r#"{"66.text":"x"}"#, &[("/params/66.text", "param_no_such_node")]);
    assert_eq!(problems[0].candidates[..2], ["6.text", "7.text"]);
    assert_refused(r#"{"5":{"text":"x"}}"#, &[("/params/5", "param_no_such_node")]);
    assert_refused(r#"{"ksampler":{"seed":1}}"#, &[("/params/ksampler", "param_no_such_node")]);
    assert_refused(r#"{"5":1}"#, &[("/params/5", "param_no_such_node")]);
    let problems = assert_refused(r#"{"6":"a dog"}"#, &[("/params/6", "param_no_such_input")]);
    assert_eq!(problems[0].candidates, ["6.text", "6.clip", "6.opts.mode"]);
    assert_refused(r#"{"6.":"x"}"#, &[("/params/6.", "param_no_such_input")]);
    assert_refused(r#"{"a/b~.c":1}"#, &[("/params/a~1b~0.c", "param_no_such_node")]);
    assert_refused(
        r#"[{"nodeId":"5","fieldName":"text","fieldValue":1},{"nodeId":"6"},7]"#,
        &[
            ("/params/0/nodeId", "param_no_such_node"),
            ("/params/1", "param_bad_entry"),
            ("/params/2", "param_bad_entry"),
        ],
    );
    assert_refused(r#"{"6":{"inputs":5}}"#, &[("/params/6/inputs", "param_inputs_not_object")]);
}

#[test]
fn all_problems_are_reported_together() {
    assert_refused(
        r#"{"6.txt":"x","6.text":"fine","9.seed":1,"3.model":5}"#,
        &[
            ("/params/9.seed", "param_no_such_node"),
            ("/params/6.txt", "param_no_such_input"),
            ("/params/3.model", "param_overwrites_link"),
        ],
    );
}

#[test]
fn an_unused_bare_name_is_a_warning() {
    let resolved = assert_changes(r#"{"prompt":"x","seed":-1}"#, &[]);
    let warned: Vec<_> =
        resolved.warnings.iter().map(|warning| (warning.code.as_str(), warning.param.as_deref())).collect();
    assert_eq!(warned, [("param_unused", Some("prompt")), ("param_unused", Some("seed"))]);
    assert!(resolved.seeds.is_empty());
    let many: Vec<String> = (0..10_000).map(|number| format!(r#""n{number}":0"#)).collect();
    let resolved = with(&format!("{{{}}}", many.join(","))).unwrap();
    assert_eq!(resolved.warnings.len(), 51);
    assert_eq!(resolved.warnings[50].message, "9950 more parameters were not used");
}

#[test]
fn malformed_params_are_refused() {
    for params in ["null", "5", r#""x""#, "true"] {
        assert!(assert_refused(params, &[("/params", "params_not_object")])[0].is_shape);
    }
    assert_refused(r#"{"6.text":"a","6.text":"a"}"#, &[("/params/6.text", "json_duplicate_key")]);
    assert_refused(r#"{"6.text":"\ud800"}"#, &[("/params/6.text", "json_lone_surrogate")]);
    assert_refused(r#"{"3.seed":1e999999}"#, &[("/params/3.seed", "json_number_out_of_range")]);
    assert_refused(
        &format!(r#"{{"6.text":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000)),
        &[("/params", "json_too_deep")],
    );
}

#[test]
fn an_expensive_request_is_cut_short() {
    let inputs: Vec<String> = (0..300_000).map(|number| format!(r#""x{number}":0"#)).collect();
    assert_refused(&format!(r#"{{"@Prompt[*]":{{{}}}}}"#, inputs.join(",")), &[("/params", "params_too_many")]);
    let dots = ".".repeat(1_000_000);
    assert_eq!(with(&format!(r#"{{"{dots}":1,"@{dots}":2,"6:{dots}":3}}"#)).unwrap_err().len(), 3);
    let unknown: Vec<String> = (0..100_000).map(|number| format!(r#""{number}.tex":0"#)).collect();
    assert_eq!(with(&format!("{{{}}}", unknown.join(","))).unwrap_err().len(), 100);
}

#[test]
fn the_submitted_graph_is_not_changed() {
    let workflow = graph();
    resolve(&workflow, raw(r#"{"6.text":"x","3.seed":-1}"#)).unwrap();
    assert_eq!(workflow.to_json().get(), super::GRAPH);
}
