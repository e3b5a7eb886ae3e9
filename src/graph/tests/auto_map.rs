//! params.md, No guessing: well-known names are mapped only on request, and only if the result is unique.

use super::{LIMITS, Options, Problem, Resolved, Workflow, raw};

fn mapped() -> Options<'static> {
    Options { maps_names: true, ..Options::default() }
}

/// A graph with a ControlNet between prompts and sampler, and the seed in its own node.
const GRAPH: &str = r#"{"1":{"class_type":"KSampler","inputs":{"seed":["2",0],"steps":20,"cfg":8.0,"positive":["5",0],"negative":["5",1],"latent_image":["8",0]}},"2":{"class_type":"PrimitiveInt","inputs":{"value":7,"control":"fixed"}},"3":{"class_type":"CLIPTextEncode","inputs":{"text":"good","clip":["9",1]}},"4":{"class_type":"CLIPTextEncode","inputs":{"text":"bad","clip":["9",1]}},"5":{"class_type":"ControlNetApply","inputs":{"positive":["6",0],"negative":["4",0],"strength":1.0}},"6":{"class_type":"FluxGuidance","inputs":{"conditioning":["3",0],"guidance":3.5}},"7":{"class_type":"EmptyLatentImage","inputs":{"width":512,"height":768,"batch_size":1}},"8":{"class_type":"RepeatLatent","inputs":{"samples":["7",0]}},"9":{"class_type":"Loader","inputs":{"ckpt_name":"a"}}}"#;

fn with(graph: &str, params: &str, options: &Options<'_>) -> Result<Resolved, Vec<Problem>> {
    crate::graph::resolve(&Workflow::parse(raw(graph), LIMITS).unwrap(), raw(params), options)
}

#[track_caller]
fn code(graph: &str, params: &str) -> (String, Vec<String>) {
    let problems = with(graph, params, &mapped()).map(|resolved| resolved.workflow.to_json()).expect_err(params);
    assert_eq!(problems.len(), 1);
    (problems[0].code.clone(), problems[0].candidates.clone())
}

#[test]
fn every_known_name_finds_its_input_and_reports_it() {
    let params = r#"{"prompt":"a cat","negative_prompt":"dogs","seed":18446744073709551615,"steps":30,"cfg":7.50,"width":640,"height":480}"#;
    let resolved = with(GRAPH, params, &mapped()).unwrap();
    let mut expected = GRAPH.to_owned();
    for (from, to) in [
        (r#""good""#, r#""a cat""#),
        (r#""bad""#, r#""dogs""#),
        (r#""value":7"#, r#""value":18446744073709551615"#),
        (r#""steps":20"#, r#""steps":30"#),
        ("8.0", "7.50"),
        ("512", "640"),
        ("768", "480"),
    ] {
        expected = expected.replacen(from, to, 1);
    }
    assert_eq!(resolved.workflow.to_json().get(), expected);
    let found: Vec<String> = resolved.mapped.iter().map(|(name, address)| format!("{name}={address}")).collect();
    assert_eq!(
        found,
        [
            "prompt=3.text",
            "negative_prompt=4.text",
            "seed=2.value",
            "steps=1.steps",
            "cfg=1.cfg",
            "width=7.width",
            "height=7.height"
        ]
    );
    assert!(resolved.warnings.is_empty());
}

#[test]
fn names_are_mapped_only_on_request_and_others_never() {
    let resolved = with(GRAPH, r#"{"prompt":"a cat"}"#, &Options::default()).unwrap();
    assert_eq!((resolved.workflow.to_json().get(), resolved.warnings.len(), resolved.mapped.len()), (GRAPH, 1, 0));
    let resolved = with(GRAPH, r#"{"sampler":"x"}"#, &mapped()).unwrap();
    assert_eq!((resolved.workflow.to_json().get(), resolved.warnings.len()), (GRAPH, 1));
    let declared = GRAPH.replace(r#""bad""#, r#""{{prompt}}""#);
    let resolved = with(&declared, r#"{"prompt":"a cat"}"#, &mapped()).unwrap();
    assert!(
        resolved.mapped.is_empty() && resolved.workflow.to_json().get().contains(r#""text":"a cat""#),
        "a declared name takes precedence"
    );
}

#[test]
fn an_ambiguous_name_is_refused_with_its_candidates() {
    let sdxl = GRAPH.replace(r#""text":"good""#, r#""text_g":"good","text_l":"good""#);
    assert_eq!(
        code(&sdxl, r#"{"prompt":"x"}"#),
        ("param_ambiguous".to_owned(), vec!["3.text_g".to_owned(), "3.text_l".to_owned()])
    );
    let combined = GRAPH.replace(r#""conditioning":["3",0]"#, r#""conditioning_1":["3",0],"conditioning_2":["4",0]"#);
    assert_eq!(code(&combined, r#"{"prompt":"x"}"#).1, ["3.text", "4.text"]);
    let two = GRAPH.replace(
        r#""9":{"#,
        r#""10":{"class_type":"KSampler","inputs":{"positive":["3",0],"latent_image":["7",0]}},"9":{"#,
    );
    assert_eq!(code(&two, r#"{"steps":5}"#), ("param_ambiguous".to_owned(), vec!["1".to_owned(), "10".to_owned()]));
}

#[test]
fn a_name_without_an_input_is_refused() {
    let none = r#"{"1":{"class_type":"A","inputs":{"text":"x"}}}"#;
    assert_eq!(code(none, r#"{"prompt":"x"}"#).0, "param_no_such_input");
    let image = GRAPH.replace(r#""samples":["7",0]"#, r#""pixels":["7",0]"#);
    assert_eq!(code(&image, r#"{"width":5}"#).0, "param_no_such_input");
    let dangling = GRAPH.replace(r#""conditioning":["3",0]"#, r#""conditioning":["99",0]"#);
    assert_eq!(code(&dangling, r#"{"prompt":"x"}"#).0, "param_no_such_input");
}
