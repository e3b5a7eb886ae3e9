//! The whole graph is judged before it runs, as a real instance does: what one accepted is accepted, what one refused is
//! refused with every problem.

mod check_against_fleet;
mod other_types;

use super::{LIMITS, Options, Problem, Resolved, Workflow, raw};
use crate::graph::{Catalog, FleetCatalog, Member};
use crate::task::InstanceId;
use serde_json::{Value, json};
use std::sync::Arc;

fn fleet() -> FleetCatalog {
    let catalog = Catalog::parse(include_str!("../../sim/nodes/classes.json")).unwrap();
    FleetCatalog::new([Member { instance: InstanceId::new("i0"), is_alive: true, catalog: Some(Arc::new(catalog)) }])
}

fn judged(graph: &Value, params: &Value, is_strict: bool) -> Result<Resolved, Vec<Problem>> {
    let (fleet, graph, params) = (fleet(), graph.to_string(), params.to_string());
    let (workflow, _) = Workflow::read(raw(&graph), LIMITS, &fleet)?;
    let options = Options { pool: Some(&fleet), is_strict, ..Options::default() };
    crate::graph::resolve(&workflow, raw(&params), &options)
}

fn codes(graph: &Value) -> Vec<(String, String)> {
    let problems = judged(graph, &json!({}), false).map(|_| ()).unwrap_err();
    problems.into_iter().map(|problem| (problem.pointer, problem.code)).collect()
}

#[track_caller]
fn assert_refused(graph: &Value, expected: &[(&str, &str)]) {
    let found = codes(graph);
    let found: Vec<_> = found.iter().map(|(pointer, code)| (pointer.as_str(), code.as_str())).collect();
    assert_eq!(found, expected, "{graph}");
}

/// Text to image, with one output.
fn text_to_image() -> Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 4, "cfg": 7, "sampler_name": "euler",
            "scheduler": "normal", "denoise": 1, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0],
            "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model()}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["8", 0]}}
    })
}

