//! params.md, Types and Seeds: values checked against the instances' declarations.

use crate::graph::{
    Catalog, FleetCatalog, Member,
    tests::{LIMITS, Options, Problem, Resolved, Workflow, raw},
};
use crate::task::{InstanceId, Warning};
use std::sync::Arc;

const GRAPH: &str = r#"{"3":{"class_type":"KSampler","inputs":{"seed":5,"steps":20,"cfg":8.0,"sampler_name":"euler","model":["4",0]}},"4":{"class_type":"Loader","inputs":{"ckpt_name":"a"}},"5":{"class_type":"Noise","inputs":{"value":7,"noise_seed":-5,"on":true,"image":"x.png"}},"9":{"class_type":"SaveImage","inputs":{"images":["3",0]}},"10":{"class_type":"Loader","inputs":{"ckpt_name":"stray"}}}"#;

fn catalog(models: &str) -> Arc<Catalog> {
    let json = format!(
        r#"{{"KSampler":{{"input":{{"required":{{"seed":["INT",{{"min":0,"max":18446744073709551615}}],"steps":["INT",{{"min":1,"max":100}}],"cfg":["FLOAT",{{"min":0.0,"max":100.0}}],"sampler_name":[["euler","ddim"]],"model":["MODEL"]}},"optional":{{"denoise":["FLOAT",{{"max":1.0}}]}}}}}},"Loader":{{"input":{{"required":{{"ckpt_name":[[{models}]]}}}}}},"Noise":{{"input":{{"required":{{"value":["INT",{{"min":10,"max":12,"control_after_generate":true}}],"noise_seed":["INT",{{"min":-10}}],"on":["BOOLEAN"],"image":[["y.png"],{{"image_upload":true}}]}}}}}},"SaveImage":{{"input":{{"required":{{"images":["IMAGE"]}}}},"output_node":true}}}}"#
    );
    Arc::new(Catalog::parse(&json).unwrap())
}

fn pool(of: &[Option<&str>]) -> FleetCatalog {
    let mut known: Vec<(&str, Arc<Catalog>)> = Vec::new();
    let members = of.iter().enumerate().map(|(number, models)| {
        let catalog = models.map(|models| match known.iter().find(|(name, _)| *name == models) {
            Some((_, catalog)) => catalog.clone(),
            None => {
                known.push((models, catalog(models)));
                known[known.len() - 1].1.clone()
            }
        });
        Member { instance: InstanceId::new(format!("i{number}")), is_alive: true, catalog }
    });
    FleetCatalog::new(members.collect::<Vec<_>>())
}

fn with(graph: &str, params: &str, pool: &FleetCatalog) -> Result<Resolved, Vec<Problem>> {
    let options = Options { pool: Some(pool), ..Options::default() };
    crate::graph::resolve(&Workflow::parse(raw(graph), LIMITS).unwrap(), raw(params), &options)
}

#[track_caller]
fn refused(params: &str, pool: &FleetCatalog) -> Vec<Problem> {
    with(GRAPH, params, pool).map(|resolved| resolved.workflow.to_json()).expect_err(params)
}

fn eligible(resolved: &Resolved) -> Option<Vec<&str>> {
    resolved.eligible.as_ref().map(|ids| ids.iter().map(InstanceId::as_str).collect())
}

