//! Declared parameters: parsing, publishing, applying params, and the JSON Schema.

use super::{Declared, Published};
use crate::{
    graph::{Catalog, FleetCatalog, GraphLimits, Member, Options, Resolved, Workflow, params::resolve_with},
    problem::Problem,
    task::InstanceId,
};
use serde_json::{Value, json, value::RawValue};
use std::sync::Arc;

const LIMITS: GraphLimits = GraphLimits { nodes_max: 100, depth_max: 50 };
const GRAPH: &str = r#"{
    "3":{"class_type":"KSampler","inputs":{"seed":7,"steps":20,"cfg":1.50,"sampler_name":"euler","model":["4",0]}},
    "4":{"class_type":"Loader","inputs":{"ckpt_name":"a"}},
    "6":{"class_type":"Text","inputs":{"text":"a {{animal}} at {{hour:9}}"},"_meta":{"title":"Positive"}},
    "7":{"class_type":"Text","inputs":{"text":"bad"}},
    "10":{"class_type":"LoadImage","inputs":{"image":"example.png"}},
    "11":{"class_type":"Primitive","inputs":{"input_id":"strength","value":1}},
    "57:8":{"class_type":"SaveImage","inputs":{"images":["10",0],"filename_prefix":"x"}}}"#;
/// Declarations of every kind.
const PARAMS: &str = r#"{
    "animal":{"type":"string","max":5},
    "negative":{"target":"7.text","type":"string","default":"none","description":"What must not be seen"},
    "seed":{"target":"3:KSampler.seed","type":"integer","min":0,"default":-1},
    "steps":{"target":["3.steps"],"type":"integer","min":1,"max":50,"required":true},
    "cfg":{"target":"3.inputs.cfg","type":"number","min":1.5},
    "sampler":{"target":"3.sampler_name","type":"enum","enum":["euler","ddim"]},
    "picture":{"target":"10.image","type":"image"},
    "strength":{"type":"integer"}}"#;
const FILE: &str = "0b8f3c1e-0000-4000-8000-000000000001";

fn publish(workflow: &Workflow, declared: &Declared, pool: &FleetCatalog) -> Result<Published, Vec<Problem>> {
    super::publish(workflow, declared, (pool, &crate::graph::OwnFiles::default()), Default::default())
}

fn schema(title: &str, description: Option<&str>, declared: &Declared, pool: &FleetCatalog) -> Value {
    super::schema(title, description, &graph(), declared, pool, Default::default())
}

fn raw(json: &str) -> &RawValue {
    serde_json::from_str(json).unwrap()
}

fn graph() -> Workflow {
    Workflow::parse(raw(GRAPH), LIMITS).unwrap()
}

fn declared(json: &str) -> Declared {
    Declared::read(raw(json)).unwrap()
}

fn pool() -> FleetCatalog {
    let object_info = json!({
        "KSampler": {"input": {"required": {
            "seed": ["INT", {"min": 0, "max": u64::MAX}], "steps": ["INT", {"min": 1, "max": 30}], "cfg": ["FLOAT", {"max": 9.5}],
            "sampler_name": [["euler", "heun"], {}], "scheduler": [["normal"], {}]}}},
        "Loader": {"input": {"required": {"ckpt_name": [["a", "b"], {}]}}},
        "Text": {"input": {"required": {"text": ["STRING", {}]}}},
        "LoadImage": {"input": {"required": {"image": [["example.png"], {"image_upload": true}]}}},
        "Primitive": {"input": {"required": {"value": ["INT", {}]}}},
        "SaveImage": {"input": {"required": {"images": ["IMAGE"]}}, "output_node": true}
    });
    let catalog = Arc::new(Catalog::parse(&object_info.to_string()).unwrap());
    FleetCatalog::new([Member { instance: InstanceId::new("gpu:1"), is_alive: true, catalog: Some(catalog) }])
}

/// Resolves the params, with the lowest number for every draw.
fn resolve_lowest(params: &str, pool: Option<&FleetCatalog>) -> Result<Resolved, Vec<Problem>> {
    let declared = declared(PARAMS);
    let options = Options { declared: Some(&declared), pool, ..Options::default() };
    resolve_with(&graph(), raw(params), &options, &mut |_, _| 42)
}

fn codes(problems: &[Problem]) -> Vec<(&str, &str)> {
    problems.iter().map(|problem| (problem.pointer.as_str(), problem.code.as_str())).collect()
}

#[track_caller]
fn assert_refused(params: &str, expected: &[(&str, &str)]) -> Vec<Problem> {
    let problems = resolve_lowest(params, Some(&pool())).expect_err(params);
    assert_eq!(codes(&problems), expected, "{params}");
    problems
}