fn model() -> Value {
    let classes: Value = serde_json::from_str(include_str!("../../sim/nodes/classes.json")).unwrap();
    classes["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0][0].clone()
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut graph = text_to_image();
    change(&mut graph);
    graph
}

#[test]
fn what_a_real_instance_ran_is_accepted() {
    let runs: Vec<Value> = serde_json::from_str(include_str!("../../../tests/it/sim/fixtures/runs.json")).unwrap();
    let mut partly = 0;
    for run in &runs {
        for step in run["steps"].as_array().unwrap() {
            let resolved = judged(&step["body"]["prompt"], &json!({}), false)
                .unwrap_or_else(|problems| panic!("{}: {problems:?}", run["name"]));
            let ignored = resolved.warnings.iter().filter(|warning| warning.code == "output_ignored").count();
            let refused = step["node_errors"].as_object().is_some_and(|errors| !errors.is_empty());
            assert_eq!(ignored > 0, refused, "{}: {:?}", run["name"], resolved.warnings);
            partly += ignored;
        }
    }
    assert!(runs.len() > 30 && partly > 0);
    assert!(judged(&text_to_image(), &json!({}), true).is_ok());
}

#[test]
fn what_a_real_instance_refused_is_refused_at_the_same_nodes() {
    let rejects: Vec<Value> =
        serde_json::from_str(include_str!("../../../tests/it/sim/fixtures/rejects.json")).unwrap();
    for reject in &rejects {
        let (name, graph) = (reject["name"].as_str().unwrap(), &reject["body"]["prompt"]);
        // Only the instance knows whether it has a file.
        if name == "reject_custom_validation" {
            continue;
        }
        let found = codes(graph);
        for node in reject["reply"]["node_errors"].as_object().unwrap().keys() {
            let errors = reject["reply"]["node_errors"][node]["errors"].as_array().unwrap().len();
            let here = found.iter().filter(|(pointer, _)| pointer.starts_with(&format!("/workflow/{node}/"))).count();
            assert!(here >= errors, "{name}: {found:?}");
        }
        assert!(!found.is_empty(), "{name}");
    }
}

/// ComfyUI does not validate such an input, but its worker follows the link and dies.
#[test]
fn a_dangling_link_of_an_undeclared_input_is_refused() {
    let graph = with(|graph| {
        graph["8"]["inputs"]["extra"] = json!(["99", 0]);
    });
    assert_refused(&graph, &[("/workflow/8/inputs/extra", "link_dangling")]);
}

#[test]
fn all_problems_of_a_graph_are_reported_at_once() {
    let graph = with(|graph| {
        graph["3"]["inputs"].as_object_mut().unwrap().remove("denoise");
        graph["3"]["inputs"]["cfg"] = json!("x");
        graph["3"]["inputs"]["latent_image"] = json!(["4", 0]);
        graph["3"]["inputs"]["sampler_name"] = json!("eular");
        graph["5"]["inputs"]["width"] = json!(0);
        graph["6"]["inputs"]["clip"] = json!(["40", 1]);
        graph["8"]["inputs"]["vae"] = json!(["4", 7]);
    });
    assert_refused(
        &graph,
        &[
            ("/workflow/3/inputs/cfg", "value_wrong_type"),
            ("/workflow/3/inputs/denoise", "input_missing"),
            ("/workflow/3/inputs/latent_image", "link_wrong_type"),
            ("/workflow/3/inputs/sampler_name", "value_not_offered"),
            ("/workflow/6/inputs/clip", "link_dangling"),
            ("/workflow/8/inputs/vae", "link_bad_slot"),
        ],
    );
    let problems = judged(&graph, &json!({}), false).map(|_| ()).unwrap_err();
    let sampler = problems.iter().find(|problem| problem.code == "value_not_offered").unwrap();
    assert_eq!(sampler.candidates, ["euler"]);
    let misspelt = with(|graph| {
        let inputs = graph["3"]["inputs"].as_object_mut().unwrap();
        let denoise = inputs.remove("denoise").unwrap();
        inputs.insert("denoisse".to_owned(), denoise);
    });
    let problems = judged(&misspelt, &json!({}), false).map(|_| ()).unwrap_err();
    assert!(problems[0].message.contains("denoisse"), "{}", problems[0].message);
}

/// A width of 0 is refused although its node is needed only through a link of the wrong type.
#[test]
fn a_cycle_and_a_missing_output_are_reported_beside_the_rest() {
    let cyclic = with(|graph| {
        graph["5"] = json!({"class_type": "LatentUpscaleBy", "inputs": {"samples": ["3", 0], "scale_by": 100,
            "upscale_method": "bicubic"}});
    });
    let found = codes(&cyclic);
    assert!(found.iter().any(|(_, code)| code == "workflow_cycle"), "{found:?}");
    assert!(found.iter().any(|(pointer, _)| pointer == "/workflow/5/inputs/scale_by"), "{found:?}");
    let endless = with(|graph| {
        graph.as_object_mut().unwrap().remove("9");
        graph["5"]["inputs"]["width"] = json!(0);
    });
    assert_refused(
        &endless,
        &[("/workflow", "workflow_no_outputs"), ("/workflow/5/inputs/width", "value_out_of_range")],
    );
}

/// Bug report 32.
#[test]
fn a_node_id_that_is_a_number_is_refused_with_the_cure() {
    let graph = json!({"1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": [1, 0]}}});
    assert_refused(&graph, &[("/workflow/2/inputs/images", "link_bad_node_id")]);
    let problems = judged(&graph, &json!({}), false).map(|_| ()).unwrap_err();
    assert!(problems[0].message.contains(r#"["1", …]"#), "{}", problems[0].message);
}

/// Bug report 14.
#[test]
fn an_unfinished_output_beside_a_good_one_is_left_out_with_a_warning() {
    let graph = with(|graph| {
        graph["10"] = json!({"class_type": "SaveImage", "inputs": {"filename_prefix": "second"}});
        graph["11"] = json!({"class_type": "PreviewImage", "inputs": {"images": ["12", 0]}});
        graph["12"] = json!({"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["5", 0]}});
    });
    let resolved = judged(&graph, &json!({}), false).unwrap();
    let warned: Vec<_> =
        resolved.warnings.iter().map(|warning| (warning.code.as_str(), warning.param.as_deref())).collect();
    assert_eq!(warned, [("output_ignored", Some("10")), ("output_ignored", Some("11"))]);
    assert!(resolved.warnings[1].message.contains("`12.vae`"), "{:?}", resolved.warnings);
    assert_eq!(serde_json::from_str::<Value>(resolved.workflow.to_json().get()).unwrap(), graph, "sent whole");
    let problems = judged(&graph, &json!({}), true).map(|_| ()).unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.code.as_str())).collect();
    assert_eq!(
        found,
        [("/workflow/10/inputs/images", "input_missing"), ("/workflow/12/inputs/vae", "link_wrong_type")]
    );
}

#[test]
fn nodes_that_no_output_needs_are_not_judged() {
    let graph = with(|graph| {
        graph["20"] = json!({"class_type": "VAEDecode", "inputs": {"samples": ["99", 5]}});
        graph["21"] = json!({"class_type": "EmptyLatentImage", "inputs": {"width": "x"}});
    });
    assert!(judged(&graph, &json!({}), true).is_ok());
    let unknown = with(|graph| graph["20"] = json!({"class_type": "NoSuchClass", "inputs": {}}));
    assert_refused(&unknown, &[("/workflow/20/class_type", "class_unknown")]);
}

#[test]
fn a_problem_of_a_param_has_the_pointer_of_the_param() {
    let params = json!({"3.latent_image": {"$link": ["4", 0]}, "8.vae": {"$force": ["5", 0]}});
    let problems = judged(&text_to_image(), &params, false).map(|_| ()).unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.code.as_str())).collect();
    assert_eq!(found, [("/params/3.latent_image", "link_wrong_type")], "a forced link is not judged");
}

