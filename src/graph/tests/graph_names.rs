//! params.md, Addressing, form 4: names that the graph declares, and names that it does not.

use super::{LIMITS, Options, Problem, Resolved, Workflow, raw, resolve};

fn strict() -> Options<'static> {
    Options { is_strict: true, ..Options::default() }
}

/// A graph with one node per kind of declaration.
const NAMED: &str = r#"{"1":{"class_type":"T","inputs":{"text":"a {{animal}} in {{place:the \"sea\"}}","steps":"{{steps:20}}","cfg":"{{cfg}}","note":"\\{{animal}} {x|y}"}},"2":{"class_type":"ExternalText","inputs":{"input_id":"mood","default_value":"calm","value_type":"x"}},"3":{"class_type":"Primitive","inputs":{"value":5,"from":["1",0]},"_meta":{"title":"$count"}},"4":{"class_type":"Size","inputs":{"width":1,"height":2},"_meta":{"title":"$size"}}}"#;

fn named(params: &str, options: &Options<'_>) -> Result<Resolved, Vec<Problem>> {
    crate::graph::resolve(&Workflow::parse(raw(NAMED), LIMITS).unwrap(), raw(params), options)
}

#[track_caller]
fn assert_changes(params: &str, changes: &[(&str, &str)]) {
    let resolved = named(params, &Options::default()).unwrap();
    let mut expected = NAMED.to_owned();
    for (from, to) in changes {
        assert_eq!(expected.matches(from).count(), 1, "{from} must be there once");
        expected = expected.replace(from, to);
    }
    assert_eq!(resolved.workflow.to_json().get(), expected, "{params}");
    assert!(resolved.warnings.is_empty());
}

#[track_caller]
fn assert_refused(params: &str, options: &Options<'_>, expected: &[(&str, &str)]) -> Vec<Problem> {
    let problems = named(params, options).expect_err(params);
    let found: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.code.as_str())).collect();
    assert_eq!(found, expected, "{params}");
    problems
}