const ONE: &[Option<&str>] = &[Some(r#""a""#)];

#[test]
fn a_number_given_as_a_text_is_written_as_a_number() {
    let resolved =
        with(GRAPH, r#"{"3.steps":"20","3.cfg":"7.50","5.on":"false","3.seed":"18446744073709551615"}"#, &pool(ONE))
            .unwrap();
    let json = resolved.workflow.to_json();
    for part in [r#""seed":18446744073709551615,"steps":20,"cfg":7.50"#, r#""on":false"#] {
        assert!(json.get().contains(part), "{json}");
    }
    let resolved = with(GRAPH, r#"{"3.steps":2e1,"3.cfg":1,"3.seed":18446744073709551615}"#, &pool(ONE)).unwrap();
    assert!(resolved.workflow.to_json().get().contains(r#""seed":18446744073709551615,"steps":2e1,"cfg":1,"#));
}

#[test]
fn a_value_that_no_instance_accepts_is_refused_with_the_expected_one() {
    for (params, code) in [
        (r#"{"3.steps":20.5}"#, "param_type"),
        (r#"{"3.steps":"x"}"#, "param_type"),
        (r#"{"3.steps":0}"#, "param_out_of_range"),
        (r#"{"3.steps":101}"#, "param_out_of_range"),
        (r#"{"3.seed":18446744073709551616}"#, "param_out_of_range"),
        (r#"{"3.cfg":"NaN"}"#, "param_type"),
        (r#"{"5.on":1}"#, "param_type"),
        (r#"{"3.sampler_name":"eular"}"#, "param_not_an_option"),
        (r#"{"3":{"sampler_name":null}}"#, "param_not_an_option"),
    ] {
        let problems = refused(params, &pool(ONE));
        assert_eq!((problems.len(), problems[0].code.as_str()), (1, code), "{params}");
    }
    let problems = refused(r#"{"3.steps":20.5,"3.sampler_name":"eular","99.x":1}"#, &pool(ONE));
    let found: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.code.as_str())).collect();
    assert_eq!(
        found,
        [
            ("/params/99.x", "param_no_such_node"),
            ("/params/3.steps", "param_type"),
            ("/params/3.sampler_name", "param_not_an_option")
        ]
    );
    let steps = serde_json::to_value(&problems[1]).unwrap();
    assert_eq!(
        (&steps["nodeId"], &steps["input"], &steps["expected"], &steps["got"]),
        (&"3".into(), &"steps".into(), &"a whole number from 1 to 100".into(), &"20.5".into())
    );
    assert_eq!(problems[2].candidates, ["euler"]);
}

#[test]
fn forced_values_and_files_are_not_validated() {
    assert!(
        with(GRAPH, r#"{"3.steps":{"$force":20.5},"4.ckpt_name":{"$force":"new"},"5.image":"later.png"}"#, &pool(ONE))
            .is_ok()
    );
    assert_eq!(refused(r#"{"3.steps":{"$literal":20.5}}"#, &pool(ONE))[0].code, "param_type");
}

#[test]
fn a_declared_input_that_the_graph_does_not_list_may_be_set() {
    let resolved = with(GRAPH, r#"{"3.denoise":0.5}"#, &pool(ONE)).unwrap();
    assert!(resolved.workflow.to_json().get().contains(r#""denoise":0.5"#));
    assert_eq!(refused(r#"{"3.denoise":1.5}"#, &pool(ONE))[0].code, "param_out_of_range");
    assert_eq!(refused(r#"{"3.denois":0.5}"#, &pool(ONE))[0].code, "param_no_such_input");
    assert_eq!(refused(r#"{"3.steps":{"$unset":true}}"#, &pool(ONE))[0].code, "param_required");
}

#[test]
fn a_combo_value_on_one_of_three_narrows_to_it() {
    let three = pool(&[Some(r#""a""#), Some(r#""a","b""#), Some(r#""a""#)]);
    assert_eq!(eligible(&with(GRAPH, r#"{"4.ckpt_name":"b"}"#, &three).unwrap()), Some(vec!["i1"]));
    assert_eq!(eligible(&with(GRAPH, "{}", &three).unwrap()), None);
    let own = GRAPH.replace(r#""ckpt_name":"a""#, r#""ckpt_name":"b""#);
    assert_eq!(eligible(&with(&own, "{}", &three).unwrap()), Some(vec!["i1"]));
    assert_eq!(eligible(&with(&own, r#"{"4.ckpt_name":"a"}"#, &three).unwrap()), None);
}

#[test]
fn values_of_the_graph_itself_are_judged_as_comfyui_does() {
    let own = GRAPH
        .replace(r#""ckpt_name":"a""#, r#""ckpt_name":"gone""#)
        .replace(r#""steps":20"#, r#""steps":20.5"#)
        .replace(r#""cfg":8.0"#, r#""cfg":800"#);
    let problems = with(&own, "{}", &pool(ONE)).unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.code.as_str())).collect();
    assert_eq!(
        found,
        [("/workflow/3/inputs/cfg", "value_out_of_range"), ("/workflow/4/inputs/ckpt_name", "value_not_offered")],
        "20.5 becomes 20, and no output needs node 5 and 10"
    );
    assert_eq!(problems[0].expected.as_deref(), Some("a number from 0 to 100"));
    let params = r#"{"3.cfg":{"$force":800},"4.ckpt_name":{"$force":"gone"}}"#;
    assert!(with(GRAPH, params, &pool(ONE)).is_ok(), "a forced value is not judged");
    let unknown = pool(&[Some(r#""a""#), None]);
    let own = GRAPH.replace(r#""ckpt_name":"a""#, r#""ckpt_name":"gone""#);
    assert_eq!(eligible(&with(&own, "{}", &unknown).unwrap()), Some(vec!["i1"]));
}

#[test]
fn two_values_without_a_common_instance_are_refused() {
    let two = pool(&[Some(r#""a""#), Some(r#""b""#)]);
    let graph = GRAPH.replace(r#""images":["3",0]"#, r#""images":["3",0],"also":["10",0]"#);
    let problems = with(&graph, r#"{"4.ckpt_name":"a","10.ckpt_name":"b"}"#, &two).unwrap_err();
    assert_eq!((problems[0].code.as_str(), problems[0].pointer.as_str()), ("no_instance_fits", "/workflow"));
    assert!(
        problems[0].message.contains(r#"4.ckpt_name "a" is at i0; 10.ckpt_name "b" is at i1"#),
        "{}",
        problems[0].message
    );
}

#[test]
fn a_missing_class_is_refused_once_every_alive_instance_is_known() {
    let graph = GRAPH.replace("\"SaveImage\"", "\"SaveImages\"");
    let problems = with(&graph, "{}", &pool(ONE)).unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.code.as_str())).collect();
    assert_eq!(found, [("/workflow/9/class_type", "class_unknown")]);
    assert_eq!(problems[0].candidates, ["SaveImage"]);
    let resolved = with(&graph, "{}", &pool(&[Some(r#""a""#), None])).unwrap();
    assert_eq!(eligible(&resolved), Some(vec!["i1"]));
    assert_eq!(eligible(&with(&graph, "{}", &pool(&[None, None])).unwrap()), None);
    let problems = with(&graph, r#"{"3.steps":0}"#, &pool(ONE)).unwrap_err();
    assert_eq!(problems.len(), 2, "problems of params and classes are reported together");
}

#[test]
fn a_seed_is_drawn_within_its_bounds() {
    for _ in 0..50 {
        let resolved = with(GRAPH, r#"{"5.value":-1,"3.seed":"random"}"#, &pool(ONE)).unwrap();
        let [(value, drawn), (seed, wide)] = resolved.seeds.as_slice() else { panic!("two seeds") };
        assert_eq!((value.as_str(), seed.as_str()), ("5.value", "3.seed"));
        assert!((10..=12).contains(drawn) && *wide < 1 << 50);
        let random = with(GRAPH, r#"{"3.steps":{"$random":{"min":99}}}"#, &pool(ONE)).unwrap().seeds[0].1;
        assert!((99..=100).contains(&random), "{random}");
    }
    let negative = with(GRAPH, r#"{"5.noise_seed":-1}"#, &pool(ONE)).unwrap();
    assert!(negative.seeds.is_empty() && negative.workflow.to_json().get().contains(r#""noise_seed":-1"#));
    assert_eq!(refused(r#"{"3.steps":"random"}"#, &pool(ONE))[0].code, "param_type");
    assert_eq!(refused(r#"{"3.steps":{"$random":{"max":500}}}"#, &pool(ONE))[0].code, "param_out_of_range");
    assert_eq!(refused(r#"{"3.steps":{"$random":{"min":500}}}"#, &pool(ONE))[0].code, "param_out_of_range");
}

#[test]
fn all_seeds_are_drawn_except_links_and_those_set_by_params() {
    let seeds = |params: &str, pool: Option<&FleetCatalog>| {
        let workflow = Workflow::parse(raw(GRAPH), LIMITS).unwrap();
        let options = Options { randomizes_seeds: true, pool, ..Options::default() };
        let resolved = crate::graph::resolve(&workflow, raw(params), &options).unwrap();
        resolved.seeds.into_iter().map(|(address, _)| address).collect::<Vec<_>>()
    };
    assert_eq!(seeds("{}", None), ["3.seed", "5.noise_seed"]);
    assert_eq!(seeds("{}", Some(&pool(ONE))), ["3.seed", "5.value", "5.noise_seed"]);
    assert_eq!(seeds(r#"{"3.seed":7,"5.noise_seed":{"$link":["4",0]}}"#, None), Vec::<String>::new());
}

#[test]
fn an_instance_fits_if_it_has_every_class_and_every_needed_value() {
    let catalog = |models: &str, extra: &str| {
        let info = format!(
            r#"{{"L":{{"input":{{"required":{{"m":[[{models}]],"n":[["x"]]}}}}}},"S":{{"input":{{}},"output_node":true}}{extra}}}"#
        );
        Arc::new(Catalog::parse(&info).unwrap())
    };
    let graph = r#"{"1":{"class_type":"L","inputs":{"m":"b","n":"own"}},"2":{"class_type":"S","inputs":{"a":["1",0]}},"3":{"class_type":"L","inputs":{"m":"stray"}}}"#;
    let workflow = Workflow::parse(raw(graph), LIMITS).unwrap();
    let (lacks, has) = (catalog(r#""a""#, ""), catalog(r#""a","b""#, ""));
    let warned = |code: &str, param: &str| {
        [Warning { code: code.to_owned(), message: String::new(), param: Some(param.to_owned()) }]
    };
    let spared = |param: &str| warned("value_not_offered", param);
    assert!(!workflow.fits(&lacks, &spared("1.n")) && workflow.fits(&has, &spared("1.n")));
    assert!(!workflow.fits(&has, &[]) && !workflow.fits(&has, &spared("1.m")), "only the given address is spared");
    assert!(workflow.fits(&lacks, &warned("output_ignored", "2")), "an output that is left out needs nothing");
    let other = graph.replace(r#""3":{"class_type":"L""#, r#""3":{"class_type":"X""#);
    let workflow = Workflow::parse(raw(&other), LIMITS).unwrap();
    assert!(!workflow.fits(&has, &spared("1.n")) && workflow.fits(&catalog(r#""b""#, r#","X":{}"#), &spared("1.n")));
}