fn inputs(resolved: &Resolved) -> Value {
    let graph: Value = serde_json::from_str(resolved.workflow.to_json().get()).unwrap();
    Value::Object(graph.as_object().unwrap().iter().map(|(id, node)| (id.clone(), node["inputs"].clone())).collect())
}

#[test]
fn names_reach_their_inputs_and_defaults_fill_the_rest() {
    let resolved = resolve_lowest(r#"{"animal":"cat","steps":5}"#, None).unwrap();
    let graph = inputs(&resolved);
    assert_eq!((&graph["6"]["text"], &graph["7"]["text"]), (&json!("a cat at 9"), &json!("none")));
    assert_eq!((&graph["3"]["steps"], &graph["3"]["seed"], &graph["3"]["cfg"]), (&json!(5), &json!(42), &json!(1.5)));
    assert_eq!(resolved.seeds, [("3.seed".to_owned(), 42)]);
    assert!(resolved.workflow.to_json().get().contains(r#""cfg":1.50"#), "an unnamed input keeps its bytes");
    assert!(resolved.warnings.is_empty());
    let all = format!(
        r#"{{"animal":"dog","steps":6.0,"negative":"n","seed":18446744073709551615,"cfg":2.50,"sampler":"ddim","picture":"{FILE}","strength":3}}"#
    );
    let resolved = resolve_lowest(&all, None).unwrap();
    let text = resolved.workflow.to_json();
    assert!(text.get().contains(r#""seed":18446744073709551615,"steps":6.0,"cfg":2.50"#), "{}", text.get());
    assert_eq!((resolved.files[0].node_id.as_str(), resolved.files[0].file_id.to_string().as_str()), ("10", FILE));
    assert_eq!(inputs(&resolved)["11"]["value"], 3);
}

#[test]
fn addresses_still_work_and_override_defaults() {
    let resolved = resolve_lowest(r#"{"animal":"cat","3.steps":4,"7":{"text":"node"},"3.seed":1}"#, None);
    let graph = inputs(&resolved.unwrap());
    assert_eq!((&graph["3"]["steps"], &graph["3"]["seed"]), (&json!(4), &json!(1)));
    assert_eq!(graph["7"]["text"], "node");
    let list = r#"[{"nodeId":"3","fieldName":"steps","fieldValue":4}]"#;
    assert_refused(list, &[("/params/animal", "param_missing")]);
    assert_refused(r#"{"animal":"cat","steps":4,"3.steps":5}"#, &[("/params/3.steps", "param_conflict")]);
    assert!(resolve_lowest(r#"{"animal":"cat","steps":4,"3.steps":4}"#, None).is_ok());
}

#[test]
fn every_mismatch_is_reported_under_its_name() {
    assert_refused("{}", &[("/params/animal", "param_missing"), ("/params/steps", "param_missing")]);
    let problems = assert_refused(
        r#"{"anmial":1,"animal":"elephant","steps":0,"cfg":"2","sampler":"eular","seed":1.5,"picture":5,"strength":null}"#,
        &[
            ("/params/anmial", "param_unknown_name"),
            ("/params/animal", "param_out_of_range"),
            ("/params/steps", "param_out_of_range"),
            ("/params/cfg", "param_type"),
            ("/params/sampler", "param_not_an_option"),
            ("/params/seed", "param_type"),
            ("/params/picture", "param_type"),
            ("/params/strength", "param_type"),
        ],
    );
    assert_eq!(problems[1].expected.as_deref(), Some("a text of at most 5 characters"));
    assert_eq!(
        (problems[2].expected.as_deref(), problems[2].got.as_deref()),
        (Some("a whole number from 1 to 50"), Some("0"))
    );
    assert_eq!(
        (&problems[4].candidates, &problems[0].candidates),
        (&vec!["euler".to_owned()], &vec!["animal".to_owned()])
    );
    // The instances' declarations are checked too, and reported under the given name.
    let problems = assert_refused(
        r#"{"animal":"cat","steps":40,"sampler":"ddim"}"#,
        &[("/params/steps", "param_out_of_range"), ("/params/sampler", "param_not_an_option")],
    );
    assert_eq!(problems[0].param.as_deref(), Some("steps"));
    // A placeholder of the graph is a name only when it is declared.
    assert_refused(r#"{"animal":"cat","steps":4,"hour":3}"#, &[("/params/hour", "param_unknown_name")]);
    for directive in [r#"{"$random":{}}"#, r#"{"$link":["4",0]}"#, r#"{"$unset":true}"#, r#"{"$force":1}"#] {
        assert_refused(&format!(r#"{{"animal":"cat","steps":{directive}}}"#), &[("/params/steps", "param_type")]);
    }
}

#[test]
fn invalid_declarations_are_refused() {
    for (params, expected) in [
        ("[]", ("/params", "params_not_object")),
        (r#"{"a.b":{"type":"string"}}"#, ("/params/a.b", "param_bad_name")),
        (r#"{"1a":{"type":"string"}}"#, ("/params/1a", "param_bad_name")),
        (r#"{"@a":{"type":"string"}}"#, ("/params/@a", "param_bad_name")),
        (r#"{"":{"type":"string"}}"#, ("/params/", "param_bad_name")),
        (r#"{"a":1}"#, ("/params/a", "param_bad_declaration")),
        (r#"{"a":{}}"#, ("/params/a/type", "param_bad_declaration")),
        (r#"{"a":{"type":"text"}}"#, ("/params/a/type", "param_bad_declaration")),
        (r#"{"a":{"type":"string","typo":1}}"#, ("/params/a/typo", "param_bad_declaration")),
        (r#"{"a":{"type":"string","target":[]}}"#, ("/params/a/target", "param_bad_declaration")),
        (r#"{"a":{"type":"string","target":7}}"#, ("/params/a/target", "param_bad_declaration")),
        (r#"{"a":{"type":"integer","min":1.5}}"#, ("/params/a/min", "param_bad_declaration")),
        (r#"{"a":{"type":"number","min":"1"}}"#, ("/params/a/min", "param_bad_declaration")),
        (r#"{"a":{"type":"number","min":2,"max":1}}"#, ("/params/a/min", "param_bad_declaration")),
        (r#"{"a":{"type":"boolean","max":1}}"#, ("/params/a/max", "param_bad_declaration")),
        (r#"{"a":{"type":"string","min":-1}}"#, ("/params/a/min", "param_bad_declaration")),
        (r#"{"a":{"type":"image","enum":["x"]}}"#, ("/params/a/enum", "param_bad_declaration")),
        (r#"{"a":{"type":"integer","enum":[1,"2"]}}"#, ("/params/a/enum", "param_bad_declaration")),
        (r#"{"a":{"type":"integer","max":3,"enum":[1,4]}}"#, ("/params/a/enum", "param_bad_declaration")),
        (r#"{"a":{"type":"string","enum":[5]}}"#, ("/params/a/enum", "param_bad_declaration")),
        (r#"{"a":{"type":"enum","enum":[]}}"#, ("/params/a/enum", "param_bad_declaration")),
        (r#"{"a":{"type":"enum","enum":[null]}}"#, ("/params/a/enum", "param_bad_declaration")),
        (r#"{"a":{"type":"image","default":"a.png"}}"#, ("/params/a/default", "param_bad_declaration")),
        (r#"{"a":{"type":"string","description":1}}"#, ("/params/a/description", "param_bad_declaration")),
        (r#"{"a":{"type":"string","required":"yes"}}"#, ("/params/a/required", "param_bad_declaration")),
        (r#"{"a":{"type":"string"},"a":{"type":"string"}}"#, ("/params/a", "json_duplicate_key")),
    ] {
        assert_eq!(codes(&Declared::read(raw(params)).expect_err(params)), [expected], "{params}");
    }
    let many: Vec<String> = (0..101).map(|number| format!(r#""a{number}":{{"type":"string"}}"#)).collect();
    let problems = Declared::read(raw(&format!("{{{}}}", many.join(",")))).unwrap_err();
    assert_eq!(codes(&problems), [("/params", "params_too_many")]);
    assert!(Declared::read(raw(r#"{"提示词":{"type":"string","target":"6.text"},"_x-1":{"type":"file"}}"#)).is_ok());
}

#[test]
fn a_publication_must_fit_its_graph_and_the_instances() {
    assert!(publish(&graph(), &declared(PARAMS), &pool()).is_ok());
    assert!(publish(&graph(), &declared(PARAMS), &FleetCatalog::default()).is_ok());
    for (params, expected) in [
        (r#"{"a":{"type":"string","target":"66.text"}}"#, ("/params/a/target", "param_no_such_node")),
        (r#"{"a":{"type":"string","target":"@Negative.text"}}"#, ("/params/a/target", "param_no_such_node")),
        (r#"{"a":{"type":"string","target":"7:KSampler.text"}}"#, ("/params/a/target", "param_no_such_node")),
        (r#"{"a":{"type":"string","target":"7.prompt"}}"#, ("/params/a/target", "param_no_such_input")),
        (r#"{"a":{"type":"string","target":"3.model"}}"#, ("/params/a/target", "param_overwrites_link")),
        (r#"{"a":{"type":"string","target":["7.text","7.text"]}}"#, ("/params/a/target", "param_conflict")),
        (r#"{"a":{"type":"string"}}"#, ("/params/a/target", "param_no_such_node")),
        (r#"{"a":{"type":"string","target":"3.steps"}}"#, ("/params/a/target", "param_type")),
        (r#"{"a":{"type":"number","target":"3.steps"}}"#, ("/params/a/target", "param_type")),
        (r#"{"a":{"type":"integer","target":"3.steps","default":"5"}}"#, ("/params/a/default", "param_type")),
        (
            r#"{"a":{"type":"integer","target":"3.steps","max":4,"default":5}}"#,
            ("/params/a/default", "param_out_of_range"),
        ),
        (r#"{"a":{"type":"integer","target":"3.steps","default":40}}"#, ("/params/a/default", "param_out_of_range")),
        (r#"{"a":{"type":"enum","target":"4.ckpt_name","default":"c"}}"#, ("/params/a/default", "param_not_an_option")),
        (r#"{"a":{"type":"enum","target":"3.steps"}}"#, ("/params/a/enum", "param_bad_declaration")),
        (
            r#"{"a":{"type":"enum","target":"4.ckpt_name","enum":["c","d"]}}"#,
            ("/params/a/enum", "param_bad_declaration"),
        ),
    ] {
        // The graph's own placeholder is declared every time.
        let params = params.replacen('{', r#"{"animal":{"type":"string"},"#, 1);
        let problems = publish(&graph(), &declared(&params), &pool()).expect_err(&params);
        assert_eq!(codes(&problems), [expected], "{params}");
    }
    // One offered value is enough, and so is an instance that is not known yet.
    let some = r#"{"animal":{"type":"string"},"a":{"type":"enum","target":"4.ckpt_name","enum":["c","a"]}}"#;
    assert!(publish(&graph(), &declared(some), &pool()).is_ok());
    let none = some.replace(r#","a"]"#, "]");
    assert!(publish(&graph(), &declared(&none), &FleetCatalog::default()).is_ok());
    let undeclared = publish(&graph(), &declared("{}"), &pool()).unwrap_err();
    assert_eq!(codes(&undeclared), [("/workflow/6/inputs/text", "param_missing")]);
    // An input that only the instances declare may be set.
    let optional = r#"{"animal":{"type":"string"},"a":{"type":"enum","target":"3.scheduler"}}"#;
    assert!(publish(&graph(), &declared(optional), &pool()).is_ok());
    assert!(publish(&graph(), &declared(optional), &FleetCatalog::default()).is_err());
    let named = Workflow::parse(raw(r#"{"x":{"class_type":"A","inputs":{"y":1}}}"#), LIMITS).unwrap();
    let problems =
        publish(&named, &declared(r#"{"x":{"type":"integer","target":"x.y"}}"#), &FleetCatalog::default()).unwrap_err();
    assert_eq!(codes(&problems), [("/params/x", "param_bad_name")]);
    let files = publish(
        &graph(),
        &declared(&format!(
            r#"{{"animal":{{"type":"string"}},"a":{{"type":"image","target":"10.image","default":"{FILE}"}}}}"#
        )),
        &pool(),
    );
    assert_eq!(files.unwrap().files[0].file_id.to_string(), FILE);
}

#[test]
fn the_schema_has_types_bounds_and_offered_values() {
    let made = schema("t2i@1", Some("text to image"), &declared(PARAMS), &pool());
    assert_eq!(made["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!((&made["title"], &made["description"]), (&json!("t2i@1"), &json!("text to image")));
    assert_eq!(made["required"], json!(["animal", "steps"]));
    let of = |name: &str| made["properties"][name].clone();
    assert_eq!(of("animal"), json!({"type": "string", "maxLength": 5}));
    assert_eq!(of("negative"), json!({"type": "string", "description": "What must not be seen", "default": "none"}));
    assert_eq!(of("steps"), json!({"type": "integer", "minimum": 1, "maximum": 30}));
    assert_eq!(of("cfg"), json!({"type": "number", "minimum": 1.5, "maximum": 9.5}));
    assert_eq!(of("sampler"), json!({"type": ["string", "number", "boolean"], "enum": ["euler"]}));
    assert_eq!(of("strength"), json!({"type": "integer"}));
    let seed = of("seed");
    assert_eq!(seed["anyOf"][0], json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}));
    assert_eq!((&seed["anyOf"][1]["enum"], &seed["default"]), (&json!([-1, "random"]), &json!(-1)));
    assert_eq!(of("picture")["anyOf"].as_array().unwrap().len(), 4);
    let open = r#"{"animal":{"type":"string"},"model":{"type":"enum","target":"4.ckpt_name"},"name":{"type":"string","target":"4.ckpt_name"}}"#;
    let offered = schema("x", None, &declared(open), &pool());
    assert_eq!(offered["properties"]["model"]["enum"], json!(["a", "b"]));
    assert_eq!(offered["properties"]["name"]["enum"], json!(["a", "b"]));
    let unknown = schema("x", None, &declared(open), &FleetCatalog::default());
    assert_eq!(unknown["properties"]["name"], json!({"type": "string"}));
}