/// Changes that `{"animal":"cat","cfg":7.50}` makes to the placeholders.
const FILLED: [(&str, &str); 4] = [
    (r#""a {{animal}} in {{place:the \"sea\"}}""#, r#""a cat in the \"sea\"""#),
    (r#""{{steps:20}}""#, "20"),
    (r#""{{cfg}}""#, "7.50"),
    (r#""\\{{animal}} {x|y}""#, r#""{{animal}} {x|y}""#),
];

fn filled_and(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    FILLED.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn placeholders_are_filled_as_values_in_texts_by_default_and_escaped() {
    assert_changes(r#"{"animal":"cat","cfg":7.50}"#, &FILLED);
    let mut other = FILLED;
    other[0].1 = r#""a \",\"class_type\":\"Evil in 7""#;
    other[1].1 = "18446744073709551615";
    other[2].1 = r#"["2",0]"#;
    assert_changes(
        r#"{"animal":"\",\"class_type\":\"Evil","place":7,"steps":18446744073709551615,"cfg":{"$link":["2",0]}}"#,
        &other,
    );
    assert_changes(
        r#"[{"nodeId":"1","fieldName":"cfg","fieldValue":1},{"nodeId":"1","fieldName":"text","fieldValue":"x"}]"#,
        &[(FILLED[0].0, r#""x""#), FILLED[1], (FILLED[2].0, "1"), FILLED[3]],
    );
}

#[test]
fn without_params_braces_are_literal() {
    assert_changes("{}", &[]);
    assert_changes("[]", &[]);
    assert_refused(
        "{}",
        &strict(),
        &[("/workflow/1/inputs/text", "param_missing"), ("/workflow/1/inputs/cfg", "param_missing")],
    );
}

#[test]
fn a_placeholder_without_value_is_a_problem_once_params_are_given() {
    let problems = assert_refused(
        r#"{"1.steps":3}"#,
        &Options::default(),
        &[("/workflow/1/inputs/text", "param_missing"), ("/workflow/1/inputs/cfg", "param_missing")],
    );
    assert_eq!((problems[0].param.as_deref(), problems[0].node_id.as_deref()), (Some("animal"), Some("1")));
    let twice = r#"{"1":{"class_type":"A","inputs":{"a":"{{x}} {{x}}","b":"{{x}}"}}}"#;
    let problems = resolve(&Workflow::parse(raw(twice), LIMITS).unwrap(), raw(r#"{"1.c":{"$force":1}}"#)).unwrap_err();
    assert_eq!(problems.len(), 1);
}

#[test]
fn only_scalars_fit_inside_a_text() {
    for value in ["null", "[1]", "{}", r#"{"$file":"x"}"#] {
        assert_refused(
            &format!(r#"{{"animal":{{"$literal":{value}}},"cfg":1}}"#),
            &Options::default(),
            &[("/params/animal", "param_not_text")],
        );
    }
}

#[test]
fn a_name_and_an_address_for_one_input_must_agree() {
    assert_refused(
        r#"{"animal":"cat","cfg":1,"1.text":"x"}"#,
        &Options::default(),
        &[("/params/animal", "param_conflict")],
    );
    let problems = assert_refused(
        r#"{"animal":"cat","cfg":1,"1.cfg":2}"#,
        &Options::default(),
        &[("/params/cfg", "param_conflict")],
    );
    assert_eq!(problems[0].param.as_deref(), Some("cfg"));
    assert!(named(r#"{"animal":"cat","cfg":1,"1.cfg":1}"#, &Options::default()).is_ok());
}

#[test]
fn a_marker_node_declares_its_name() {
    assert_changes(r#"{"animal":"cat","cfg":7.50,"mood":"wild"}"#, &filled_and(&[(r#""calm""#, r#""wild""#)]));
    assert_changes(r#"{"animal":"cat","cfg":7.50,"count":6}"#, &filled_and(&[(r#""value":5"#, r#""value":6"#)]));
    assert_changes(
        r#"{"animal":"cat","cfg":7.50,"size":{"height":9}}"#,
        &filled_and(&[(r#""height":2"#, r#""height":9"#)]),
    );
    let problems = assert_refused(
        r#"{"animal":"cat","cfg":1,"size":9}"#,
        &Options::default(),
        &[("/params/size", "param_ambiguous")],
    );
    assert_eq!(problems[0].candidates, ["4.width", "4.height"]);
}

#[test]
fn an_ambiguous_name_is_refused() {
    for graph in [
        r#"{"1":{"class_type":"A","inputs":{"input_id":"x","value":1}},"2":{"class_type":"A","inputs":{"param_name":"x","value":1}}}"#,
        r#"{"1":{"class_type":"A","inputs":{"input_id":"x","value":1}},"2":{"class_type":"A","inputs":{"value":1},"_meta":{"title":"$x"}}}"#,
        r#"{"1":{"class_type":"A","inputs":{"input_name":"x","value":1}},"2":{"class_type":"A","inputs":{"value":"{{x}}"}}}"#,
    ] {
        let problems = resolve(&Workflow::parse(raw(graph), LIMITS).unwrap(), raw(r#"{"x":1}"#)).unwrap_err();
        assert_eq!(problems[0].code, "param_ambiguous", "{graph}");
    }
    let none = r#"{"1":{"class_type":"A","inputs":{"input_id":"x","default_value":["2",0]}},"2":{"class_type":"B","inputs":{"input_id":"y","z":1}}}"#;
    let workflow = Workflow::parse(raw(none), LIMITS).unwrap();
    assert_eq!(resolve(&workflow, raw(r#"{"x":1}"#)).unwrap_err()[0].code, "param_overwrites_link");
    assert_eq!(resolve(&workflow, raw(r#"{"y":1}"#)).unwrap_err()[0].code, "param_no_such_input");
}

#[test]
fn an_unknown_name_is_refused_if_names_are_declared_and_else_a_warning() {
    let problems = assert_refused(
        r#"{"animal":"cat","cfg":1,"anmal":"x","mod":2}"#,
        &Options::default(),
        &[("/params/anmal", "param_unknown_name"), ("/params/mod", "param_unknown_name")],
    );
    assert_eq!(problems[0].candidates, ["animal"]);
    let plain = Workflow::parse(raw(r#"{"1":{"class_type":"A","inputs":{"x":1}}}"#), LIMITS).unwrap();
    assert_eq!(resolve(&plain, raw(r#"{"prompt":"x"}"#)).unwrap().warnings[0].code, "param_unused");
    let problems = crate::graph::resolve(&plain, raw(r#"{"prompt":"x"}"#), &strict()).unwrap_err();
    assert_eq!((problems[0].pointer.as_str(), problems[0].code.as_str()), ("/params/prompt", "param_unknown_name"));
}

#[test]
fn a_name_takes_directives_and_seeds() {
    let graph = r#"{"3":{"class_type":"K","inputs":{"seed":"{{seed}}"}}}"#;
    let workflow = Workflow::parse(raw(graph), LIMITS).unwrap();
    let resolved = resolve(&workflow, raw(r#"{"seed":-1}"#)).unwrap();
    let [(address, seed)] = resolved.seeds.as_slice() else { panic!("one seed") };
    assert_eq!(address, "3.seed");
    assert!(resolved.workflow.to_json().get().contains(&format!(r#""seed":{seed}"#)));
    let resolved = resolve(&workflow, raw(r#"{"seed":{"$literal":-1}}"#)).unwrap();
    assert!(resolved.workflow.to_json().get().contains(r#""seed":-1"#));
}
