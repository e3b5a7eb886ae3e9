//! Tests through the public functions [`Workflow::parse`](super::Workflow::parse) and [`resolve`](super::resolve).

#![allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]

mod addresses;
mod auto_map;
mod convert;
mod dynamic_inputs;
mod editor_only_nodes;
mod editor_rules;
mod files;
mod graph_names;
mod hostile_editor_graphs;
mod judge;
mod large_bodies;
mod official_templates;
mod parse;
mod properties;
mod values;
mod work_growth;

use super::{GraphLimits, Options, Resolved, Workflow};
use crate::problem::Problem;
use serde_json::value::RawValue;

const LIMITS: GraphLimits = GraphLimits { nodes_max: 2_000, depth_max: 500 };

/// Node ids with and without `:`, links, a dotted input, a dotted title, two equal titles, an exact u64.
const GRAPH: &str = r#"{"3":{"class_type":"KSampler","inputs":{"seed":18446744073709551615,"cfg":1.10,"model":["4",0],"positive":["6",0]}},"4":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"a.safetensors"},"_meta":{"title":"Load v1.5"}},"6":{"inputs":{"text":"a cat","clip":["4",1],"opts.mode":"x"},"class_type":"CLIPTextEncode","_meta":{"title":"Prompt"}},"7":{"class_type":"CLIPTextEncode","inputs":{"text":"","clip":["4",1]},"_meta":{"title":"Prompt"}},"57":{"class_type":"KSampler","inputs":{"seed":5,"noise_seed":6}},"57:8":{"class_type":"LoadImage","inputs":{"image":"x.png"},"is_changed":[1e2]}}"#;

fn raw(json: &str) -> &RawValue {
    serde_json::from_str(json).unwrap()
}

fn graph() -> Workflow {
    Workflow::parse(raw(GRAPH), LIMITS).unwrap()
}

/// Calls [`super::resolve`] without options.
fn resolve(workflow: &Workflow, params: &RawValue) -> Result<Resolved, Vec<Problem>> {
    super::resolve(workflow, params, &Options::default())
}

fn with(params: &str) -> Result<Resolved, Vec<Problem>> {
    resolve(&graph(), raw(params))
}

/// Asserts that the resolved graph is `GRAPH` with these texts replaced, byte for byte.
#[track_caller]
fn assert_changes(params: &str, changes: &[(&str, &str)]) -> Resolved {
    let resolved = with(params).unwrap();
    let mut expected = GRAPH.to_owned();
    for (from, to) in changes {
        assert_eq!(expected.matches(from).count(), 1, "{from} must be there once");
        expected = expected.replace(from, to);
    }
    assert_eq!(resolved.workflow.to_json().get(), expected, "{params}");
    resolved
}

/// Asserts that the params are refused with exactly these (pointer, code).
#[track_caller]
fn assert_refused(params: &str, expected: &[(&str, &str)]) -> Vec<Problem> {
    let problems = with(params).expect_err(params);
    let found: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.code.as_str())).collect();
    assert_eq!(found, expected, "{params}");
    problems
}
