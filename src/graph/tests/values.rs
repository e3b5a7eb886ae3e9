//! params.md: Values, Conflicts, Seeds, Files.

use super::{LIMITS, Workflow, assert_changes, assert_refused, raw, resolve, with};
use crate::task::FileId;

#[test]
fn a_value_is_set_byte_for_byte() {
    for number in ["18446744073709551615", "1e-7", "20.0", "-0.0", "123456789012345678901234567890", "null", "true"] {
        assert_changes(&format!(r#"{{"3.cfg":{number}}}"#), &[("1.10", number)]);
    }
    assert_changes(r#"{"3.seed":18446744073709551614}"#, &[("18446744073709551615", "18446744073709551614")]);
    assert_changes(r#"{"6.text":{"a":[1, 2]}}"#, &[(r#""a cat""#, r#"{"a":[1, 2]}"#)]);
}

#[test]
fn a_text_never_becomes_structure() {
    let evil = r#""\",\"class_type\":\"Evil""#;
    let resolved = assert_changes(&format!(r#"{{"6.text":{evil}}}"#), &[(r#""a cat""#, evil)]);
    assert_eq!(resolved.workflow.class_of("6"), Some("CLIPTextEncode"));
    assert_refused(r#"{"6.text\":1,\"x":1}"#, &[("/params/6.text\":1,\"x", "param_no_such_input")]);
    let resolved = with(r#"{"6":{"x\":{},\"y":{"$force":1}}}"#).unwrap();
    assert!(resolved.workflow.to_json().get().contains(r#""x\":{},\"y":1"#));
}

#[test]
fn two_values_for_one_input_are_refused_unless_equal() {
    assert_refused(r#"{"6.text":"a","6":{"text":"b"}}"#, &[("/params/6/text", "param_conflict")]);
    assert_changes(r#"{"6.text":"é","6":{"text":"\u00e9"}}"#, &[(r#""a cat""#, r#""é""#)]);
    let resolved = with(r#"{"57.seed":-1,"57.inputs.seed":-1}"#).unwrap();
    assert_eq!(resolved.seeds.len(), 1);
    assert_refused(r#"{"3.cfg":1,"3.inputs.cfg":1.0}"#, &[("/params/3.inputs.cfg", "param_conflict")]);
}

#[test]
fn a_link_is_replaced_only_by_force() {
    assert_refused(r#"{"3.model":"x"}"#, &[("/params/3.model", "param_overwrites_link")]);
    assert_refused(r#"{"3.model":{"$literal":["4",0]}}"#, &[("/params/3.model", "param_overwrites_link")]);
    assert_refused(r#"{"3.model":{"$random":{}}}"#, &[("/params/3.model", "param_overwrites_link")]);
    assert_changes(r#"{"3.model":{"$force":"x"}}"#, &[(r#""model":["4",0]"#, r#""model":"x""#)]);
    assert_changes(r#"{"3.model":{"$link":["57",1]}}"#, &[(r#""model":["4",0]"#, r#""model":["57",1]"#)]);
    assert_changes(r#"{"3.model":["57",1]}"#, &[(r#""model":["4",0]"#, r#""model":["57",1]"#)]);
    assert_changes(r#"{"3":{"model":["4",0]}}"#, &[]);
    assert_changes(r#"{"3.model":{"$unset":true}}"#, &[(r#","model":["4",0]"#, "")]);
}

#[test]
fn a_link_needs_an_existing_node_and_closes_no_cycle() {
    assert_refused(r#"{"3.model":{"$link":["99",0]}}"#, &[("/params/3.model", "param_no_such_node")]);
    assert_refused(r#"{"4.ckpt_name":{"$link":["3",0]}}"#, &[("/params", "workflow_cycle")]);
    for bad in [r#"["4"]"#, r#"["4",-1]"#, r#"["4",0.5]"#, r#"[4,0]"#, r#"["4",true]"#, r#""4""#, "null"] {
        assert_refused(&format!(r#"{{"3.model":{{"$link":{bad}}}}}"#), &[("/params/3.model", "param_bad_directive")]);
    }
    assert_changes(r#"{"57.model":{"$link":["4",0]}}"#, &[(r#""noise_seed":6"#, r#""noise_seed":6,"model":["4",0]"#)]);
}

#[test]
fn a_list_that_is_a_value_is_wrapped() {
    assert_changes(r#"{"6.text":[1,2.50]}"#, &[(r#""a cat""#, r#"{"__value__":[1,2.50]}"#)]);
    assert_changes(r#"{"6.text":{"$literal":["4",0]}}"#, &[(r#""a cat""#, r#"{"__value__":["4",0]}"#)]);
    assert_changes(r#"{"6.text":{"__value__":["4",0]}}"#, &[(r#""a cat""#, r#"{"__value__":["4",0]}"#)]);
    assert_changes(r#"{"6.text":{"$literal":{"$file":"x"}}}"#, &[(r#""a cat""#, r#"{"$file":"x"}"#)]);
}

#[test]
fn an_unlisted_input_is_added_only_by_force() {
    assert_refused(r#"{"57.steps":5}"#, &[("/params/57.steps", "param_no_such_input")]);
    assert_changes(r#"{"57.steps":{"$force":5}}"#, &[(r#""noise_seed":6"#, r#""noise_seed":6,"steps":5"#)]);
    assert_refused(r#"{"57.steps":{"$unset":true}}"#, &[("/params/57.steps", "param_no_such_input")]);
    assert_changes(r#"{"57.noise_seed":{"$unset":true}}"#, &[(r#","noise_seed":6"#, "")]);
}

#[test]
fn a_seed_is_drawn_once_and_reported() {
    for wish in ["-1", r#""-1""#, r#""random""#] {
        let resolved = with(&format!(r#"{{"57.noise_seed":{wish}}}"#)).unwrap();
        let [(address, seed)] = resolved.seeds.as_slice() else { panic!("one seed") };
        assert_eq!(address, "57.noise_seed");
        assert!(*seed < 1 << 50);
        assert_changes(
            &format!(r#"{{"57.noise_seed":{seed}}}"#),
            &[(r#""noise_seed":6"#, &format!(r#""noise_seed":{seed}"#))],
        );
        assert!(resolved.workflow.to_json().get().contains(&format!(r#""noise_seed":{seed}"#)));
    }
    let drawn = |_| with(r#"{"57.seed":-1}"#).unwrap().seeds[0].1;
    let seeds: std::collections::HashSet<u64> = (0..100).map(drawn).collect();
    assert!(seeds.len() > 95, "{} of 100 differ", seeds.len());
}

#[test]
fn only_seeds_are_drawn_and_only_on_request() {
    assert!(assert_changes(r#"{"3.cfg":-1}"#, &[("1.10", "-1")]).seeds.is_empty());
    assert!(assert_changes(r#"{"6.text":"random"}"#, &[("a cat", "random")]).seeds.is_empty());
    assert!(assert_changes(r#"{"57.seed":{"$literal":-1}}"#, &[(r#""seed":5"#, r#""seed":-1"#)]).seeds.is_empty());
    let own = r#"{"1":{"class_type":"A","inputs":{"seed":-1}}}"#;
    let resolved = resolve(&Workflow::parse(raw(own), LIMITS).unwrap(), raw("{}")).unwrap();
    assert_eq!((resolved.workflow.to_json().get(), resolved.seeds.len()), (own, 0));
}

#[test]
fn random_keeps_its_bounds() {
    for _ in 0..50 {
        let seed = with(r#"{"3.cfg":{"$random":{"min":3,"max":5}}}"#).unwrap().seeds[0].1;
        assert!((3..=5).contains(&seed));
    }
    // Both ends are drawn; 200 draws that miss one of two values are not random.
    let drawn = (0..200).map(|_| with(r#"{"3.cfg":{"$random":{"min":3,"max":4}}}"#).unwrap().seeds[0].1);
    assert_eq!(drawn.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(), [3, 4]);
    for (min, max) in [(0, 0), (u64::MAX, u64::MAX), (0, u64::MAX)] {
        let seed = with(&format!(r#"{{"3.cfg":{{"$random":{{"min":{min},"max":{max}}}}}}}"#)).unwrap().seeds[0].1;
        assert!((min..=max).contains(&seed));
    }
    for bad in [r#"{"min":5,"max":3}"#, r#"{"min":-1}"#, r#"{"max":1.5}"#, r#"{"mix":1}"#, "true", "[1,2]", "null"] {
        assert_refused(&format!(r#"{{"3.cfg":{{"$random":{bad}}}}}"#), &[("/params/3.cfg", "param_bad_directive")]);
    }
}

#[test]
fn a_file_is_collected_and_its_input_is_null() {
    let id = FileId::new();
    for params in [
        format!(r#"{{"57:8.image":{{"$file":"{id}"}}}}"#),
        format!(r#"{{"57:8":{{"image":{{"$file":"{id}"}}}}}}"#),
        format!(r#"{{"57:8.image":{{"$file":"{}"}}}}"#, id.to_string().to_uppercase()),
        format!(r#"{{"57:8":{{"inputs":{{"image":{{"$force":{{"$file":"{id}"}}}}}}}}}}"#),
    ] {
        let resolved = assert_changes(&params, &[(r#""x.png""#, "null")]);
        let [file] = resolved.files.as_slice() else { panic!("one file") };
        assert_eq!((file.node_id.as_str(), file.input.as_str(), file.file_id), ("57:8", "image", id));
    }
    for bad in [r#""x""#, "5", "null", r#""../x""#] {
        assert_refused(
            &format!(r#"{{"57:8.image":{{"$file":{bad}}}}}"#),
            &[("/params/57:8.image", "param_bad_directive")],
        );
    }
}

#[test]
fn a_file_in_the_graph_is_collected_too() {
    let (id, other) = (FileId::new(), FileId::new());
    let graph = |value: &str| format!(r#"{{"1":{{"class_type":"LoadImage","inputs":{{"image":{value}}}}}}}"#);
    let resolve =
        |value: &str, params: &str| resolve(&Workflow::parse(raw(&graph(value)), LIMITS).unwrap(), raw(params));
    let own = format!(r#"{{"$file":"{id}"}}"#);
    let resolved = resolve(&own, "{}").unwrap();
    assert_eq!((resolved.files[0].file_id, resolved.workflow.to_json().get()), (id, graph("null").as_str()));
    let resolved = resolve(&own, &format!(r#"{{"1.image":{{"$file":"{other}"}}}}"#)).unwrap();
    assert_eq!(resolved.files.iter().map(|file| file.file_id).collect::<Vec<_>>(), [other]);
    assert!(resolve(&own, r#"{"1.image":"a.png"}"#).unwrap().files.is_empty());
    let problems = resolve(r#"{"$file":"x"}"#, "{}").unwrap_err();
    assert_eq!(
        (problems[0].pointer.as_str(), problems[0].code.as_str()),
        ("/workflow/1/inputs/image", "workflow_bad_file")
    );
    let text = r#"{"a":"$file"}"#;
    assert_eq!(resolve(text, "{}").unwrap().workflow.to_json().get(), graph(text));
}

#[test]
fn a_file_inside_the_request_is_collected_and_its_input_is_null() {
    let resolved = assert_changes(r#"{"57:8.image":{"$base64":"aGk=","filename":"a.png"}}"#, &[(r#""x.png""#, "null")]);
    let [file] = resolved.inline.as_slice() else { panic!("one file") };
    assert_eq!((file.node_id.as_str(), file.input.as_str(), file.base64.as_str()), ("57:8", "image", "aGk="));
    assert_eq!((file.filename.as_deref(), file.pointer.as_str()), (Some("a.png"), "/params/57:8.image"));
    let resolved = assert_changes(r#"{"57:8":{"image":{"$base64":""}}}"#, &[(r#""x.png""#, "null")]);
    assert_eq!((resolved.inline.len(), resolved.inline[0].filename.as_deref()), (1, None));
}

#[test]
fn other_directives_are_refused_by_name() {
    let problems =
        assert_refused(r#"{"57:8":{"image":{"$fil":"x"}}}"#, &[("/params/57:8/image", "param_unsupported_directive")]);
    assert_eq!(problems[0].candidates[0], "$file");
    for value in [
        r#"{"$literal":1,"x":2}"#,
        r#"{"$literal":1,"$force":2}"#,
        r#"{"$unset":false}"#,
        r#"{"$force":{"$force":1}}"#,
        r#"{"$file":"x","filename":"a"}"#,
        r#"{"$base64":5}"#,
        r#"{"$base64":"aGk=","filename":5}"#,
        r#"{"$base64":"aGk=","name":"a"}"#,
    ] {
        assert_refused(&format!(r#"{{"57:8.image":{value}}}"#), &[("/params/57:8.image", "param_bad_directive")]);
    }
}