/// Bug report 20.
#[test]
fn a_seed_of_minus_one_in_the_graph_is_drawn_with_a_warning() {
    for seed in [json!(-1), json!(-1.0), json!("-1"), json!("random")] {
        let graph = with(|graph| graph["3"]["inputs"]["seed"] = seed.clone());
        let resolved = judged(&graph, &json!({}), false).unwrap();
        assert_eq!(resolved.seeds[0].0, "3.seed", "{seed}");
        assert_eq!(
            (resolved.warnings[0].code.as_str(), resolved.warnings[0].param.as_deref()),
            ("seed_drawn", Some("3.seed"))
        );
        assert!(!resolved.workflow.to_json().get().contains(&seed.to_string()));
    }
    let graph = with(|graph| graph["3"]["inputs"]["seed"] = json!(-1));
    let set = judged(&graph, &json!({"3.seed": 7}), false).unwrap();
    assert!(set.warnings.is_empty() && set.seeds.is_empty());
    let other = with(|graph| graph["3"]["inputs"]["steps"] = json!(-1));
    assert_refused(&other, &[("/workflow/3/inputs/steps", "value_out_of_range")]);
}

#[test]
fn the_number_of_problems_that_are_not_listed_is_said() {
    let mut graph = text_to_image();
    for id in 100..300 {
        graph[id.to_string()] = json!({"class_type": "PreviewImage", "inputs": {}});
    }
    graph["9"]["inputs"] = json!({});
    let problems = judged(&graph, &json!({}), false).map(|_| ()).unwrap_err();
    let last = problems.last().unwrap();
    assert_eq!((problems.len(), last.code.as_str()), (100, "more_problems"));
    assert!(last.message.contains("103 more"), "{}", last.message);
}
